"""State of a study while it runs: runs done, running, failed and left, and the training ahead."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from attnbench.files import read_json
from attnbench.reporting.format import duration
from attnbench.study.paths import STAGES
from attnbench.training.diverged import divergence_of

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.study.paths import Run
    from attnbench.study.settings import Study

STATES = ("done", "running", "failed", "stopped", "left")
_SAID = {"step": "step", "loss": "loss", "validation_dice": "validation Dice"}
_QUIET_S = 900.0  # a validation pass or a large scoring writes nothing for minutes


@dataclass(frozen=True)
class RunStatus:
    """State of one run, the stage it is in or waits for (empty when done), and what it says.

    `failed`: the log has an error, whose line it says. `running`: the stage wrote something within
    the last 15 minutes; `stopped`: it did not, and has no result. `left`: the stage has not begun.
    `step` is the last optimiser step that a training has recorded, 0 before the first.
    """

    run: Run
    state: str
    stage: str
    says: str
    step: int = 0


def run_status(study: Study, run: Run, now: float) -> RunStatus:
    """Return the state of `run` at `now`, in seconds since the epoch."""
    layout = study.layout
    stages = (name for name, file in study.stages(run).items() if not file.exists())
    # Removed to free space, they are predicted again only where something asks for them.
    removed = layout.removed(run).exists()
    stage = next((name for name in stages if not (removed and name == "predict")), "")
    if not stage:
        return RunStatus(run, "done", "", "")
    training = stage == "train"
    log = layout.run(run) / "train.log" if training else layout.log(f"{stage}/{run}")
    if not log.exists():
        return RunStatus(run, "left", stage, "")
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("error:")]
    if errors:
        return RunStatus(run, "failed", stage, errors[-1].strip())
    files, row = [log], {}
    if training and layout.progress(run).exists():
        files.append(layout.progress(run))
        row = _last_row(layout.progress(run))
    quiet = now - max(path.stat().st_mtime for path in files)
    state = "running" if quiet < _QUIET_S else "stopped"
    says = ", ".join(f"{_SAID[name]} {float(row[name]):.4g}" for name in _SAID if row.get(name))
    return RunStatus(run, state, stage, says, int(row.get("step", 0)))


def _last_row(progress: Path) -> dict[str, str]:
    """Return the last row of a growing history, each column with its last number so far."""
    row: dict[str, str] = {}
    with progress.open(encoding="utf-8", newline="") as stream:
        for values in csv.DictReader(stream):
            row |= {name: value for name, value in values.items() if value}
    return row


def training_left(study: Study, statuses: Sequence[RunStatus]) -> float:
    """Return the seconds of training ahead in sequence; NaN where a dataset has no trained run.

    A run takes the mean of the trained runs and trials of the same dataset and model, else of the
    dataset; a run at work takes the share of its steps that is left. Trials of a sweep are ahead
    as runs are.
    """
    trials = trial_files(study)
    done = {
        status.run: study.layout.run(status.run) / STAGES["train"]
        for status in statuses
        if status.stage != "train" and status.run.model not in study.elsewhere
    }
    taken = [
        (run, float(read_json(path)["train_seconds"]))
        for run, path in done.items()
        if not divergence_of(study.layout, run)
    ]
    taken += [(run, float(read_json(path)["seconds"])) for run, path in trials if path.exists()]
    ahead = [
        (status.run, _share_left(study, status)) for status in statuses if status.stage == "train"
    ]
    ahead += [(run, 1.0) for run, path in trials if not path.exists()]
    return sum(_expected(run, taken) * share for run, share in ahead)


def trial_files(study: Study) -> list[tuple[Run, Path]]:
    """Return the file of every trial of a study's sweep with the run that it is like."""
    first = (run for run in study.trainings() if run.seed == study.seeds[0])
    return [
        (run, study.layout.trial(run.dataset, run.model, run.fold, number))
        for run in first
        for number in range(len(study.training.trials()))
    ]


def _share_left(study: Study, status: RunStatus) -> float:
    steps = study.training_of(status.run.dataset, status.run.model).steps
    return 1 - status.step / steps if status.state == "running" else 1.0


def _expected(run: Run, taken: Sequence[tuple[Run, float]]) -> float:
    same_data = [(other, seconds) for other, seconds in taken if other.dataset == run.dataset]
    same_model = [seconds for other, seconds in same_data if other.model == run.model]
    return mean(same_model or [seconds for _, seconds in same_data] or [float("nan")])


def status_lines(study: Study, now: float) -> list[str]:
    """Return the lines of `attnbench status`: counts, unfinished runs by state, time left."""
    runs = [*study.runs(), *study.data_efficiency_runs()]
    statuses = [run_status(study, run, now) for run in runs]
    counts = ", ".join(f"{_count(statuses, state)} {state}" for state in STATES)
    lost = {
        each.run: found for each in statuses if (found := divergence_of(study.layout, each.run))
    }
    said = f"; diverged in training: {len(lost)}" if lost else ""
    lines = [f"{study.name}: {len(statuses)} runs: {counts}{said}"]
    if trials := trial_files(study):
        tried = sum(path.exists() for _, path in trials)
        lines.append(f"sweep: {tried} of {len(trials)} trials done")
    for state in ("running", "stopped", "failed"):
        lines += [
            f"  {state:<8}{each.run}  {each.stage}: {each.says}"
            for each in statuses
            if each.state == state
        ]
    lines += [f"  diverged {run}  by step {found['step']}" for run, found in lost.items()]
    if any(each.stage == "train" for each in statuses):
        lines.append(f"training left: {_stated(study, statuses)}")
    report = study.layout.report
    lines += [f"report: {report}"] if report.exists() else []
    return lines


def _stated(study: Study, statuses: Sequence[RunStatus]) -> str:
    """Time left at the number of runs that train now."""
    left = training_left(study, statuses)
    if left != left:  # NaN
        return "unknown until a run of every dataset is done"
    at_once = max(1, _count((each for each in statuses if each.stage == "train"), "running"))
    pace = f"{at_once} runs at a time" if at_once > 1 else "one run after another"
    return f"about {duration(left / at_once)}, {pace}"


def _count(statuses: Iterable[RunStatus], state: str) -> int:
    return sum(each.state == state for each in statuses)


def show_status(study: Study) -> None:
    """Print the state of the study now."""
    print("\n".join(status_lines(study, time.time())))
