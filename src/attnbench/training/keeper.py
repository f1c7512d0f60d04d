"""A training that loses nothing: its state on disk, from which it goes on exactly.

The file is written whole every few minutes, when the training is asked to stop, and after its last
step: it outlives the run's declared files, which Snakemake deletes where it was interrupted itself.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from attnbench import stops
from attnbench.errors import Stopped, listed
from attnbench.files import whole_file

if TYPE_CHECKING:
    from attnbench.training.spent import Meter

_DIGEST = hashlib.sha256().digest_size
Schedule = torch.optim.lr_scheduler.LambdaLR
Owner = Mapping[str, Any]
log = logging.getLogger("attnbench")


class Course(NamedTuple):
    """How far a training is: steps taken, rows of its history, and since the last row the sums of
    the loss' terms (None: none yet), steps and seconds.
    """

    step: int
    rows: list[dict[str, float]]
    sums: Tensor | None
    since: int
    elapsed: float


class Keeper:
    """Keeps the state of one training in the file at `path`.

    Args:
        path: of the checkpoint; None: nothing is kept.
        owner: plain data that the state belongs to: of another owner it is dropped.
        minutes: between two checkpoints.
    """

    def __init__(self, path: Path | None, owner: Owner, minutes: float) -> None:
        self.path, self.owner, self.seconds = path, owner, 60 * minutes
        self.state = _read(path, owner) if path else {}
        self.course = Course(*self.state.get("course", (0, [], None, 0, 0.0)))
        self.written = time.monotonic()

    @property
    def spent(self) -> tuple[float, float | None, int]:
        """Seconds, joules and peak memory in bytes until the checkpoint."""
        return self.state.get("spent", (0.0, 0.0, 0))

    def watch(self, meter: Meter, noise: torch.Generator, steps: int, name: str) -> None:
        """Say what has state beside network, optimiser and schedule, and restore it.

        Args:
            meter: of what the training takes.
            noise: generator of the sampler.
            steps: of the whole training.
            name: of the run, for the log.
        """
        self.meter, self.noise, self.steps, self.name = meter, noise, steps, name
        if self.state:
            noise.set_state(self.state["noise"])
            step = self.course.step
            said = "has all its steps already" if step == steps else f"goes on after step {step}"
            log.info("%s  %s of %d, from %s", name, said, steps, self.path)

    def resume(
        self, network: nn.Module, optimiser: torch.optim.Optimizer, schedule: Schedule
    ) -> tuple[Tensor, int, float]:
        """Restore what is trained; return sums, steps and start time of the row in progress."""
        if self.path:
            self.trained = network, optimiser, schedule
        device = next(network.parameters()).device
        if state := self.state:
            _restore(network, state["network"], state["buffers"])
            if state["optimiser"]:  # there is none behind the last step
                optimiser.load_state_dict(state["optimiser"])
                schedule.load_state_dict(state["schedule"])
            _set_random(device, state["random"])
            self.state = {}
        sums = torch.zeros((), device=device)
        if self.course.sums is not None:
            sums = self.course.sums.to(device)
        return sums, self.course.since, time.perf_counter() - self.course.elapsed

    def after(self, step: int, sums: Tensor, since: int, started: float) -> None:
        """Write a checkpoint after `step` where it is time for one; stop where that was asked for.

        Reads nothing of the device unless it writes.

        Raises:
            Stopped: the process was asked to stop, and the training is not at its end.
        """
        if self.path is None:
            return
        signal, last = stops.asked(), step == self.steps
        if not (signal or last or time.monotonic() - self.written >= self.seconds):
            return
        elapsed = time.perf_counter() - started
        kept = self._write(Course(step, self.course.rows, sums, since, elapsed), last)
        if signal and not last:
            raise Stopped(
                f"{self.name}  stopped by {signal.name} after step {step} of {self.steps}; "
                + (f"goes on from {self.path}" if kept else "its last steps are lost")
            )

    def drop(self) -> None:
        """Remove the checkpoint."""
        if self.path:
            self.path.unlink(missing_ok=True)

    def _write(self, course: Course, last: bool) -> bool:
        """Write the checkpoint, without optimiser and schedule behind the last step."""
        assert self.path is not None
        network, optimiser, schedule = self.trained
        weights = network.state_dict()
        content = {
            "owner": json.dumps(dict(self.owner)),
            "course": tuple(course),
            "spent": tuple(self.meter.read()),
            "network": weights,
            "buffers": {k: v for k, v in network.named_buffers() if k not in weights},
            "optimiser": None if last else optimiser.state_dict(),
            "schedule": None if last else schedule.state_dict(),
            "noise": self.noise.get_state(),
            "random": _random(next(network.parameters()).device),
        }
        try:
            with whole_file(self.path) as temporary:
                _save(content, temporary)
        # A full disk, or a state that cannot be written: the training itself lacks nothing.
        except Exception as error:
            log.warning("warning: %s was not written, training goes on: %s", self.path, error)
            return False
        finally:
            self.written = time.monotonic()
        return True


def _save(content: dict[str, Any], path: Path) -> None:
    """Write torch's file and behind it the SHA-256 of its bytes."""
    torch.save(content, path)
    with path.open("r+b") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
        stream.seek(0, io.SEEK_END)
        stream.write(digest)


def _read(path: Path, owner: Owner) -> dict[str, Any]:
    """The state in `path` if there is one that belongs to `owner`; else it is named and removed."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        log.warning("warning: %s; training starts anew", error)
        return {}
    payload = memoryview(content)[:-_DIGEST]
    if hashlib.sha256(payload).digest() != content[-_DIGEST:]:
        reason = "is damaged"
    else:
        try:
            state: dict[str, Any] = torch.load(
                io.BytesIO(payload), map_location="cpu", weights_only=True
            )
        except pickle.UnpicklingError:
            reason = "has a state that is no plain data"
        else:
            found = json.loads(state["owner"])
            if not (others := differences(found, json.loads(json.dumps(dict(owner))))):
                return state
            reason = f"is of a training with another {others}"
    log.warning("warning: %s %s; it is dropped, and training starts anew", path, reason)
    path.unlink()
    return {}


def differences(found: Owner, owner: Owner) -> str:
    """Keys in words whose values differ between owners; empty where there are none."""
    keys = [key for key in {**owner, **found} if found.get(key) != owner.get(key)]
    said = [f"{key} (found {_short(found.get(key))}, now {_short(owner.get(key))})" for key in keys]
    return listed(said) if said else ""


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"


def _restore(network: nn.Module, weights: dict[str, Any], buffers: dict[str, Tensor]) -> None:
    network.load_state_dict(weights)
    # Not part of a network's weights, but they may have changed with every step.
    own = dict(network.named_buffers())
    with torch.no_grad():
        for name, value in buffers.items():
            if name in own and own[name].shape == value.shape:
                own[name].copy_(value)


def _random(device: torch.device) -> dict[str, Tensor]:
    """States of torch's generators, which dropout draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set_random(device: torch.device, states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    if "mps" in states:
        torch.mps.set_rng_state(states["mps"])


NOTHING = Keeper(None, {}, 1)
"""Keeps nothing."""
