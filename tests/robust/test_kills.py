"""A study that is killed at random moments, over all stages, ends as one that nobody disturbed."""

from __future__ import annotations

import os
import random
import shutil
import signal
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
STUDY = """
name: kills
datasets: [{name: phantom2d, size: [32, 32]}]
models: [unet, attention_gate]
backbone: {widths: [4, 8], blocks_per_level: 1}
folds: {outer: 2, inner: 2, run: [0]}
training: {steps: 800, batch: 4, patch_2d: [16, 16], validate_every: 10}
metrics: [dice, hd95]
analysis: {bootstrap: 200}
"""
# Half of the kills fall on trainings, as they do by their share of the time of real studies.
STAGES = {
    "inspect": 0, "fetch": 1, "prepare": 3, "folds": 1, "describe": 2, "train": 14, "predict": 4,
    "score": 3, "measure": 1, "gather": 1, "analyse": 2, "attend": 1, "tables": 1, "figure": 2,
    "export": 1, "report": 1,
}  # fmt: skip
ORDER = list(STAGES)


def begin(folder: Path, *targets: str) -> Disturbed:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kills.yaml").write_text(STUDY)
    return Disturbed(folder, folder / "kills.yaml", folder / "results" / "kills", targets)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What every file of the study is when nobody disturbs it."""
    study = begin(tmp_path_factory.mktemp("undisturbed"))
    study.finish()
    assert study.leftovers() == []
    return contents(study.output)


@pytest.fixture
def study(tmp_path):
    study = begin(tmp_path / "study")
    yield study
    study.end_all()


def assert_whole(study: Disturbed, undisturbed: dict[str, str]) -> None:
    assert differences(contents(study.output), undisturbed) == []
    assert study.leftovers() == []
    assert study.orphans(10) == {}


def test_kills_at_random_moments_change_nothing(tmp_path, undisturbed):
    draw = random.Random(16)
    killed: Counter[str] = Counter()
    number = 0
    while sum(killed.values()) < KILLS:
        study = begin(tmp_path / f"study{number}")
        number += 1
        try:
            with Writers(study) as writers:
                for _ in range(MOST_OF_A_STUDY):
                    (stage,) = draw.choices(ORDER, [*STAGES.values()])
                    study.start()
                    if study.wait_for(ORDER[ORDER.index(stage) :]) is None:
                        break
                    if study.ends_within(draw.uniform(0, 3)):
                        break
                    at_work = {job.verb for job in study.jobs()} or {"snakemake"}
                    study.kill_group()
                    killed[max(at_work, key=lambda verb: STAGES.get(verb, 0))] += 1
                    assert study.orphans(10) == {}
                    study.unlock()
                    if sum(killed.values()) >= KILLS:
                        break
                study.finish()
            assert writers.pairs == []
            assert_whole(study, undisturbed)
        finally:
            study.end_all()
        shutil.rmtree(study.folder)
    print(f"{sum(killed.values())} kills in {number} studies: {dict(killed)}")


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
def test_every_signal_to_whom_it_may(study, undisturbed, name, whom):
    """The study is started again at once, as a user would, while what is left may still work."""
    with Writers(study) as writers:
        in_mid_training(study)
        number = getattr(signal, name)
        status = study.kill_group(number) if whom == "group" else study.kill_snakemake(number)
        done = finished_trainings(study.output)
        left = len(study.processes())
        assert status != 0
        study.unlock()
        study.finish()
    again = finished_trainings(study.output)
    print(f"{name} to {whom}: status {status}, {left} processes left, {len(done)} trained")
    assert writers.pairs == []
    assert {run: again[run] for run in done} == done, "a finished training was thrown away"
    assert_whole(study, undisturbed)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_job_that_is_killed_alone(study, undisturbed, name):
    """The study fails or goes on, and the next start makes up for it."""
    in_mid_training(study)
    job = next(job for job in study.jobs() if job.verb == "train")
    os.kill(job.pid, getattr(signal, name))
    assert study.wait() != 0
    assert study.orphans(10) == {}
    study.finish()
    assert_whole(study, undisturbed)
