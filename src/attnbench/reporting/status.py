"""Where a study stands while it runs: done, running, failed, left, and how much training is
ahead.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from attnbench.files import read_json
from attnbench.reporting.format import duration

if TYPE_CHECKING:
    from attnbench.study.paths import Layout, Run
    from attnbench.study.settings import Study

STATES = ("done", "running", "failed", "stopped", "left")
_STEPS = {"train": "run.json", "predict": "predictions.npz", "score": "scores.csv"}
_QUIET_S = 900.0


@dataclass(frozen=True)
class RunStatus:
    """One run: its state, the step it is in or waits for (empty when done), and the last line of
    that step's log.

    `failed`: the log has an error, whose line it is. `running`: the log changed within the last
    15 minutes; `stopped`: it did not, and the step has no result. `left`: the step has not
    begun.
    """

    run: Run
    state: str
    step: str
    last_line: str


def run_status(layout: Layout, run: Run, now: float) -> RunStatus:
    """Where `run` stands at `now`, in seconds since the epoch."""
    step = next(
        (name for name, file in _STEPS.items() if not (layout.run(run) / file).exists()), ""
    )
    if not step:
        return RunStatus(run, "done", "", "")
    log = layout.run(run) / "train.log" if step == "train" else layout.log(f"{step}/{run}")
    if not log.exists():
        return RunStatus(run, "left", step, "")
    lines = [
        line.strip()
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    errors = [line for line in lines if line.startswith("error:")]
    if errors:
        return RunStatus(run, "failed", step, errors[-1])
    line = lines[-1].removeprefix(f"{run}  ") if lines else ""
    state = "running" if now - log.stat().st_mtime < _QUIET_S else "stopped"
    return RunStatus(run, state, step, line)


def training_left(study: Study, found: Sequence[RunStatus]) -> float:
    """Seconds of training ahead, one run after another: the mean of the trained runs of the same
    dataset and model, else of the dataset; of a run at work, the share of its steps that is
    left. NaN where no run of a dataset has been trained.
    """
    taken = {
        status.run: float(read_json(study.layout.run(status.run) / "run.json")["train_seconds"])
        for status in found
        if status.step != "train"
    }
    return sum(
        _expected(status.run, taken) * _share_left(status)
        for status in found
        if status.step == "train"
    )


def _share_left(status: RunStatus) -> float:
    steps = re.search(r"step (\d+)/(\d+)", status.last_line) if status.state == "running" else None
    return 1 - int(steps[1]) / int(steps[2]) if steps else 1.0


def _expected(run: Run, taken: dict[Run, float]) -> float:
    same_data = {other: seconds for other, seconds in taken.items() if other.dataset == run.dataset}
    same_model = [seconds for other, seconds in same_data.items() if other.model == run.model]
    return mean(same_model or same_data.values() or [float("nan")])


def status_lines(study: Study, now: float) -> list[str]:
    """What `attnbench status` prints: the counts, every run that is running, stopped or failed,
    and the time left.
    """
    runs = [*study.runs(), *study.data_efficiency_runs()]
    found = [run_status(study.layout, run, now) for run in runs]
    counts = ", ".join(f"{_count(found, state)} {state}" for state in STATES)
    lines = [f"{study.name}: {len(found)} runs: {counts}"]
    for state in ("running", "stopped", "failed"):
        lines += [
            f"  {state:<8}{each.run}  {each.step}: {each.last_line}"
            for each in found
            if each.state == state
        ]
    if any(each.step == "train" for each in found):
        lines.append(f"training left: {_stated(study, found)}")
    report = study.layout.report
    lines += [f"report: {report}"] if report.exists() else []
    return lines


def _stated(study: Study, found: Sequence[RunStatus]) -> str:
    """The time left at the number of runs that train now."""
    left = training_left(study, found)
    if left != left:
        return "unknown until a run of every dataset is done"
    at_once = max(1, _count((each for each in found if each.step == "train"), "running"))
    pace = f"{at_once} runs at a time" if at_once > 1 else "one run after another"
    return f"about {duration(left / at_once)}, {pace}"


def _count(found: Iterable[RunStatus], state: str) -> int:
    return sum(each.state == state for each in found)


def show_status(study: Study) -> None:
    """Print where the study stands now."""
    print("\n".join(status_lines(study, time.time())))
