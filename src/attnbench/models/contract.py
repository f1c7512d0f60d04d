"""The contract of mechanisms, ours and a user's own, as checks that say what they found.

What a mechanism may and may not do is in docs/your-model.md; every check here is a line there.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attnbench.errors import AttnBenchError, ModelError
from attnbench.models.cost import count_activation_bytes, count_flops
from attnbench.models.layers import sound_gradients
from attnbench.models.names import facts_of, methods_of
from attnbench.models.registry import get_mechanism, said
from attnbench.models.specimen import (
    EVEN,
    LAYOUT,
    ODD,
    Arguments,
    Breach,
    Doubt,
    Specimen,
    apply,
    features,
    off_start,
)
from attnbench.models.unet import UNet
from attnbench.study.models import BackboneSettings, Placement
from attnbench.study.names import Slot

Verdict = Literal["ok", "warning", "fails"]
_WIDTHS = BackboneSettings().widths
# Relative to the largest value: above the rounding of single precision, below any real difference.
_ALIKE = 1e-5
_NEAR = 0.05  # of bfloat16, which has 8 bits
_DEVICE = (
    "name no device: create tensors on that of the input, `x.new_zeros(...)` or "
    "`torch.arange(n, device=x.device)`, and no `.cuda()`"
)


@dataclass(frozen=True)
class Finding:
    """What one check of a mechanism in 2-D or 3-D (`form`) tried and found, and what to do."""

    promise: str
    form: str
    tried: str
    verdict: Verdict
    found: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Check:
    """A promise that mechanisms make, what is tried, and what to do where it is not kept.

    `run` raises `Breach`, or `Doubt` for what only deserves a warning; whatever else it raises is
    an error of the mechanism.
    """

    promise: str
    tried: str
    advice: str
    run: Callable[[Specimen], None]


CHECKS: list[Check] = []


def _check(
    promise: str, tried: str, advice: str
) -> Callable[[Callable[[Specimen], None]], Callable[[Specimen], None]]:
    def add(run: Callable[[Specimen], None]) -> Callable[[Specimen], None]:
        CHECKS.append(Check(promise, tried, advice, run))
        return run

    return add


def check_mechanism(
    name: str, ndims: Sequence[int] = (), options: Mapping[str, Any] | None = None
) -> Iterator[Finding]:
    """Try every check of the contract on a mechanism, by name or reference.

    Args:
        name: of a mechanism, or a reference to own code.
        ndims: numbers of spatial axes; those that it declares where empty.
        options: as a study sets them.

    Raises:
        OwnCodeError: own code that cannot be found or loaded.
        ModelError: there is no such mechanism.

    Where it cannot be built, or does not keep its shape, the rest of a form is not tried.
    """
    entry = get_mechanism(name)
    said_before: set[str] = set()
    for ndim in ndims or entry.ndims:
        specimen = specimen_of(name, ndim, options or {})
        for check in CHECKS:
            finding = examine(check, specimen)
            again = finding.found and finding.found in said_before
            said_before.add(finding.found)
            yield replace(finding, advice="as above") if again else finding
            if check in FIRST and finding.verdict == "fails":
                break


def specimen_of(name: str, ndim: int, options: Mapping[str, Any] | None = None) -> Specimen:
    """The mechanism at the first level of the default U-Net that takes it."""
    first = Specimen(name, ndim, options or {}, _WIDTHS[0])
    return replace(first, channels=next(_widths_taken(first), _WIDTHS[0]))


def examine(check: Check, specimen: Specimen) -> Finding:
    """Try one check; random numbers and modes of torch are left as they were."""
    sides = {"even": EVEN[specimen.ndim], "odd": ODD[specimen.ndim]}
    tried = check.tried.format(**{key: " x ".join(map(str, of)) for key, of in sides.items()})
    finding = Finding(check.promise, f"{specimen.ndim}-D", tried, "ok")
    with torch.random.fork_rng(devices=[]):
        try:
            check.run(specimen)
        except Breach as breach:
            verdict: Verdict = "warning" if isinstance(breach, Doubt) else "fails"
            return replace(
                finding,
                verdict=verdict,
                found=breach.found,
                advice=breach.advice or check.advice,
            )
        except Exception as error:  # own code may raise anything; it is passed on
            return replace(
                finding, verdict="fails", found=said(error), advice=_advice(error, check.advice)
            )
    return finding


def _advice(error: Exception, otherwise: str) -> str:
    text = str(error).lower()
    return _DEVICE if any(word in text for word in ("cuda", "nvidia", "device")) else otherwise


def _widths_taken(specimen: Specimen) -> Iterator[int]:
    for width in _WIDTHS:
        with suppress(AttnBenchError):
            specimen.build(channels=width)
            yield width


@_check(
    "is built for every level",
    f"{', '.join(map(str, _WIDTHS))} channels, the default U-Net's",
    "take any number of channels, in 2-D and 3-D ({2: nn.Conv2d, 3: nn.Conv3d}[ndim], "
    "attnbench.models.layers); what has a 2-D form alone declares `@mechanism(ndims=(2,))`",
)
def _builds(specimen: Specimen) -> None:
    refused: dict[int, ModelError] = {}
    for width in _WIDTHS:
        try:
            module = specimen.build(channels=width)
        except ModelError as error:
            refused[width] = error
            continue
        if not isinstance(module, nn.Module):
            raise Breach(f"a {type(module).__name__}")
    if len(refused) == len(_WIDTHS):
        raise refused[_WIDTHS[0]]
    if refused:
        levels = [level for level, width in enumerate(_WIDTHS) if width not in refused]
        raise Doubt(
            f"refuses {', '.join(map(str, refused))} channels: {next(iter(refused.values()))}",
            f"place it where it fits, `levels: {levels}` of the default U-Net, or let it take any "
            "number of channels",
        )


@_check(
    "keeps the shape of its features",
    "sides {even}; 1, 2 and 3 images, in training and in evaluation",
    "return features of the shape and dtype of x, whatever the batch and the size; what has a "
    "2-D form alone declares `@mechanism(ndims=(2,))`",
)
def _keeps_shape(specimen: Specimen) -> None:
    for batch in (1, 2, 3):
        _passes(specimen, EVEN[specimen.ndim], batch)


# Nothing else can be tried on a mechanism that does not keep these two.
FIRST = tuple(CHECKS)


@_check(
    "is what planning reads in its file",
    "slots, default slots and levels, controls and attention map, read without running the file",
    "decorate the class with `@mechanism(...)`, by that name, every argument written out; write "
    "`attention_map` as a method",
)
def _is_read(specimen: Specimen) -> None:
    entry, facts = specimen.entry, facts_of(specimen.name)
    read = (facts.slots, facts.default, facts.finest, facts.deepest)
    run = (entry.slots, entry.default, entry.finest, entry.deepest)
    if read != run:
        raise Breach(f"slots and levels {read} in the file, {run} when it runs")
    lacks = {control for control, key in _DECLARED.items() if not getattr(entry, key)}
    if set(facts.lacks) != lacks:
        raise Breach(f"lacks {sorted(facts.lacks)} in the file, {sorted(lacks)} when it runs")
    if hasattr(entry.module, "attention_map") and "attention_map" not in methods_of(specimen.name):
        raise Breach("an attention_map that is no method written in the class or its bases")


_DECLARED = {"gamma0": "scale", "uniform": "logits"}


@_check(
    "starts from the seed alone",
    "built twice with one seed, once with another",
    "draw initial values by torch (nn.init), and never call `torch.manual_seed`: a run's seed "
    "decides them",
)
def _starts_from_seed(specimen: Specimen) -> None:
    first, drawn = specimen.build(0).state_dict(), torch.rand(4)
    again = specimen.build(0).state_dict()
    for key, value in first.items():
        if not torch.equal(value, again[key]):
            raise Breach(f"{key} starts otherwise with the same seed")
    specimen.build(1)
    if torch.equal(drawn, torch.rand(4)):
        raise Breach("its constructor sets the seed of all random numbers")


@_check(
    "keeps the shape at odd sizes",
    "sides {odd}; 1 and 2 images, in training and in evaluation",
    "resize what is smaller or larger to `x.shape[2:]` (attnbench.models.layers.resize)",
)
def _keeps_odd_shape(specimen: Specimen) -> None:
    try:
        for batch in (1, 2):
            _passes(specimen, ODD[specimen.ndim], batch)
    except Exception as error:
        if "bottleneck" in specimen.entry.slots:
            raise
        raise Doubt(
            error.found if isinstance(error, Breach) else said(error),
            "nothing, for now: the U-Net pads images so that only its bottleneck has odd sides",
        ) from error


def _passes(specimen: Specimen, size: tuple[int, ...], batch: int) -> None:
    for training in (True, False):
        arguments = specimen.inputs(size, batch)
        module = specimen.build().train(training)
        for x, y in zip(features(arguments), specimen.run(module, arguments), strict=True):
            if y.dtype != x.dtype:
                raise Breach(f"output {y.dtype} for x {x.dtype}")
            if not y.isfinite().all():
                raise Breach("output that is not finite")


@_check(
    "stays finite where features are zero",
    "x and gate all zero, as behind padding",
    "add a small constant to what is divided by, or to what a root is taken of",
)
def _finite_at_zero(specimen: Specimen) -> None:
    arguments = apply(torch.zeros_like, specimen.inputs(EVEN[specimen.ndim]))
    outputs = specimen.run(off_start(specimen.build()), arguments)
    if not all(y.isfinite().all() for y in outputs):
        raise Breach("output that is not finite")


@_check(
    "keeps double precision",
    "weights and x in float64",
    "create tensors in the dtype of the input: `x.new_zeros(...)`, `torch.ones(n, dtype=x.dtype)`",
)
def _keeps_double(specimen: Specimen) -> None:
    arguments = _double(specimen.inputs(EVEN[specimen.ndim]))
    for y in specimen.run(specimen.build().double(), arguments):
        if y.dtype != torch.float64:
            raise Breach(f"output {y.dtype} for x torch.float64")


@_check(
    "leaves its input as it is",
    "x and gate compared before and after, in training and in evaluation",
    "do not write into x or gate (`x += ...`, `relu(inplace=True)`): other layers read them too",
)
def _leaves_input(specimen: Specimen) -> None:
    for training in (True, False):
        arguments = specimen.inputs(EVEN[specimen.ndim])
        before = apply(Tensor.clone, arguments)
        specimen.run(off_start(specimen.build()).train(training), arguments)
        for old, new in zip(tree_leaves(before), tree_leaves(arguments), strict=True):
            if not torch.equal(old, new):
                where = "training" if training else "evaluation"
                raise Breach(f"its input is changed in place, in {where}")


@_check(
    "repeats itself in evaluation",
    "the same images before and after other ones; buffers and random numbers compared",
    "keep nothing between calls and draw nothing in evaluation (`if self.training`, nn.Dropout)",
)
def _repeats(specimen: Specimen) -> None:
    module = off_start(specimen.build()).eval()
    arguments = specimen.inputs(EVEN[specimen.ndim])
    kept = {key: value.clone() for key, value in module.state_dict().items()}
    random = torch.get_rng_state()
    first = specimen.run(module, arguments)
    if not torch.equal(random, torch.get_rng_state()):
        raise Breach("random numbers are drawn in evaluation")
    specimen.run(module, specimen.inputs(EVEN[specimen.ndim], seed=2))
    for y, again in zip(first, specimen.run(module, arguments), strict=True):
        if not torch.equal(y, again):
            raise Breach(f"the same images give another output, {_difference(again, y)}")
    for key, value in module.state_dict().items():
        if not torch.equal(value, kept[key]):
            raise Breach(f"buffer {key} changes in evaluation")


@_check(
    "treats every image of a batch alone",
    "3 images together and one by one, in evaluation",
    "compute nothing across the first axis; reshape with `flatten(2)` or `x.shape[0]` kept first",
)
def _treats_images_alone(specimen: Specimen) -> None:
    module = off_start(specimen.build()).double().eval()
    arguments = _double(specimen.inputs(EVEN[specimen.ndim], batch=3))
    together = specimen.run(module, arguments)
    for case in range(3):
        alone = specimen.run(module, apply(lambda x, i=case: x[i : i + 1], arguments))  # type: ignore[misc]
        for y, expected in zip(alone, together, strict=True):
            if not _alike(y, expected[case : case + 1]):
                found = _difference(y, expected[case : case + 1])
                raise Breach(f"image {case + 1} alone gives another output, {found}")


@_check(
    "repeats a training under one seed",
    "a step in training from the same seed, twice; random numbers compared",
    "draw random numbers by torch alone, not by numpy or random",
)
def _repeats_training(specimen: Specimen) -> None:
    def step() -> tuple[list[Tensor], bool]:
        module = off_start(specimen.build())
        torch.manual_seed(3)
        before = torch.get_rng_state()
        outputs = specimen.run(module, specimen.inputs(EVEN[specimen.ndim]))
        return outputs, not torch.equal(before, torch.get_rng_state())

    (first, drawn), (again, _) = step(), step()
    if not all(torch.equal(a, b) for a, b in zip(first, again, strict=True)):
        raise Breach("the same step gives another output")
    if drawn:
        raise Doubt(
            "random numbers are drawn in training, as by dropout",
            "a training that was interrupted goes on with other random numbers than one that was "
            "not: both are fair, and not the same to the bit",
        )


@_check(
    "trains every parameter, and passes gradients on",
    "the sum of squares of its output, backwards, on weights off their start",
    "remove parameters that are not used, for matched controls count them; detach nothing",
)
def _trains(specimen: Specimen) -> None:
    module = off_start(specimen.build().double())
    arguments = apply(Tensor.requires_grad_, _double(specimen.inputs(EVEN[specimen.ndim])))
    with _deterministic():
        sum(y.square().sum() for y in specimen.run(module, arguments)).backward()  # type: ignore[union-attr]
    for name, x in zip(("x", "gate") * 2, tree_leaves(arguments), strict=False):
        if x.grad is None or not x.grad.any():
            raise Breach(f"no gradient reaches {name}")
        if not x.grad.isfinite().all():
            raise Breach(f"the gradient of {name} is not finite")
    unused, broken = [], []
    for key, parameter in module.named_parameters():
        # A bias may have none: before a normalisation, or added to all keys of a softmax.
        if parameter.requires_grad and (
            parameter.grad is None or not (parameter.grad.any() or key.endswith("bias"))
        ):
            unused.append(key)
        elif parameter.grad is not None and not parameter.grad.isfinite().all():
            broken.append(key)
    if unused:
        raise Breach(f"parameters without a gradient: {', '.join(unused)}")
    if broken:
        raise Breach(f"gradients that are not finite: {', '.join(broken)}")


@_check(
    "works in mixed precision",
    "forward and backward under bfloat16, beside single precision",
    "compute what needs single precision in it: attnbench.models.layers.single_precision",
)
def _mixed_precision(specimen: Specimen) -> None:
    # A joint mechanism sees patches: were there only one, batch normalisation would blow up its
    # rounding.
    size = tuple((3 if specimen.entry.joint else 1) * side for side in EVEN[specimen.ndim])
    arguments = specimen.inputs(size)
    expected = specimen.run(specimen.build(), arguments)
    module = specimen.build()
    with sound_gradients(), torch.autocast("cpu", torch.bfloat16):
        outputs = specimen.run(module, apply(Tensor.requires_grad_, arguments))
        sum(y.float().square().sum() for y in outputs).backward()  # type: ignore[union-attr]
    grads = [p.grad for p in module.parameters() if p.grad is not None]
    if not all(value.isfinite().all() for value in (*outputs, *grads)):
        raise Breach("outputs or gradients that are not finite")
    for y, exact in zip(outputs, expected, strict=True):
        if not _alike(y.float(), exact, _NEAR):
            raise Doubt(f"far from single precision, {_difference(y.float(), exact)}")


@_check(
    "works with channels last",
    "the memory layout that GPUs train in, beside the usual one",
    "`reshape` instead of `view`, and no strides",
)
def _channels_last(specimen: Specimen) -> None:
    module = off_start(specimen.build()).double().eval()
    arguments = _double(specimen.inputs(EVEN[specimen.ndim]))
    expected = specimen.run(module, arguments)
    layout = LAYOUT[specimen.ndim]
    permuted = apply(lambda x: x.contiguous(memory_format=layout), arguments)
    module.to(memory_format=layout)  # type: ignore[call-overload]
    for y, exact in zip(specimen.run(module, permuted), expected, strict=True):
        if not _alike(y, exact):
            raise Breach(f"another output, {_difference(y, exact)}")


@_check(
    "is all in its weights",
    "a step of training, then weights saved and loaded into a new one",
    "register what training changes: nn.Parameter, or `self.register_buffer`",
)
def _saved(specimen: Specimen) -> None:
    module = off_start(specimen.build())
    specimen.run(module, specimen.inputs(EVEN[specimen.ndim], seed=4))
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other = specimen.build()
    other.load_state_dict(torch.load(file, weights_only=True))
    arguments = specimen.inputs(EVEN[specimen.ndim])
    outputs = (specimen.run(one.eval(), arguments) for one in (module, other))
    for y, loaded in zip(*outputs, strict=True):
        if not torch.equal(y, loaded):
            raise Breach(f"loaded weights give another output, {_difference(loaded, y)}")


@_check(
    "sits in its slots and changes nothing else",
    "a U-Net with it in every slot that it can take, beside the plain one of the same seed",
    "declare the slots that it fits, `@mechanism(slots=(...))`",
)
def _sits(specimen: Specimen) -> None:
    torch.manual_seed(0)
    plain = UNet(specimen.ndim, 1, 2, _two_widths(specimen)).state_dict()
    x = torch.randn(2, 1, *ODD[specimen.ndim])
    for slot in specimen.entry.slots:
        torch.manual_seed(0)
        network = _unet(specimen, slot)
        weights = network.state_dict()
        if not all(torch.equal(value, weights[key]) for key, value in plain.items()):
            raise Breach(f"in slot {slot!r} the U-Net around it starts with other weights")
        try:
            logits = network(x)
        except Exception as error:
            raise Breach(f"in slot {slot!r}: {said(error)}") from error
        if logits.shape != (2, 2, *ODD[specimen.ndim]):
            raise Breach(f"in slot {slot!r} the U-Net gives {tuple(logits.shape)}")


@_check(
    "has a cost that is counted from shapes",
    "on the meta device, which has shapes and no values, alone and within a U-Net",
    "let no value decide a shape or a branch: no `.item()`, `if x.max() > ...`, numpy in `forward`",
)
def _counted(specimen: Specimen) -> None:
    arguments = apply(lambda x: x.to("meta"), specimen.inputs(EVEN[specimen.ndim]))
    specimen.run(specimen.build().to("meta"), arguments)
    with torch.device("meta"):
        network = _unet(specimen, specimen.entry.slots[0])
    shape = (1, 1, *(2 * side for side in EVEN[specimen.ndim]))
    count_flops(network, shape)
    count_activation_bytes(_unet(specimen, specimen.entry.slots[0]), shape)


@_check(
    "declares parameters that it has",
    "`scale` zero at the start and the identity with it; `gain` and `logits` by name",
    "name parameters as `dict(self.named_parameters())` does; `scale` starts at zero and the "
    "output is then x to the bit, as `x + gamma * f(x)`; leave out what does not apply",
)
def _declares(specimen: Specimen) -> None:
    entry, module = specimen.entry, specimen.build()
    parameters = dict(module.named_parameters())
    absent = [name for name in (*entry.scale, *entry.gain) if name not in parameters]
    if absent:
        raise Breach(f"no parameter {', '.join(absent)}; it has {', '.join(parameters) or 'none'}")
    names = [
        f"{name}.{key}".lstrip(".")
        for name, owner in module.named_modules()
        for key in (*vars(owner), *owner._modules, *owner._parameters)
    ]
    for pattern in entry.logits:
        if not any(replace(entry, logits=(pattern,)).makes_logits(name) for name in names):
            raise Breach(f"`logits`: nothing is called {pattern}")
    if not entry.scale:
        return
    started = [name for name in entry.scale if parameters[name].any()]
    if started:
        raise Breach(f"`scale`: {', '.join(started)} does not start at zero")
    arguments = specimen.inputs(EVEN[specimen.ndim])
    for x, y in zip(features(arguments), specimen.run(module, arguments), strict=True):
        if not torch.equal(x, y):
            raise Breach(f"`scale` at zero, and it is not the identity, {_difference(y, x)}")
    with torch.no_grad():
        for name in entry.scale:
            parameters[name].fill_(0.5)
    pairs = zip(features(arguments), specimen.run(module, arguments), strict=True)
    if all(torch.equal(x, y) for x, y in pairs):
        raise Breach("`scale` off zero, and it still is the identity")


@_check(
    "has maps of weights, if any",
    "`attention_map` and `channel_map` at even and odd sizes",
    "return a weight of every position, (B, 1, *spatial), finite and not negative; a mechanism "
    "that weights channels has a `channel_map`, (B, C, 1, 1), instead; both may be left out",
)
def _maps(specimen: Specimen) -> None:
    module = off_start(specimen.build()).eval()
    for kind in filter(lambda name: hasattr(module, name), ("attention_map", "channel_map")):
        odd = "bottleneck" in specimen.entry.slots
        for size in (EVEN[specimen.ndim], *([ODD[specimen.ndim]] if odd else [])):
            arguments = specimen.inputs(size)
            weights = getattr(module, kind)(*arguments)
            maps = list(weights) if isinstance(weights, list | tuple) else [weights]
            for x, weight in zip(features(arguments), maps, strict=False):
                per_position = (len(x), 1, *x.shape[2:])
                per_channel = (*x.shape[:2], *([1] * specimen.ndim))
                expected = per_position if kind == "attention_map" else per_channel
                found = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
                if found != expected:
                    raise Breach(f"{kind}: {found} for x {tuple(x.shape)}; expected {expected}")
                if not weight.isfinite().all():
                    raise Breach(f"{kind}: weights that are not finite")
                if (weight < 0).any():
                    raise Breach(f"{kind}: negative weights, {float(weight.detach().min()):.3g}")


@_check(
    "needs memory in proportion to positions",
    "the largest tensor of a step, with twice the side",
    "pairs of positions are 16 million on a 64 x 64 level: use "
    "`torch.nn.functional.scaled_dot_product_attention`, windows or lines, or place it on deep "
    "levels alone",
)
def _memory(specimen: Specimen) -> None:
    side = {2: 24, 3: 6}[specimen.ndim]
    small, large = (_largest_tensor(specimen, length) for length in (side, 2 * side))
    # Pairs of a position and a line grow by a side more than positions, pairs of positions by all.
    if large > 2 * 2**specimen.ndim * small:
        raise Doubt(
            f"{2**specimen.ndim} times the positions take {large / small:.0f} times the memory: "
            f"{4 * large / 1e6:,.0f} MB in one tensor of an image of side {2 * side}"
        )


class _Largest(TorchDispatchMode):
    """Records the number of elements of the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.elements = max(self.elements, *sizes, 0)
        return result


