"""A study that is killed at random moments, over all stages, ends as one that nobody disturbed."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from kills import Disturbed, Writers, contents, differences, finished_trainings, last_step

pytestmark = [
    pytest.mark.robust,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc"),
]
KILLS = int(os.environ.get("ATTNBENCH_KILLS", "50"))
MOST_OF_A_STUDY = 9
SCORES = "results/kills/scores.csv"
STEPS = 800
# A checkpoint is written three times a second, and this machine does hundreds of steps in one.
MOST_STEPS_LOST = 200
STUDY = f"""
name: kills
datasets: [{{name: phantom2d, size: [32, 32]}}]
models: [unet, attention_gate]
backbone: {{widths: [4, 8], blocks_per_level: 1}}
folds: {{outer: 2, inner: 2, run: [0]}}
training:
  {{steps: {STEPS}, batch: 4, patch_2d: [16, 16], validate_every: 10}}
metrics: [dice, hd95]
analysis: {{bootstrap: 200}}
compute: {{checkpoint_minutes: 0.005}}
"""
# Half of the kills fall on trainings, as they do by their share of the time of real studies.
STAGES = {
    "inspect": 0, "fetch": 1, "prepare": 3, "folds": 1, "describe": 2, "train": 14, "predict": 4,
    "score": 3, "measure": 1, "gather": 1, "analyse": 2, "attend": 1, "tables": 1, "figure": 2,
    "export": 1, "report": 1,
}  # fmt: skip
ORDER = list(STAGES)
UNTIL_SCORES = ("fetch", "prepare", "folds", "train", "predict", "score", "gather")


def begin(folder: Path, *targets: str) -> Disturbed:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kills.yaml").write_text(STUDY)
    return Disturbed(folder, folder / "kills.yaml", folder / "results" / "kills", targets)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What every file up to the scores is when nobody disturbs the study."""
    return undisturbed_contents(tmp_path_factory.mktemp("undisturbed"), SCORES)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """The same, with tables, figures and exports."""
    return undisturbed_contents(tmp_path_factory.mktemp("reported"))


def undisturbed_contents(folder: Path, *targets: str) -> dict[str, str]:
    study = begin(folder, *targets)
    study.finish()
    assert study.leftovers() == []
    return contents(study.output)


def assert_whole(study: Disturbed, expected: dict[str, str]) -> None:
    """Every file is that of the undisturbed study, and nothing else is left."""
    found = contents(study.output)
    assert "scores.csv" in found
    assert differences(found, expected) == []
    assert study.orphans(10) == {}
    assert study.leftovers() == []


