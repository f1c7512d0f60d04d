"""A study that is run as a user runs it and disturbed on the way: who is at work, what is left."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
# Inherited by every process of the study, also of one whose parent was killed.
_MARK = "ATTNBENCH_TEST_STUDY"
# Files in which seconds of this very run stand, and what is made of them.
TIMED = re.compile(
    r"/(cost|learning|runs|pareto)\.|^(benchmarks|logs|measured|seals)/|^(report|provenance)\.html$"
    r"|/(history\.csv|run\.json|train\.log|events\.out\.\S+)$"
)


@dataclass(frozen=True)
class Job:
    """A process that does `attnbench <verb> <words>`; `log` and the like are left out."""

    pid: int
    verb: str
    words: tuple[str, ...]


@dataclass
class Disturbed:
    """One study in a folder of its own, started as often as it takes.

    study: file, in `folder`. output: its results. targets: of Snakemake, as paths in `folder`.
    """

    folder: Path
    study: Path
    output: Path
    targets: tuple[str, ...] = ()
    cores: int = 2
    source: Path = ROOT / "src"
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    said: list[str] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Of all its processes: these sources, and the mark by which they are found again."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {
            **os.environ,
            "PATH": path,
            "PYTHONPATH": str(self.source),
            "OMP_NUM_THREADS": "1",
            _MARK: self.mark,
        }

    def start(self) -> subprocess.Popen[bytes]:
        """Start the study, in a process group of its own; its words go to a file."""
        words = ["run", self.study.name, "--cores", str(self.cores), *self.targets]
        path = self.folder / f"said{len(self.said)}.txt"
        self.said.append(path.name)
        with path.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "attnbench.cli", *words],
                cwd=self.folder,
                env=self.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_as_in_a_terminal,
            )
        return self._process

    def words(self) -> str:
        """What the last start said."""
        return (self.folder / self.said[-1]).read_text(encoding="utf-8", errors="replace")

    def finish(self) -> None:
        """Start it until it is done.

        Raises:
            AssertionError: it failed, with what it said.
        """
        self.unlock()
        assert self.start().wait() == 0, self.words()[-4000:]

    def unlock(self) -> None:
        """Do what `snakemake --unlock` does, without planning the study first."""
        for path in (self.folder / ".snakemake" / "locks").glob("*"):
            path.unlink()

    def processes(self) -> dict[int, list[str]]:
        """Words of every living process of this study, by its number."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if f"{_MARK}={self.mark}".encode() not in (path / "environ").read_bytes():
                    continue
                words = (path / "cmdline").read_bytes().decode(errors="replace")
                # Of a zombie the command line is empty.
                if words:
                    found[int(path.name)] = words.rstrip("\0").split("\0")
            except OSError:
                continue
        return found

    def jobs(self) -> list[Job]:
        """What is done now."""
        return [job for pid, words in self.processes().items() if (job := _job(pid, words))]

    def wait_for(self, verbs: Sequence[str], seconds: float = 1800) -> Job | None:
        """Wait until one of `verbs` is at work; None where the study ended before that."""
        assert self._process is not None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for job in self.jobs():
                if job.verb in verbs:
                    return job
            if self._process.poll() is not None:
                return None
            time.sleep(0.02)
        raise AssertionError(f"none of {verbs} was at work for {seconds} s:\n{self.words()}")

    def wait_until(self, condition: Callable[[], bool], seconds: float = 1800) -> bool:
        """Wait for a condition; return False where the study ended before that.

        Raises:
            AssertionError: neither came in time.
        """
        assert self._process is not None
        end = time.monotonic() + seconds
        while not condition():
            if self._process.poll() is not None:
                return condition()
            assert time.monotonic() < end, f"waited for {seconds} s in vain:\n{self.words()}"
            time.sleep(0.02)
        return True

    def ends_within(self, seconds: float) -> bool:
        """Return whether Snakemake ends by itself within `seconds`."""
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def wait(self) -> int:
        """Wait for Snakemake; its exit status."""
        assert self._process is not None
        return self._process.wait()

    def kill_group(self, number: int = signal.SIGKILL) -> int:
        """Send a signal to the whole process group and wait for Snakemake; its exit status."""
        assert self._process is not None
        os.killpg(self._process.pid, number)
        return self._process.wait()

    def kill_snakemake(self, number: int = signal.SIGKILL) -> int:
        """Send a signal to Snakemake alone and wait for it; its exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait()

    def end_all(self) -> None:
        """End every process of this study that is left, by number."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def orphans(self, seconds: float) -> dict[int, list[str]]:
        """Processes of the study that are still there after `seconds`."""
        end = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.1)
        return left

    def leftovers(self) -> list[str]:
        """Files in the output folder that no finished study has: temporary ones and the like."""
        named = {"checkpoint.pt", "progress.csv", "predictions.removed"}
        return sorted(
            str(path.relative_to(self.output))
            for path in self.output.rglob("*")
            if not path.name.endswith(".lock")
            and (path.name.startswith(".") or path.name in named or path.suffix == ".narrow")
        )


