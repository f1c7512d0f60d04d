"""State of a study while it runs: runs done, running, failed and left, and the training ahead."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Any

from attnbench.errors import DataError
from attnbench.files import read_json
from attnbench.locks import Holder, holder_of, job_lock
from attnbench.reporting.format import duration
from attnbench.study.paths import STAGES
from attnbench.training.diverged import divergence_of

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.study.paths import Run
    from attnbench.study.settings import Study

STATES = ("done", "running", "failed", "stopped", "left")
_SAID = {"step": "step", "loss": "loss", "validation_dice": "validation Dice"}


@dataclass(frozen=True)
class RunStatus:
    """State of one run, the stage it is in or waits for (empty when done), and what it says.

    `running`: a process is at work on it, as its lock tells. `failed`: the log has an error, whose
    line it says. `stopped`: it was begun, and no process is at work on it. `left`: the stage has
    not begun. `step` is the last optimiser step that a training has recorded, 0 before the first;
    `step_s` the seconds that a step takes, NaN where nobody knows.
    """

    run: Run
    state: str
    stage: str
    says: str
    step: int = 0
    step_s: float = float("nan")


def run_status(study: Study, run: Run) -> RunStatus:
    """Return the state of `run` now."""
    layout = study.layout
    stages = (name for name, file in study.stages(run).items() if not file.exists())
    # Removed to free space, they are predicted again only where something asks for them.
    removed = layout.removed(run).exists()
    stage = next((name for name in stages if not (removed and name == "predict")), "")
    if not stage:
        return RunStatus(run, "done", "", "")
    training = stage == "train"
    log = layout.run(run) / "train.log" if training else layout.log(f"{stage}/{run}")
    holders = [found for path in (layout.lock_of(run), job_lock(log)) if (found := holder_of(path))]
    at_work = [holder for holder, alive in holders if alive]
    if not (at_work or log.exists()):
        return RunStatus(run, "left", stage, "")
    row = _last_row(layout.progress(run)) if training and layout.progress(run).exists() else {}
    says = ", ".join(f"{_SAID[name]} {float(row[name]):.4g}" for name in _SAID if row.get(name))
    step, step_s = int(row.get("step", 0)), _seconds_per_step(study, run, row)
    if at_work:
        begun = says or ("begins, or goes on from its checkpoint" if training else "at work")
        says = ", ".join(filter(None, [begun, _elsewhere(at_work[0])]))
        return RunStatus(run, "running", stage, says, step, step_s)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    if errors := [line for line in lines if line.startswith("error:")]:
        return RunStatus(run, "failed", stage, errors[-1].strip())
    # Who ends by itself takes its lock away.
    killed = f"process {holders[0][0].process.pid} was killed" if holders else ""
    return RunStatus(run, "stopped", stage, ", ".join(filter(None, [says, killed])), step, step_s)


def _elsewhere(holder: Holder) -> str:
    """Where a process is at work, if not on this machine, or not by its own will."""
    here = "" if holder.process.is_here else f"on {holder.process.host}"
    job = f"SLURM job {holder.job}" if holder.job else ""
    return " ".join(filter(None, [job, here]))


def _seconds_per_step(study: Study, run: Run, row: Mapping[str, str]) -> float:
    rate = float(row.get("images_per_second") or "nan")
    return study.training_of(run.dataset, run.model).batch / rate if rate > 0 else float("nan")


def _last_row(progress: Path) -> dict[str, str]:
    """Return the last row of a growing history, each column with its last number so far."""
    row: dict[str, str] = {}
    with progress.open(encoding="utf-8", newline="") as stream:
        for values in csv.DictReader(stream):
            row |= {name: value for name, value in values.items() if value}
    return row


def training_left(study: Study, statuses: Sequence[RunStatus]) -> float:
    """Return the seconds of training ahead in sequence; NaN where nothing of a dataset tells.

    A run at work takes what its own pace says. Any other one takes the mean of the trained runs and
    trials of the same dataset and model, else of the dataset, else what those at work on it will
    take in all. Trials of a sweep are ahead as runs are.
    """
    trials = trial_files(study)
    done = {
        status.run: study.layout.run(status.run) / STAGES["train"]
        for status in statuses
        if status.stage != "train" and status.run.model not in study.elsewhere
    }
    took = [(run, _took(path, "train_seconds")) for run, path in done.items()]
    took += [(run, _took(path, "seconds")) for run, path in trials if path.exists()]
    taken = [(run, seconds) for run, seconds in took if seconds == seconds]
    training = [status for status in statuses if status.stage == "train"]
    known = {run.dataset for run, _ in taken}
    taken += [
        (status.run, status.step_s * _steps(study, status))
        for status in training
        if status.step_s == status.step_s and status.run.dataset not in known
    ]
    left = sum(run_left(study, status, taken) for status in training)
    return left + sum(_expected(run, taken) for run, path in trials if not path.exists())


def run_left(study: Study, status: RunStatus, taken: Sequence[tuple[Run, float]] = ()) -> float:
    """Return the seconds of training that a run has ahead; NaN where nobody knows.

    Args:
        study: that the run is of.
        status: of a run that is not trained.
        taken: seconds that whole trainings took.
    """
    steps = _steps(study, status)
    left = steps - status.step if status.state == "running" else steps
    if status.state == "running" and status.step_s == status.step_s:
        return left * status.step_s
    return _expected(status.run, taken) * left / steps


def _took(path: Path, key: str) -> float:
    """Seconds that a file states; NaN where it is damaged, which its readers refuse."""
    try:
        content = read_json(path)
        # A training that diverged ended early: it tells nothing of a whole one.
        return float("nan") if "diverged" in content else float(content[key])
    except (OSError, ValueError, TypeError, KeyError):
        return float("nan")


def _diverged(study: Study, run: Run) -> dict[str, Any] | None:
    try:
        return divergence_of(study.layout, run)
    except DataError:  # damaged, which its readers refuse
        return None


def _steps(study: Study, status: RunStatus) -> int:
    return study.training_of(status.run.dataset, status.run.model).steps


def trial_files(study: Study) -> list[tuple[Run, Path]]:
    """Return the file of every trial of a study's sweep with the run that it is like."""
    first = (run for run in study.trainings() if run.seed == study.seeds[0])
    return [
        (run, study.layout.trial(run.dataset, run.model, run.fold, number))
        for run in first
        for number in range(len(study.training.trials()))
    ]


