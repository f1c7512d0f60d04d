"""Memory that ran out: recognised, freed, and said with what was asked and what there was."""

from __future__ import annotations

import gc
import re
import resource
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from attnbench.errors import OutOfMemory

# What torch and the libraries below it say on CPU, Apple's GPUs and CUDA where it is no class.
# oneDNN says no more than that it has no primitive, of layers that it has one for with more memory.
_SAID = re.compile(
    r"can't allocate memory|not enough memory|out of memory|bad_alloc|ALLOC_FAILED"
    r"|could not (create|allocate) (a )?memory|could not (create|execute) a primitive",
    re.IGNORECASE,
)
_ASKED = (
    (re.compile(r"tried to allocate (\d+) bytes"), 1),
    *(
        (re.compile(rf"(?:tried|unable) to allocate ([\d.]+) {unit}", re.IGNORECASE), 1024**power)
        for power, unit in enumerate(("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"))
    ),
)  # fmt: skip


_CONTROL_GROUP = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def is_out_of_memory(error: BaseException) -> bool:
    """True for an error that says that memory ran out, of a device or of the process."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _SAID.search(str(error)) is not None


def bytes_asked(error: BaseException) -> int | None:
    """Bytes that could not be allocated, as far as the error says so."""
    for pattern, unit in _ASKED:
        if found := pattern.search(str(error)):
            return int(float(found[1]) * unit)
    return None


def memory_left(device: torch.device) -> str:
    """How much memory a device, or on the CPU the process, could still get, and of what."""
    if device.type == "cuda" and torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info(device)
        own = torch.cuda.memory_allocated(device)
        return (
            f"{_size(free)} of {_size(total)} of the GPU were free, {_size(own)} taken by this run"
        )
    limits = list(_limits())
    if device.type != "cpu" or not limits:
        return "what was free is not known on this machine"
    left, of = min(limits)
    return f"{_size(left)} were free {of}"


def _limits() -> Iterator[tuple[int, str]]:
    """Bytes left to the process under every limit that there is, and which."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        pages = _number("/proc/self/statm") or 0
        yield max(0, limit - pages * resource.getpagesize()), f"of `ulimit -v`, {_size(limit)}"
    for most, used in _CONTROL_GROUP:
        have, taken = _number(most), _number(used)
        # Without a limit the first version states the largest number that it has.
        if have is not None and taken is not None and have < 2**60:
            yield max(0, have - taken), f"of this job's control group, {_size(have)}"
    if found := re.search(r"MemAvailable:\s+(\d+) kB", _text("/proc/meminfo")):
        yield int(found[1]) * 1024, "on this machine"


def _number(path: str) -> int | None:
    first = _text(path).split(maxsplit=1)[:1]
    return int(first[0]) if first and first[0].isdigit() else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _size(number: int) -> str:
    return f"{number / 2**30:.2f} GiB"


@contextmanager
def naming_memory(
    doing: str, device: torch.device, facts: Callable[[], Sequence[str]]
) -> Iterator[None]:
    """Turn an error that memory ran out into one that says of what, and what to do.

    Args:
        doing: the work inside, as `training phantom2d/unet/fold0-seed0`.
        device: that it is done on.
        facts: called once what the work held is freed; sentences on the work and on the remedy.

    Raises:
        OutOfMemory: memory ran out.
    """
    said = ""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        asked, left = bytes_asked(error), memory_left(device)
        wanted = f"{_size(asked)} more were asked for, " if asked is not None else ""
        hint = ""
        if "primitive" in str(error):
            hint = f" by all appearances (oneDNN says only {str(error).strip()!r})"
        said = f"out of memory{hint} in {doing}: {wanted}{left}"
        _free(error)
    if said:
        # Behind the handler: until here the error keeps all that its frames held.
        raise OutOfMemory("; ".join((said, *facts())))


def _free(error: BaseException) -> None:
    """Let go of what the frames behind an error held, tensors among it."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__context__
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
