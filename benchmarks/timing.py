"""Times that can be compared: taken in turns in one process, or each in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]


class Spread(NamedTuple):
    """Median and quartiles of repeated measurements."""

    median: float
    low: float
    high: float


class Finished(NamedTuple):
    """Cost of a process: wall seconds, processor seconds with its children, peak of memory.

    The peak is at least that of the process that started it: the kernel counts from before the
    new program.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def interleave(
    work: Mapping[str, Callable[[], object]],
    repeats: int,
    warm: int = 1,
    finish: Callable[[], object] | None = None,
) -> dict[str, list[float]]:
    """Seconds of every callable in each round, all callables taken in turn.

    A round calls each of them once and begins with another one each time, so that what the
    machine does beside falls on all of them.

    Args:
        work: the callables by name.
        repeats: number of rounds that count.
        warm: number of rounds before them that do not.
        finish: called before the clock stops, as `torch.cuda.synchronize` must be.
    """
    names = list(work)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for index in range(-warm, repeats):
        turn = index % len(names)
        for name in names[turn:] + names[:turn]:
            started = time.perf_counter()
            work[name]()
            if finish:
                finish()
            if index >= 0:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of one value or more."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(middle, low, high)


def paired_ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Median and quartiles of the ratio within each round."""
    return spread([first / second for first, second in zip(above, below, strict=True)])


def finish_process(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Finished:
    """Run a command from the checkout to its end; raise `RuntimeError` where it fails."""
    variables = {**os.environ, **(environment or {})}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr
    said = process.stderr.read().decode(errors="replace")
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said[-2000:]}")
    kibibytes = used.ru_maxrss if sys.platform == "linux" else used.ru_maxrss // 1024
    return Finished(seconds, used.ru_utime + used.ru_stime, 1024 * kibibytes)


def alone(function: str, *arguments: Any) -> Any:
    """Return the result of `module:function` from an interpreter of its own.

    Arguments and result pass as JSON. Raises `RuntimeError` with the last lines of the process
    where it fails.
    """
    command = [sys.executable, "-m", "benchmarks.timing", function, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"{function}{arguments} ended with {done.returncode}: {done.stderr[-2000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1])


def _main(function: str, arguments: str) -> None:
    module, _, name = function.partition(":")
    print(json.dumps(getattr(import_module(module), name)(*json.loads(arguments))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
