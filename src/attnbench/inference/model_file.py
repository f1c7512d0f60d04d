"""A network as a file for other programs, by ONNX or `torch.export`: written, run, compared."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from attnbench.errors import ModelError
from attnbench.files import whole_file
from attnbench.inference.plain_operators import in_plain_operators
from attnbench.models.external import ExternalNetwork
from attnbench.models.spec import NetworkSpec
from attnbench.models.unet import UNet

Format = Literal["onnx", "torch"]
FORMATS: tuple[Format, ...] = get_args(Format)
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}
IMAGE, LOGITS = "image", "logits"
"""Names of the input and the output in the file."""
TOLERANCE = 1e-4
"""Largest difference from the network, as a share of the largest logit, that a file may have."""
# Kernels differ by rounding in the order of sums; each of these many inputs is another sample.
_INPUTS = 2
_SEED = 0


@dataclass(frozen=True)
class Freedom:
    """What a file leaves open: the number of images, and sides in steps of so many pixels.

    `step` is None where every side is the training patch's.
    """

    batch: bool
    step: int | None


@dataclass(frozen=True)
class Written:
    """A written file: what it leaves open, and how it agreed with the network.

    `shapes` are those of the inputs (B, C, *spatial) that were compared; `difference` is the
    largest absolute difference of a logit, `largest` the largest absolute logit. `tightened` says
    why the file leaves less open than it might; empty where nothing was in the way.
    """

    freedom: Freedom
    shapes: tuple[tuple[int, ...], ...]
    difference: float
    largest: float
    runtime: str
    tightened: str = ""

    def sides(self, spec: NetworkSpec) -> tuple[int | str, ...]:
        """Input sides in words: a number of pixels, or which numbers there may be."""
        step = self.freedom.step
        if step is None:
            return spec.patch
        return ((f"a multiple of {step}, {2 * step} or more") if step > 1 else "any",) * spec.ndim


def write_network(network: nn.Module, spec: NetworkSpec, form: Format, path: Path) -> Written:
    """Write `network` to `path` as a map of normalised patches to logits, whole or not at all.

    It leaves as much open as the network allows: any number of images of any sides that the
    U-Net need not pad; else any number of patches; else one patch. What is written is run again
    from the file on random inputs of several shapes, and compared.

    Args:
        network: on the CPU, in evaluation mode, in float32; maps (B, C, *spatial) to (B, K,
            *spatial).
        spec: what it was built for.
        form: `onnx` or `torch` (`torch.export`).
        path: ends in `.onnx` or `.pt2`.

    Raises:
        ModelError: a program is missing, the path has another ending, the network cannot be
            written (with the mechanism that is in the way), or the file differs from it.
    """
    if path.suffix != SUFFIX[form]:
        raise ModelError(
            f"{path}: a file of format {form} ends in {SUFFIX[form]}; found {path.suffix!r}"
        )
    write = _WRITERS[form]
    problems: list[str] = []
    for freedom in _freedoms(network):
        try:
            with _quietly(), whole_file(path) as temporary:
                run, runtime = write(network, spec, freedom, temporary)
                return _compared(network, spec, freedom, run, runtime, "; ".join(problems[:1]))
        except _MissingError:
            raise
        # A tracer meets any code, and raises whatever that raises.
        except Exception as error:
            problems.append(_in_short(error))
    reason = f"{_culprit(network, spec, form)}: {problems[-1]}"
    raise ModelError(f"{path}: format {form} cannot express this network; {reason}")


class _MissingError(ModelError):
    """A program that is not installed: no freedom helps."""


def _freedoms(network: nn.Module) -> Iterator[Freedom]:
    """Yield what a file may leave open, the most first."""
    step = _step(network)
    if step is not None:
        yield Freedom(True, step)
    yield Freedom(True, None)
    yield Freedom(False, None)


def _step(network: nn.Module) -> int | None:
    """Sides are multiples of this where nothing is padded; None: of one size only."""
    if isinstance(network, UNet):
        return network.stride
    if isinstance(network, ExternalNetwork):
        return None if network.size else network.divisor
    return 1


def _shapes(spec: NetworkSpec, freedom: Freedom) -> list[tuple[int, ...]]:
    """Shapes to compare on; none of them but one patch is that which the network is traced with."""
    one = (1, spec.in_channels, *spec.patch)
    if not freedom.batch:
        return [one]
    shapes = [one, (3, spec.in_channels, *spec.patch)]
    if (step := freedom.step) is not None:
        # Every axis of another side, so that none can be taken for another.
        larger = (side + step * (axis + 1) for axis, side in enumerate(spec.patch))
        smaller = (max(2 * step, side - step * (axis + 1)) for axis, side in enumerate(spec.patch))
        shapes += [(1, spec.in_channels, *larger), (1, spec.in_channels, *smaller)]
    return shapes


Run = Callable[[Tensor], Tensor]


def _write_torch(
    network: nn.Module, spec: NetworkSpec, freedom: Freedom, path: Path
) -> tuple[Run, str]:
    torch.export.save(_traced(network, spec, freedom), path)
    return torch.export.load(path).module(), f"torch {torch.__version__}"


def _write_onnx(
    network: nn.Module, spec: NetworkSpec, freedom: Freedom, path: Path
) -> tuple[Run, str]:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch's exporter imports it)
    except ModuleNotFoundError as error:
        raise _MissingError(f"{error}; pip install 'attnbench[onnx]'") from error
    program = torch.onnx.export(
        _traced(network, spec, freedom),
        dynamo=True,
        input_names=[IMAGE],
        output_names=[LOGITS],
        external_data=False,
        verbose=False,
    )
    assert program is not None
    program.save(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what it cannot run is said by an error
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([LOGITS], {IMAGE: images.numpy()})[0])

    return run, f"onnxruntime {onnxruntime.__version__}"


_WRITERS: dict[Format, Callable[[nn.Module, NetworkSpec, Freedom, Path], tuple[Run, str]]] = {
    "onnx": _write_onnx,
    "torch": _write_torch,
}


def _traced(module: nn.Module, spec: NetworkSpec, freedom: Freedom) -> torch.export.ExportedProgram:
    # Of one image the tracer would take the number of images for a constant.
    example = torch.zeros((1 + freedom.batch, spec.in_channels, *spec.patch))
    open_axes: dict[int, Any] = {0: torch.export.Dim("batch", min=1)} if freedom.batch else {}
    if freedom.step is not None:
        # Two positions at least are left at the deepest level: one has no variance.
        sides = (torch.export.Dim(f"side{axis}", min=2) for axis in range(spec.ndim))
        open_axes |= {axis + 2: freedom.step * side for axis, side in enumerate(sides)}
    with torch.no_grad():
        program = torch.export.export(module, (example,), dynamic_shapes=(open_axes or None,))
    return in_plain_operators(program)


@torch.no_grad()
def _compared(
    network: nn.Module,
    spec: NetworkSpec,
    freedom: Freedom,
    run: Run,
    runtime: str,
    tightened: str,
) -> Written:
    """Run network and file on the same random inputs; raises `ModelError` where they differ."""
    random = torch.Generator().manual_seed(_SEED)
    shapes = _shapes(spec, freedom)
    difference = largest = 0.0
    for shape in shapes:
        for _ in range(_INPUTS):
            images = torch.randn(shape, generator=random)
            own, other = network(images), run(images)
            if own.shape != other.shape:
                raise ModelError(
                    f"the file gives {tuple(other.shape)} for {shape}, the network "
                    f"{tuple(own.shape)}"
                )
            difference = max(difference, float((own - other).abs().max()))
            largest = max(largest, float(own.abs().max()))
    # Not `>`: where one is no number, they differ.
    if not difference <= TOLERANCE * largest:
        raise ModelError(
            f"run by {runtime}, the file differs from the network by {difference:.2g} in a logit "
            f"(the largest is {largest:.3g}); allowed: {TOLERANCE:g} of it"
        )
    return Written(freedom, tuple(shapes), difference, largest, runtime, tightened)


def _culprit(network: nn.Module, spec: NetworkSpec, form: Format) -> str:
    """Name what cannot be written: the first mechanism that fails by itself, else the network."""
    if isinstance(network, ExternalNetwork):
        return f"the external network {network.network.__class__.__name__}"
    for name, module, inputs in _mechanisms(network, spec):
        try:
            with _quietly(), torch.no_grad():
                program = in_plain_operators(torch.export.export(module, inputs))
                if form == "onnx":
                    torch.onnx.export(program, dynamo=True, verbose=False)
        except Exception:
            return f"the mechanism {name}"
    return "the network"


def _mechanisms(
    network: nn.Module, spec: NetworkSpec
) -> Iterator[tuple[str, nn.Module, tuple[Any, ...]]]:
    """Yield every mechanism by its file's name, with what it is given in one forward pass."""
    if not isinstance(network, UNet):
        return
    placed = [
        *(module for chain in network.slots.chains.values() for module in chain.children()),
        *network.slots.joint,
    ]
    given: dict[nn.Module, tuple[Any, ...]] = {}
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs: given.update({module: inputs}))
        for module in placed
    ]
    with torch.no_grad():
        network(torch.zeros(1, spec.in_channels, *spec.patch))
    for hook in hooks:
        hook.remove()
    for module in placed:
        yield type(module).__module__.rpartition(".")[2], module, given[module]


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what tracers say about themselves from a user, who gets the result in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _in_short(error: BaseException) -> str:
    """The first line of the innermost cause: further ones quote sources and their folders."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {text[:200]}{'…' if len(text) > 200 else ''}"
