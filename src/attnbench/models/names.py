"""Names of mechanisms and models, and what their files declare: read without importing torch."""

from __future__ import annotations

import ast
from functools import cache
from typing import Any

from attnbench.errors import ModelError, OwnCodeError
from attnbench.models.attention import FOLDER, mechanism_names
from attnbench.models.own_names import own_mechanisms, reference_of, words_of_class
from attnbench.models.presets import PRESETS
from attnbench.own import declared, locate
from attnbench.own.meaning import tree_of
from attnbench.study.models import BackboneSettings, ModelSettings, resolve_model
from attnbench.study.names import SLOTS, Control, Known, MechanismFacts

# Keyword that a mechanism must declare to have the control.
_NEEDED: dict[Control, str] = {"gamma0": "scale", "uniform": "logits"}


def model_names() -> tuple[str, ...]:
    """Every name that is a model by itself: `unet`, the mechanisms and the presets."""
    return known_models().models


@cache
def known_models() -> Known:
    """The mechanisms and presets that a study's models are resolved against.

    They are this package's own and those that installed packages bring; `facts_of` knows the
    mechanisms that a study names by reference.
    """
    return Known(
        mechanisms={name: facts_of(name) for name in (*mechanism_names(), *own_mechanisms())},
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
        for node in _definition(name).body
    )


def short_name(name: str) -> str | None:
    """Name that tables and figures show for a mechanism or a model; None for any other.

    >>> short_name("unet"), short_name("cbam"), short_name("mine")
    ('U-Net', 'CBAM', None)
    """
    if name in PRESETS:
        return PRESETS[name].short
    if name in mechanism_names() or reference_of(name) is not None:
        said = _declared(name)
        words = said.get("short") or said.get("title")
        return str(words or words_of_class(_definition(name).name))
    return "U-Net" if name == "unet" else None


def facts_of(mechanism: str) -> MechanismFacts:
    """What a study has to know of a mechanism, by name or reference.

    Raises:
        OwnCodeError: own code that is not there, or no class.
        ModelError: a file of this package without a mechanism.
    """
    said = _declared(mechanism)
    return MechanismFacts(
        said.get("default", ()),
        said.get("slots", SLOTS),
        said.get("finest", 0),
        said.get("deepest"),
        tuple(control for control, key in _NEEDED.items() if key not in said),
    )


def _declared(mechanism: str) -> dict[str, Any]:
    """Arguments of the `@mechanism(...)` that declares it; the paper, no literal, is left out."""
    return declared(mechanism, _definition(mechanism), "mechanism", left_out=("paper",))


def _definition(mechanism: str) -> ast.ClassDef:
    """The class of a mechanism, read from its file."""
    reference = reference_of(mechanism)
    if reference is None:
        return _registered(mechanism)
    found = locate(reference)
    if not isinstance(found.node, ast.ClassDef):
        raise OwnCodeError(
            f"{reference}: found a function; a mechanism is a class derived from torch.nn.Module"
        )
    return found.node


@cache
def _registered(mechanism: str) -> ast.ClassDef:
    """The class of one of this package's mechanisms: the one in its file that is decorated."""
    path = FOLDER / f"{mechanism}.py"
    for node in tree_of(path).body:
        if isinstance(node, ast.ClassDef) and node.decorator_list:
            return node
    raise ModelError(
        f"{path}: no class in it is registered by @mechanism(...), as every file there without a "
        "_ has one"
    )