def _largest_tensor(specimen: Specimen, side: int) -> int:
    module = specimen.build()
    sides = (side,) * specimen.ndim
    arguments = apply(Tensor.requires_grad_, specimen.inputs(sides, batch=1))
    with _Largest() as largest:
        sum(y.sum() for y in specimen.run(module, arguments)).backward()  # type: ignore[union-attr]
    return largest.elements


@_check(
    "can be exported",
    "torch.export, and the same output from what it gives",
    "it trains and scores as it is, and its models cannot be exported; let no value decide a "
    "branch, and call no function that torch cannot trace",
)
def _exported(specimen: Specimen) -> None:
    module, arguments = specimen.build().eval(), specimen.inputs(EVEN[specimen.ndim])
    expected = specimen.run(module, arguments)
    try:
        # What torch prints beside its error is for its authors.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), _quiet():
            exported = torch.export.export(module, arguments).module()
        found = specimen.run(exported, arguments)
    except Exception as error:
        raise Doubt(said(error)) from error
    for y, exact in zip(found, expected, strict=True):
        if not _alike(y, exact):
            raise Doubt(f"another output, {_difference(y, exact)}")


def _two_widths(specimen: Specimen) -> tuple[int, int]:
    return specimen.channels, 2 * specimen.channels


def _unet(specimen: Specimen, slot: Slot) -> UNet:
    """A U-Net of two levels with the mechanism in one slot."""
    level = 1 if slot == "bottleneck" else 0
    placed = Placement(name=specimen.name, levels=(level,), options=dict(specimen.options))
    return UNet(specimen.ndim, 1, 2, _two_widths(specimen), slots={slot: (placed,)})


def _double(arguments: Arguments) -> Arguments:
    return apply(Tensor.double, arguments)


def _alike(y: Tensor, exact: Tensor, tolerance: float = _ALIKE) -> bool:
    return bool((y - exact).abs().max() <= tolerance * exact.abs().max())


def _difference(y: Tensor, exact: Tensor) -> str:
    largest = [float(values.detach().abs().max()) for values in (y - exact, exact)]
    return f"by up to {largest[0]:.2g} of {largest[1]:.2g}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Pass over warnings that are logged."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _deterministic() -> Iterator[None]:
    """Refuse operations that do not repeat themselves, as training on a CPU does."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
