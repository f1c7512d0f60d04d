"""Names of mechanisms and models, and what their files declare: read without importing torch."""

from __future__ import annotations

import ast
from functools import cache
from typing import Any

from attnbench.errors import ModelError
from attnbench.models.attention import FOLDER, mechanism_names
from attnbench.models.presets import PRESETS
from attnbench.study.models import BackboneSettings, ModelSettings, resolve_model
from attnbench.study.names import SLOTS, Control, Known, MechanismFacts

# Keyword that a mechanism must declare to have the control.
_NEEDED: dict[Control, str] = {"gamma0": "scale", "uniform": "logits"}


def model_names() -> tuple[str, ...]:
    """Every name that is a model by itself: `unet`, the mechanisms and the presets."""
    return known_models().models


@cache
def known_models() -> Known:
    """The mechanisms and presets that a study's models are resolved against."""
    return Known(
        mechanisms={name: _facts(name) for name in mechanism_names()},
        presets={name: preset.slots for name, preset in PRESETS.items()},
    )


def named_model(name: str, backbone: BackboneSettings | None = None) -> ModelSettings:
    """Model, or `<variant>-<control>`, that a study means by a bare name.

    `backbone` is the default one unless given. Raises `ModelError` for an unknown name.
    """
    try:
        model = ModelSettings(name=name)
        return resolve_model(model, {}, backbone or BackboneSettings(), known_models())
    except ValueError as error:
        raise ModelError(f"{name}: {error}") from error


def has_map(model: ModelSettings) -> bool:
    """Return True for a variant, not a control, with a mechanism that has an `attention_map`."""
    return model.control is None and any(
        isinstance(node, ast.FunctionDef) and node.name == "attention_map"
        for name in model.mechanisms()
        for node in _registered(name).body
    )


def short_name(name: str) -> str | None:
    """Name that tables and figures show for a mechanism or a model; None for any other.

    >>> short_name("unet"), short_name("cbam"), short_name("mine")
    ('U-Net', 'CBAM', None)
    """
    if name in PRESETS:
        return PRESETS[name].short
    if name in mechanism_names():
        return str(_declared(name)["short"])
    return "U-Net" if name == "unet" else None


def _facts(mechanism: str) -> MechanismFacts:
    declared = _declared(mechanism)
    return MechanismFacts(
        declared["default"],
        declared.get("slots", SLOTS),
        declared.get("finest", 0),
        declared.get("deepest"),
        tuple(control for control, key in _NEEDED.items() if key not in declared),
    )


@cache
def _declared(mechanism: str) -> dict[str, Any]:
    """Arguments of the `@mechanism(...)` that registers it; the paper, no literal, is left out."""
    (call,) = _registered(mechanism).decorator_list
    assert isinstance(call, ast.Call)
    return {
        str(keyword.arg): ast.literal_eval(keyword.value)
        for keyword in call.keywords
        if keyword.arg != "paper"
    }


@cache
def _registered(mechanism: str) -> ast.ClassDef:
    """The class of a mechanism, the one that is decorated, read from its file."""
    path = FOLDER / f"{mechanism}.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.decorator_list:
            return node
    raise ModelError(
        f"{path}: no class in it is registered by @mechanism(...), as every file there without a "
        "_ has one"
    )
