"""Names of mechanisms and models, all of them and a model's: no mechanism, and no torch, is
imported.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.errors import ModelError
from attnbench.models.presets import PRESETS

if TYPE_CHECKING:
    from attnbench.study.models import ModelSettings

_ATTENTION = Path(__file__).parent / "attention"
_SHORT = {
    "unet": "U-Net",
    "attention_gate": "Attention gate",
    "self_attention": "Self-attention",
    "attention_gate_upsampled": "Attention gate (up)",
    "axial_attention": "Axial attention",
    "bam": "BAM",
    "cbam": "CBAM",
    "channel_se": "cSE",
    "criss_cross": "Criss-cross",
    "cross_attention": "Cross-attention",
    "eca": "ECA",
    "efficient_self_attention": "Efficient attention",
    "gated_axial_attention": "Gated axial",
    "large_kernel_attention": "Large kernel",
    "multi_head_self_attention": "Multi-head attention",
    "non_local": "Non-local",
    "polarized_self_attention": "Polarised attention",
    "scse": "scSE",
    "shifted_window_attention": "Shifted window",
    "simam": "SimAM",
    "spatial_se": "sSE",
    "squeeze_excitation": "Squeeze-excitation",
    "u_transformer": "U-Transformer",
}
_CONTROL_OF = {"scale": "gamma0", "logits": "uniform"}


def mechanism_names() -> tuple[str, ...]:
    """Every mechanism's name, sorted; `attention/<name>.py` registers the mechanism of that
    name.
    """
    files = _ATTENTION.glob("[!_]*.py")
    return tuple(sorted(file.stem for file in files))


def model_names() -> tuple[str, ...]:
    """Every word that is a model by itself: `unet`, the mechanisms in the slots of their papers,
    and the presets.
    """
    return ("unet", *sorted((*mechanism_names(), *PRESETS)))


def short_name(name: str) -> str | None:
    """Return what tables and figures call a mechanism or preset; None for other names."""
    return _SHORT.get(name)


def mechanisms_of(model: ModelSettings) -> tuple[str, ...]:
    """Names of the mechanisms that decide a model of a study, sorted; the plain U-Net and
    identities have none.
    """
    slots = model.slots or PRESETS.get(model.variant, {})
    if model.control == "identity":
        return ()
    if slots or model.variant not in model_names() or model.variant == "unet":
        return tuple(
            sorted({placement.name for placements in slots.values() for placement in placements})
        )
    return (model.variant,)


@cache
def lacks() -> dict[str, tuple[str, ...]]:
    """For every mechanism and preset the controls it cannot have: `gamma0` without a scale that
    starts at zero, `uniform` without a softmax over positions.
    """
    mechanisms = {
        name: tuple(_CONTROL_OF[key] for key in _CONTROL_OF if key not in _declared(name))
        for name in mechanism_names()
    }
    presets = {
        word: {placement.name for placements in slots.values() for placement in placements}
        for word, slots in PRESETS.items()
    }
    return mechanisms | {
        word: tuple(sorted({control for name in names for control in mechanisms[name]}))
        for word, names in presets.items()
    }


def has_map(model: ModelSettings) -> bool:
    """Whether a model of a study is a variant one of whose mechanisms weights positions: it has
    an `attention_map`.
    """
    return model.control is None and any(
        isinstance(node, ast.FunctionDef) and node.name == "attention_map"
        for name in mechanisms_of(model)
        for node in _registered(name).body
    )


def _declared(mechanism: str) -> set[str]:
    """Keywords of the `@mechanism(...)` that registers it."""
    calls = _registered(mechanism).decorator_list
    return {
        keyword.arg
        for call in calls
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg
    }


@cache
def _registered(mechanism: str) -> ast.ClassDef:
    """The class of a mechanism, the one that is decorated, read from its file."""
    path = _ATTENTION / f"{mechanism}.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.decorator_list:
            return node
    raise ModelError(
        f"{path}: no class in it is registered by @mechanism(...), as every file there without a "
        "_ has one"
    )
