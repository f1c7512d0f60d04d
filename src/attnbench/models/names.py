"""Names of mechanisms and models, and what their files declare: read without importing torch."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from typing import Any

from attnbench.errors import ModelError, OwnCodeError
from attnbench.models.attention import FOLDER, mechanism_names
from attnbench.models.own_names import installed_mechanisms, reference_of, words_of_class
from attnbench.models.presets import PRESETS
from attnbench.own import declared, lineage
from attnbench.own.meaning import tree_of
from attnbench.study.base import is_own_code
from attnbench.study.models import BackboneSettings, ModelSettings, resolve_model
from attnbench.study.names import SLOTS, Control, Known, MechanismFacts

# Keyword that a mechanism must declare to have the control.
_NEEDED: dict[Control, str] = {"gamma0": "scale", "uniform": "logits"}


def model_names() -> tuple[str, ...]:
    """Every name that is a model by itself: `unet`, the mechanisms and the presets."""
    return known_models().models


def known_models(used: Iterable[str] = ()) -> Known:
    """The mechanisms and presets that a study's models are resolved against.

    They are this package's own and those that installed packages bring. Own code is read only
    where it is `used`, a reference or the name of what a package brings: of the others the names
    are enough to suggest them, and what is wrong with them is nothing to a study without them.

    Raises:
        OwnCodeError: `used` own code that is not there, or a name that means two things.
    """
    ours = {"unet", *PRESETS}
    installed = {name: MechanismFacts(()) for name in installed_mechanisms() if name not in ours}
    own = {}
    for name in sorted(set(used)):
        if is_own_code(name) or name in installed_mechanisms():
            _refuse_two_meanings(name)
            own[name] = facts_of(name)
    return Known(
        mechanisms={**installed, **_facts_of_ours(), **own},
        presets={name: preset.slots for name, preset in PRESETS.items()},
    )


@cache
def _facts_of_ours() -> dict[str, MechanismFacts]:
    return {name: facts_of(name) for name in mechanism_names()}


def _refuse_two_meanings(name: str) -> None:
    """Refuse a name that several packages bring, or that a package brings and a model of ours has.

    Raises:
        OwnCodeError: it says which.
    """
    sources = [f"{one.reference} of {one.package}" for one in installed_mechanisms().get(name, ())]
    if sources and (name in mechanism_names() or name in PRESETS or name == "unet"):
        sources.insert(0, "a model of attnbench itself")
    if len(sources) > 1:
        raise OwnCodeError(
            f"{name!r} is {' and '.join(sources)}; place the one that is meant by its dotted path, "
            "or remove a package"
        )


def named_model(name: str, backbone: BackboneSettings | None = None) -> ModelSettings:
    """Model, or `<variant>-<control>`, that a study means by a bare name.

    `backbone` is the default one unless given. Raises `ModelError` for an unknown name.
    """
    try:
        model = ModelSettings(name=name)
        known = known_models([name.partition("-")[0]])
        return resolve_model(model, {}, backbone or BackboneSettings(), known)
    except ValueError as error:
        raise ModelError(f"{name}: {error}") from error


def has_map(model: ModelSettings) -> bool:
    """Return True for a variant, not a control, with a mechanism that has an `attention_map`."""
    return model.control is None and any(
        "attention_map" in methods_of(name) for name in model.mechanisms()
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
    constructor = methods_of(mechanism).get("__init__")
    taken = [argument.arg for argument in _arguments(constructor)] if constructor else []
    # Only skips have a decoder's signal, or each other.
    skips = said.get("gate") or said.get("joint") or "gate_channels" in taken
    return MechanismFacts(
        said.get("default", ()),
        said.get("slots", ("skip",) if skips else SLOTS),
        said.get("finest", 0),
        said.get("deepest"),
        tuple(control for control, key in _NEEDED.items() if not said.get(key)),
    )


def _declared(mechanism: str) -> dict[str, Any]:
    """Arguments of the `@mechanism(...)` that declares it; the paper, no literal, is left out."""
    return declared(mechanism, _definition(mechanism), "mechanism", left_out=("paper",))


def _definition(mechanism: str) -> ast.ClassDef:
    """The class of a mechanism, read from its file."""
    return _classes(mechanism)[0]


def methods_of(mechanism: str) -> dict[str, ast.FunctionDef]:
    """The methods of a mechanism's class by name, those that it inherits from own code too.

    Raises:
        OwnCodeError: as of `facts_of`.
    """
    written = (item for node in _classes(mechanism) for item in node.body)
    methods: dict[str, ast.FunctionDef] = {}
    for item in written:
        if isinstance(item, ast.FunctionDef):
            methods.setdefault(item.name, item)
    return methods


def _classes(mechanism: str) -> list[ast.ClassDef]:
    """The class of a mechanism, then those that it is derived from, as far as they are own code."""
    reference = reference_of(mechanism)
    if reference is None:
        return [_registered(mechanism)]
    found = [definition.node for definition in lineage(reference)]
    classes = [node for node in found if isinstance(node, ast.ClassDef)]
    if found[0] not in classes:
        raise OwnCodeError(
            f"{reference}: found a function; a mechanism is a class derived from torch.nn.Module"
        )
    return classes


def _arguments(function: ast.FunctionDef) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


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
