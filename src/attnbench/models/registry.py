"""The registry of mechanisms: one file in `attention/` per entry, and a user's own code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from importlib import import_module
from typing import Any, Literal, TypeVar

from torch import nn

from attnbench.errors import AttnBenchError, ModelError, OwnCodeError, nearest
from attnbench.models.attention import mechanism_names
from attnbench.models.own_names import reference_of, words_of_class
from attnbench.own import line_of, load
from attnbench.study.names import SLOTS, Slot

Gate = Literal["coarse", "upsampled"]
ModuleType = TypeVar("ModuleType", bound=type[nn.Module])


@dataclass(frozen=True)
class Paper:
    """Origin of a mechanism.

    `authors` are all of them, given names before family names, separated by commas.
    """

    authors: str
    year: int
    title: str
    source: str


@dataclass(frozen=True)
class Mechanism:
    """A mechanism as its `@mechanism(...)` declares it; the arguments are described there."""

    name: str
    title: str
    short: str
    module: type[nn.Module]
    paper: Paper | None
    slots: tuple[Slot, ...]
    default: tuple[Slot, ...]
    in_paper: str
    finest: int
    deepest: int | None
    ndims: tuple[int, ...]
    gate: Gate | None
    joint: bool
    scale: tuple[str, ...]
    gain: tuple[str, ...]
    logits: tuple[str, ...]

    def makes_logits(self, name: str) -> bool:
        """Return True if a module, parameter or number of this name is among `logits`."""
        return any(fnmatch(name, pattern) for pattern in self.logits)

    def options(self) -> tuple[str, ...]:
        """Names of the arguments that a study may set."""
        given = {"channels", "ndim", "gate_channels"}
        return tuple(
            parameter.name
            for parameter in _arguments(self.module)
            if parameter.name not in given and parameter.kind not in _MANY
        )


_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

# Filled as `get_mechanism` imports files, one by one: what classes declare, and what names mean.
_DECLARED: dict[type[nn.Module], Mechanism] = {}
_MECHANISMS: dict[str, Mechanism] = {}


def mechanism(
    *,
    title: str = "",
    short: str = "",
    paper: Paper | None = None,
    default: tuple[Slot, ...] = (),
    slots: tuple[Slot, ...] | None = None,
    in_paper: str = "",
    finest: int = 0,
    deepest: int | None = None,
    ndims: tuple[int, ...] = (2, 3),
    gate: Gate | None = None,
    joint: bool = False,
    scale: tuple[str, ...] = (),
    gain: tuple[str, ...] = (),
    logits: tuple[str, ...] = (),
) -> Callable[[ModuleType], ModuleType]:
    """Declare the decorated module, a map from features to features, as a mechanism.

    Studies are checked without importing torch: every argument but `paper` is a literal, as
    `models/names.py` reads it from the file. Own code may leave out all of them, and the decorator
    too: it is then named after its class and can take every slot; if its constructor has
    `gate_channels` it receives the gating signal, and only skips have one.

    Args:
        title: in full, for the list of models.
        short: at most about 20 characters, for tables and figures.
        paper: where it comes from.
        default: slots it takes unless a study says otherwise: the paper's, or the nearest to it.
            Needed to be a model by its bare name.
        slots: slots it can take; None: all, or the skip where it is gated or joint.
        in_paper: where the paper has it, if that is no slot of a U-Net; in words, for readers.
        finest: first level it takes by default, where the network has one so deep.
        deepest: how many of a slot's deepest levels it takes by default; None: all.
        ndims: numbers of spatial axes it has a form for.
        gate: the decoder's signal that a skip mechanism receives: `coarse`, features one level
            deeper before up-sampling, or `upsampled`, at the skip's own resolution.
        joint: it maps the list of all skips at once.
        scale: parameters that start at zero and make it the identity (control `gamma0`).
        gain: further parameters that start near zero and let a part of it through. The control
            `random` trains them, as it trains `scale`: that part would not be there.
        logits: patterns of what makes its softmax over positions uneven (control `uniform`).
    """

    def register(module: ModuleType) -> ModuleType:
        signal = gate or _gate_of(module)
        _DECLARED[module] = Mechanism(
            module.__module__.rpartition(".")[2],
            title or words_of_class(module.__name__),
            short or title or words_of_class(module.__name__),
            module,
            paper,
            slots or (("skip",) if signal or joint else SLOTS),
            default,
            in_paper,
            finest,
            deepest,
            ndims,
            signal,
            joint,
            scale,
            gain,
            logits,
        )
        return module

    return register


def _gate_of(module: type[nn.Module]) -> Gate | None:
    taken = any(parameter.name == "gate_channels" for parameter in _arguments(module))
    return "coarse" if taken else None


def _arguments(module: type[nn.Module]) -> list[inspect.Parameter]:
    """Parameters of a constructor, without `self`."""
    return list(inspect.signature(module.__init__).parameters.values())[1:]


def get_mechanism(name: str, source: str | None = None) -> Mechanism:
    """Mechanism of that name, or own code by reference.

    Args:
        name: of a mechanism, or a reference.
        source: fingerprint that own code had when the study was planned; None: any.

    Raises:
        ModelError: there is none; it lists the choices.
        OwnCodeError: own code cannot be loaded, or is no module.
    """
    if name not in _MECHANISMS:
        if name in mechanism_names():
            module = import_module(f"attnbench.models.attention.{name}").__name__
            own_entries = (one for one in _DECLARED.values() if one.module.__module__ == module)
            (_MECHANISMS[name],) = own_entries
        else:
            _load_own(name, source)
    return _MECHANISMS[name]


def mechanism_of(module: nn.Module) -> Mechanism | None:
    """The mechanism that a module is; None for anything else."""
    return _DECLARED.get(type(module))


def _load_own(name: str, source: str | None) -> None:
    reference = reference_of(name)
    if reference is None:
        names = mechanism_names()
        raise ModelError(f"no mechanism {name!r}; {nearest(name, names)}")
    own = load(reference, source)
    if not (isinstance(own, type) and issubclass(own, nn.Module)):
        kind = own.__name__ if isinstance(own, type) else type(own).__name__
        raise OwnCodeError(
            f"{reference}: found a {kind}; a mechanism is a class derived from torch.nn.Module"
        )
    if own not in _DECLARED:
        mechanism()(own)
    # A class that one package declares and another imports is one mechanism.
    _DECLARED[own] = _MECHANISMS[name] = replace(_DECLARED[own], name=name)


def create_mechanism(
    name: str,
    channels: int | Sequence[int],
    ndim: int,
    gate_channels: int | None = None,
    source: str | None = None,
    **options: Any,
) -> nn.Module:
    """Build a mechanism that maps (B, channels, *spatial) to the same shape.

    Args:
        name: the mechanism's.
        channels: width of its level; of a joint mechanism, the widths of all its skips.
        ndim: spatial axes, 2 or 3.
        gate_channels: width of the gating signal, needed by mechanisms with a gate.
        source: as of `get_mechanism`.
        options: the mechanism's own arguments.

    Raises:
        ModelError: an unknown name or option, a number of axes that the mechanism does not have,
            or channels that it refuses.
    """
    entry = get_mechanism(name, source)
    if ndim not in entry.ndims:
        raise ModelError(
            f"{name} has no {ndim}-D form; allowed: {', '.join(f'{n}-D' for n in entry.ndims)}"
        )
    for option in options:
        if option not in entry.options():
            raise ModelError(f"{name} has no option {option!r}; {nearest(option, entry.options())}")
    if entry.gate and gate_channels is None:
        raise ModelError(f"{name} needs gate_channels, the width of the decoder's gating signal")
    _refuse_constructor(entry, options)
    gate = {"gate_channels": gate_channels} if entry.gate else {}
    try:
        return entry.module(channels=channels, ndim=ndim, **gate, **options)
    except Exception as error:  # own code may raise anything; it is passed on
        raise ModelError(
            f"{name} with channels={channels}, ndim={ndim}, {options}: {said(error)}"
        ) from error


def said(error: Exception) -> str:
    """What an error of a mechanism says, of its kind if it says little, and its line in own code.

    Of several lines the first.
    """
    first = next(iter(str(error).splitlines()), "")
    known = isinstance(error, AttnBenchError | ValueError)
    return (first if known else f"{type(error).__name__}: {first}") + line_of(error)


def _refuse_constructor(entry: Mechanism, options: Collection[str]) -> None:
    """Refuse a class that cannot be built as every mechanism is.

    Raises:
        ModelError: what its constructor takes, and what is expected.
    """
    parameters = _arguments(entry.module)
    names = {parameter.name for parameter in parameters}
    given = {"channels", "ndim", *(["gate_channels"] if entry.gate else [])}
    takes_all = any(parameter.kind is _MANY[1] for parameter in parameters)
    lacking = sorted(set() if takes_all else given - names)
    unset = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in _MANY
        and parameter.name not in {*given, *options}
    ]
    written = entry.module.__init__ is not nn.Module.__init__
    if written and not lacking and not unset:
        return
    found = ", ".join(map(str, parameters)) if written else ""
    problem = f"lacks {', '.join(lacking)}" if lacking else f"needs {', '.join(unset)}"
    raise ModelError(
        f"{entry.name}: found {entry.module.__name__}({found}), which "
        f"{problem if written else 'has no __init__'}; expected `__init__(self, channels, ndim, "
        f"{'gate_channels, ' if entry.gate else ''}...)`, where what follows are options with "
        "defaults, or set in `options:` (docs/your-model.md)"
    )