class Losses:
    """Steps that trainings had done when they were killed, and did once more afterwards."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self._done: dict[Path, int] = {}

    def before_kill(self, study: Disturbed) -> None:
        """Note how far every training is."""
        self.after_start(study)
        for path in (study.output / "runs").rglob("progress.csv"):
            if (done := last_step(path)) and not (path.parent / "run.json").exists():
                self._done[path.parent] = done

    def after_start(self, study: Disturbed) -> None:
        """Note from which step those that were killed went on, as far as they began again."""
        for folder, done in [*self._done.items()]:
            if (resumed := went_on_after(folder)) is not None:
                self.steps.append(max(0, done - resumed))
                del self._done[folder]


def went_on_after(folder: Path) -> int | None:
    """The step that a training says that it went on after; 0 anew, None where it says nothing."""
    try:
        log = (folder / "train.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if found := re.search(r"goes on after step (\d+)", log):
        return int(found[1])
    if "has all its steps" in log:
        return STEPS
    return 0 if re.search(r"step \d+/\d+ ", log) else None


def test_kills_until_there_are_scores_change_nothing(tmp_path, undisturbed):
    kill_at_random(tmp_path, KILLS - KILLS // 5, undisturbed, SCORES)


def test_kills_until_there_is_a_report_change_nothing(tmp_path, reported):
    kill_at_random(tmp_path, KILLS // 5, reported)


def kill_at_random(folder: Path, kills: int, expected: dict[str, str], *targets: str) -> None:
    """Kill studies, one after the other, until there were so many kills; all end alike."""
    draw = random.Random(16 + kills)
    stages = {name: STAGES[name] for name in (UNTIL_SCORES if targets else ORDER)}
    killed: Counter[str] = Counter()
    losses, number = Losses(), 0
    while sum(killed.values()) < kills:
        study = begin(folder / f"study{number}", *targets)
        number += 1
        try:
            with Writers(study) as writers:
                for _ in range(min(MOST_OF_A_STUDY, kills - sum(killed.values()))):
                    (stage,) = draw.choices([*stages], [*stages.values()])
                    study.start()
                    if study.wait_for(ORDER[ORDER.index(stage) :]) is None:
                        break
                    if study.ends_within(draw.uniform(0, 3)):
                        break
                    at_work = {job.verb for job in study.jobs()} or {"snakemake"}
                    losses.before_kill(study)
                    study.kill_group()
                    killed[max(at_work, key=lambda verb: STAGES.get(verb, 0))] += 1
                    assert study.orphans(10) == {}
                    study.unlock()
                study.finish()
            losses.after_start(study)
            assert writers.pairs == []
            assert_whole(study, expected)
        finally:
            study.end_all()
        shutil.rmtree(study.folder)
        print(f"{sum(killed.values())} kills in {number} studies: {dict(killed)}", flush=True)
    print(f"steps done twice after a kill in training: {sorted(losses.steps)}")
    assert max(losses.steps, default=0) <= MOST_STEPS_LOST


def in_mid_training(study: Disturbed) -> str:
    """Start a study, wait until a training has done a hundred steps; return its run."""
    study.start()
    found: list[str] = []

    def is_there() -> bool:
        found[:] = [
            str(path.parent.relative_to(study.output / "runs"))
            for path in (study.output / "runs").rglob("progress.csv")
            if last_step(path) >= 100
        ]
        return bool(found)

    assert study.wait_until(is_there), study.words()
    return found[0]


@pytest.mark.parametrize("whom", ["group", "snakemake"])
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT", "SIGTERM", "SIGHUP"])
def test_every_signal_to_whom_it_may(tmp_path, undisturbed, name, whom):
    """The study is started again at once, as a user would, while what is left may still work."""
    study = begin(tmp_path / "study", SCORES)
    try:
        with Writers(study) as writers:
            in_mid_training(study)
            number = getattr(signal, name)
            done = finished_trainings(study.output)
            status = study.kill_group(number) if whom == "group" else study.kill_snakemake(number)
            left = len(study.processes())
            assert status != 0
            study.unlock()
            said = start_until_free(study)
        again = finished_trainings(study.output)
        print(
            f"{name} to {whom}: status {status}, {left} processes left, {len(done)} trained{said}"
        )
        assert writers.pairs == []
        assert {run: again[run] for run in done} == done, "a finished training was thrown away"
        assert_whole(study, undisturbed)
    finally:
        study.end_all()


def start_until_free(study: Disturbed) -> str:
    """Start a study that may be refused, by name, while what was left of it is at work."""
    refused = 0
    while study.start().wait():
        assert study.processes() or refused < 5, study.words()
        assert "in use by" in study.words() or "works" in study.words(), study.words()
        refused += 1
        time.sleep(2)
    return f", refused {refused} times meanwhile" if refused else ""


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_job_that_is_killed_alone(tmp_path, undisturbed, name):
    """The study fails or goes on, and the next start makes up for it."""
    study = begin(tmp_path / "study", SCORES)
    try:
        in_mid_training(study)
        job = next(job for job in study.jobs() if job.verb == "train")
        os.kill(job.pid, getattr(signal, name))
        assert study.wait() != 0
        assert study.orphans(10) == {}
        study.finish()
        assert_whole(study, undisturbed)
    finally:
        study.end_all()