def _job(pid: int, words: Sequence[str]) -> Job | None:
    """The job of a process; None for a shell, Snakemake, and workers of a job."""
    if len(words) < 3 or "python" not in Path(words[0]).name:
        return None
    if Path(words[1]).name != "attnbench" or words[2].startswith("-"):
        return None
    own = []
    skip = False
    for word in words[3:]:
        if skip or word in ("--log", "--study", "--workers"):
            skip = not skip
            continue
        own.append(word)
    return Job(pid, words[2], tuple(own))


class Writers:
    """Notes, while it runs, pairs of processes that did the same job at once and both wrote.

    A process that waits for another to end writes a line or two at most (that it waits), never
    again and again.
    """

    def __init__(self, study: Disturbed) -> None:
        self._study = study
        self._end = threading.Event()
        self._wrote: dict[tuple[int, int], tuple[int, int]] = {}
        self._verbs: dict[tuple[int, int], str] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Writers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @property
    def pairs(self) -> list[str]:
        """Every pair of which both wrote in four or more of the moments that they lived at once."""
        return [
            f"{self._verbs[pair]}: processes {pair[0]} and {pair[1]} wrote {counts} times"
            for pair, counts in self._wrote.items()
            if min(counts) >= 4
        ]

    def _watch(self) -> None:
        last: dict[int, int] = {}
        while not self._end.wait(0.1):
            by_work: dict[tuple[str, ...], list[int]] = {}
            for job in self._study.jobs():
                by_work.setdefault((job.verb, *job.words), []).append(job.pid)
            for work, pids in by_work.items():
                now = {pid: count for pid in pids if (count := _written(pid)) is not None}
                moved = {pid for pid, count in now.items() if count > last.get(pid, count)}
                for pair in ((a, b) for a in now for b in now if a < b):
                    counts = self._wrote.get(pair, (0, 0))
                    self._wrote[pair] = (
                        counts[0] + (pair[0] in moved), counts[1] + (pair[1] in moved)
                    )  # fmt: skip
                    self._verbs[pair] = " ".join(work)
                last |= now


def _written(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/io").read_text()
    except OSError:
        return None
    found = re.search(r"^wchar: (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None


def contents(output: Path) -> dict[str, str]:
    """Hash of every file of a study that is the same however often it was run.

    Weights and predictions by what is in them, since archives state times; all else byte for byte.
    """
    return dict(_contents(output))


def _contents(output: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(output.rglob("*")):
        name = path.relative_to(output).as_posix()
        if not path.is_file() or TIMED.search(name) or path.name.startswith("."):
            continue
        if path.suffix == ".pt":
            yield name, weights_of(path)
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                parts = [(key, arrays[key]) for key in sorted(arrays.files)]
            digest = hashlib.sha256()
            for key, array in parts:
                digest.update(f"{key} {array.shape} {array.dtype}".encode() + array.tobytes())
            yield name, digest.hexdigest()
        else:
            yield name, hashlib.sha256(path.read_bytes()).hexdigest()


def weights_of(path: Path) -> str:
    """Hash of the weights in a `model.pt`, from the tensors that are in it."""
    import torch

    weights = torch.load(path, map_location="cpu", weights_only=True)["weights"]
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def differences(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Files that are missing, too many, or others than expected."""
    names = sorted(found.keys() | expected.keys())
    return [name for name in names if found.get(name) != expected.get(name)]


def last_step(progress: Path) -> int:
    """The last optimiser step in a growing history; 0 where there is none."""
    try:
        lines = progress.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return int(float(lines[-1].split(",")[0])) if len(lines) > 1 else 0


def finished_trainings(output: Path) -> dict[str, int]:
    """When each finished training was recorded, in nanoseconds, by run."""
    return {
        str(path.parent.relative_to(output / "runs")): path.stat().st_mtime_ns
        for path in (output / "runs").rglob("run.json")
        if json.loads(path.read_text(encoding="utf-8"))
    }


def _as_in_a_terminal() -> None:
    """Heed what these tests themselves may ignore, started in the background or under nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
