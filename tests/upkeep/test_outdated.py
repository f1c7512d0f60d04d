"""What is of another study is found without Snakemake's records; what is of this one is left."""

import json
import os
import time
from hashlib import sha256

import pytest

from attnbench.check import check_study
from attnbench.errors import StudyError
from attnbench.study.paths import STUDY_OF_JOB, Run
from attnbench.training.stamp import identities
from attnbench.upkeep.begin import at_work_lines, begin
from attnbench.upkeep.outdated import jobs_of, outdated_files

RUN = Run("phantom2d", "attention_gate", 1, 0)


@pytest.fixture
def study_of(tmp_path):
    """A study with changed keys, in one output folder for all."""

    def make(**changes):
        keys = {
            "name": "x",
            "datasets": ["phantom2d"],
            "models": ["unet", "attention_gate"],
            "folds": {"outer": 2},
            "training": {"steps": 300},
            "output": str(tmp_path / "out"),
        }
        return check_study(keys | changes)

    return make


def planned(study):
    return study.layout.planned(sha256(study.to_yaml().encode()).hexdigest())


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def finish(study):
    """The files of a study that was run to its end, as far as planning looks at them."""
    name = planned(study)
    begin(study, name)
    for run, identity in identities(study, study.runs()).items():
        write(study.layout.run(run) / "run.json", json.dumps(dict(identity)))
    for job in jobs_of(study):
        write(job.log, f"{STUDY_OF_JOB}{name}\nand more\n")
        write(job.file)


def found(study):
    files = outdated_files(study, planned(study))
    return {str(path.relative_to(study.layout.output)) for path in files}


def jobs(study, *verbs):
    of_verbs = {job.file for job in jobs_of(study) if job.verb in verbs}
    return {str(path.relative_to(study.layout.output)) for path in of_verbs}


def trained(study, model="*"):
    folder = study.layout.output
    return {str(path.relative_to(folder)) for path in folder.glob(f"runs/*/{model}/*/run.json")}


SAID = ("tables", "export", "report")


def test_a_study_has_its_own_files(study_of):
    finish(study_of())
    assert found(study_of()) == set()


def test_another_budget_trains_and_measures_again(study_of):
    finish(study_of())
    other = study_of(training={"steps": 20})
    assert found(other) == trained(other) | jobs(other, "describe", "measure", *SAID)


def test_other_metrics_score_again_and_train_nothing(study_of):
    finish(study_of())
    other = study_of(metrics=["dice", "iou"])
    again = ("score", "score_second_rater", "score_ensemble", "analyse", "figure", *SAID)
    assert found(other) == jobs(other, *again)


def test_the_look_of_figures_draws_them_again(study_of):
    finish(study_of())
    other = study_of(figures={"page": "miccai"})
    assert found(other) == jobs(other, "figure")


def test_a_new_model_gathers_again_and_leaves_old_runs(study_of):
    finish(study_of())
    more = study_of(models=["unet", "attention_gate", "squeeze_excitation"])
    assert found(more) == jobs(study_of(), "gather", "analyse", "figure", *SAID)


def test_other_folds_split_again(study_of):
    finish(study_of())
    other = study_of(folds={"outer": 2, "seed": 7})
    assert found(other) >= jobs(other, "folds") and not trained(other) & found(other)


def test_there_and_back(study_of):
    one, other = study_of(), study_of(training={"steps": 20})
    finish(one)
    finish(other)
    assert found(other) == set()
    assert trained(one) <= found(one)


def test_a_study_that_was_stopped_half_way_is_told_file_by_file(study_of):
    one, other = study_of(), study_of(training={"steps": 20})
    finish(one)
    begin(other, planned(other))
    identity = identities(other, [RUN])[RUN]
    mine = other.layout.run(RUN) / "run.json"
    write(mine, json.dumps(dict(identity)))
    again = trained(other) - {str(mine.relative_to(other.layout.output))}
    assert found(other) & trained(other) == again


def test_the_run_of_another_fold_is_not_this_one(study_of):
    study = study_of()
    finish(study)
    copied = study.layout.run(Run("phantom2d", "attention_gate", 0, 0)) / "run.json"
    (study.layout.run(RUN) / "run.json").write_bytes(copied.read_bytes())
    assert found(study) == {
        str((study.layout.run(RUN) / "run.json").relative_to(copied.parents[4]))
    }


@pytest.mark.parametrize("content", ["", "{", "[]", '{"recipe_hash": 1}', "\0"])
def test_a_damaged_file_of_a_run_is_made_again(study_of, content):
    study = study_of()
    finish(study)
    path = study.layout.run(RUN) / "run.json"
    path.write_text(content)
    assert found(study) == {str(path.relative_to(study.layout.output))}


@pytest.mark.parametrize("log", [None, "", "trained\n", f"{STUDY_OF_JOB}nowhere.yaml\n"])
def test_of_what_nobody_knows_nothing_is_made_again(study_of, log):
    finish(study_of())
    other = study_of(metrics=["dice", "iou"])
    for job in jobs_of(other):
        job.log.unlink() if log is None else job.log.write_text(log)
    assert found(other) == set()


def test_planned_studies_go_when_no_log_names_them_any_more(study_of):
    one, other, third = (study_of(training={"steps": steps}) for steps in (300, 20, 30))
    finish(one)
    begin(other, planned(other))
    long_ago = time.time() - 100 * 86400
    for study in (one, other):
        os.utime(planned(study), (long_ago, long_ago))
    begin(third, planned(third))
    assert planned(one).exists() and planned(third).exists() and not planned(other).exists()
    assert third.layout.study.read_text() == planned(third).read_text()


def test_a_planned_study_reads_as_the_one_that_was_planned(study_of):
    from attnbench.check import load_study

    study = study_of()
    begin(study, planned(study))
    again = load_study(planned(study))
    assert planned(again) == planned(study)


def test_a_planned_study_that_was_changed_is_refused_by_jobs_and_written_anew(study_of):
    from attnbench.cli_options import start

    study = study_of()
    begin(study, planned(study))
    assert start(planned(study), None).name == "x"
    whole = planned(study).read_text()
    planned(study).write_text(whole.replace("steps: 300", "steps: 301"))
    with pytest.raises(StudyError, match="not the study that was planned"):
        start(planned(study), None)
    begin(study, planned(study))
    assert planned(study).read_text() == whole


def test_who_works_in_the_folder_is_said(study_of):
    from attnbench.locks import exclusive

    study = study_of()
    assert at_work_lines(study) == []
    with exclusive(study.layout.lock, "Snakemake on the study x"):
        (line,) = at_work_lines(study)
    assert f"process {os.getpid()} on" in line and at_work_lines(study) == []