def _expected(run: Run, taken: Sequence[tuple[Run, float]]) -> float:
    same_data = [(other, seconds) for other, seconds in taken if other.dataset == run.dataset]
    same_model = [seconds for other, seconds in same_data if other.model == run.model]
    return mean(same_model or [seconds for _, seconds in same_data] or [float("nan")])


def status_lines(study: Study) -> list[str]:
    """Return the lines of `attnbench status`: counts, unfinished runs by state, time left."""
    runs = [*study.runs(), *study.data_efficiency_runs()]
    statuses = [run_status(study, run) for run in runs]
    counts = ", ".join(f"{_count(statuses, state)} {state}" for state in STATES)
    lost = {each.run: found for each in statuses if (found := _diverged(study, each.run))}
    said = f"; diverged in training: {len(lost)}" if lost else ""
    lines = [f"{study.name}: {len(statuses)} runs: {counts}{said}"]
    if trials := trial_files(study):
        tried = sum(path.exists() for _, path in trials)
        lines.append(f"sweep: {tried} of {len(trials)} trials done")
    for state in ("running", "stopped", "failed"):
        lines += [
            f"  {state:<8}{each.run}  {each.stage}: {each.says}{_ahead(study, each)}"
            for each in statuses
            if each.state == state
        ]
    lines += [f"  diverged {run}  by step {found['step']}" for run, found in lost.items()]
    if any(each.stage == "train" for each in statuses):
        lines.append(f"training left: {_stated(study, statuses)}")
    report = study.layout.report
    lines += [f"report: {report}"] if report.exists() else []
    return lines


def _ahead(study: Study, status: RunStatus) -> str:
    """What a training at work will still take, after what it says; empty where nobody knows."""
    left = run_left(study, status) if (status.state, status.stage) == ("running", "train") else 0
    return f", about {duration(left)} left" if left > 0 else ""


def _stated(study: Study, statuses: Sequence[RunStatus]) -> str:
    """Time left at the number of runs that train now."""
    left = training_left(study, statuses)
    if left != left:  # NaN
        return "unknown until a run of every dataset is at work"
    at_once = max(1, _count((each for each in statuses if each.stage == "train"), "running"))
    pace = f"{at_once} runs at a time" if at_once > 1 else "one run after another"
    return f"about {duration(left / at_once)}, {pace}"


def _count(statuses: Iterable[RunStatus], state: str) -> int:
    return sum(each.state == state for each in statuses)


def show_status(study: Study) -> None:
    """Print the state of the study now."""
    print("\n".join(status_lines(study)))
