"""Where a study stands while it runs: done, running, failed, left, and how much training is ahead."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from attnbench.files import read_json
from attnbench.reporting.format import duration

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.layout import Layout, Run
    from attnbench.study import Study

STATES = ("done", "running", "failed", "stopped", "left")
_STEPS = {"train": "run.json", "predict": "predictions.npz", "score": "scores.csv"}
_QUIET_S = 900.0


@dataclass(frozen=True)
class RunStatus:
    """One run: its state, the step it is in or waits for (empty when done), and the last line of that step's log.

    `failed`: the log ends with an error. `running`: the log changed within the last 15 minutes; `stopped`: it did not,
    and the step has no result. `left`: the step has not begun.
    """

    run: Run
    state: str
    step: str
    last_line: str


def run_status(layout: Layout, run: Run, now: float) -> RunStatus:
    """Where `run` stands at `now`, in seconds since the epoch."""
    step = next((name for name, file in _STEPS.items() if not (layout.run(run) / file).exists()), "")
    if not step:
        return RunStatus(run, "done", "", "")
    log = layout.run(run) / "train.log" if step == "train" else layout.log(f"{step}/{run}")
    if not log.exists():
        return RunStatus(run, "left", step, "")
    line = _last_line(log)
    if line.startswith("error:"):
        return RunStatus(run, "failed", step, line)
    return RunStatus(run, "running" if now - log.stat().st_mtime < _QUIET_S else "stopped", step, line)


def _last_line(log: Path) -> str:
    """The last line of a log that is not empty; of a message over several lines, the one that begins it."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    begun = [line for line in lines if not line.startswith(" ")]
    return (begun or lines or [""])[-1].strip()


def training_left(study: Study, found: Sequence[RunStatus]) -> float:
    """Seconds of training ahead, one run after another: the mean of the trained runs of the same dataset and model,
    else of the dataset; NaN where no run of a dataset has been trained.
    """
    taken = {
        status.run: float(read_json(study.layout.run(status.run) / "run.json")["train_seconds"])
        for status in found
        if status.step != "train"
    }
    return sum(_expected(status.run, taken) for status in found if status.step == "train")


def _expected(run: Run, taken: dict[Run, float]) -> float:
    same_data = {other: seconds for other, seconds in taken.items() if other.dataset == run.dataset}
    same_model = [seconds for other, seconds in same_data.items() if other.model == run.model]
    return mean(same_model or same_data.values() or [float("nan")])


def status_lines(study: Study, now: float) -> list[str]:
    """What `attnbench status` prints: the counts, every run that is running, stopped or failed, and the time left."""
    found = [run_status(study.layout, run, now) for run in study.runs()]
    counts = ", ".join(f"{_count(found, state)} {state}" for state in STATES)
    lines = [f"{study.name}: {len(found)} runs: {counts}"]
    for state in ("running", "stopped", "failed"):
        lines += [f"  {state:<8}{each.run}  {each.step}: {each.last_line}" for each in found if each.state == state]
    if any(each.step == "train" for each in found):
        left = training_left(study, found)
        known = left == left
        stated = (
            f"about {duration(left)}, one run after another"
            if known
            else "unknown until a run of every dataset is done"
        )
        lines.append(f"training left: {stated}")
    report = study.layout.report
    lines += [f"report: {report}"] if report.exists() else []
    return lines


def _count(found: Iterable[RunStatus], state: str) -> int:
    return sum(each.state == state for each in found)


def show_status(study: Study) -> None:
    """Print where the study stands now."""
    print("\n".join(status_lines(study, time.time())))
