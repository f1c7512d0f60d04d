"""A job runs again exactly when its code, or its part of the study, has changed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from attnbench import rerun
from attnbench.cli import app
from attnbench.models.names import known_models
from attnbench.reporting.contents import TABLES
from attnbench.study.settings import parse_study

VERBS = (
    "fetch",
    "prepare",
    "folds",
    "describe",
    "train",
    "predict",
    "score",
    "gather",
    "analyse",
    "tables",
    "figure",
)
VERBS += (
    "measure",
    "score_second_rater",
    "export",
    "report",
    "score_shift",
    "score_ensemble",
    "gather_shift",
    "attend",
    "trial",
    "choose",
)
# Whose a file is, not what is in it; and what these import to ask.
ONLY_CHECKED = {
    "shift/sealed.py", "training/sealed.py", "training/stamp.py",
    "scoring/gather.py", "scoring/rows.py", "training/diverged.py",
}  # fmt: skip
# What training loads and writes down beside its weights: the only files that it may leave out.
ONLY_WRITTEN_DOWN = {
    "models/cost.py", "models/names.py",
    "training/energy.py", "training/progress.py", "training/provenance.py",
    "training/fits.py", "training/memory.py", "training/spent.py",
}  # fmt: skip
STUDY = {
    "name": "small",
    "datasets": ["phantom2d", "phantom3d"],
    "models": [
        "unet",
        "attention_gate",
        {"name": "both", "slots": {"skip": "attention_gate", "decoder": "self_attention"}},
    ],
}


def study(**changes):
    return parse_study({**STUDY, **changes}, known_models())


def words(paths: list[Path]) -> set[str]:
    return {str(path.absolute().relative_to(rerun.PACKAGE)) for path in paths}


SCORED = ("transfer", "corrupted")
SCORING = {"score", "score_ensemble", *SCORED}


def lines(study, dataset: str = "phantom2d", model: str = "unet") -> dict[str, str]:
    decided = (
        "prepare",
        "folds",
        "describe",
        "train",
        "choose",
        "predict",
        "score",
        "score_ensemble",
        "analyse",
        "tables",
        "figure",
    )
    shifted = {kind: rerun.decides(study, "score_shift", dataset, model, kind) for kind in SCORED}
    return shifted | {verb: rerun.decides(study, verb, dataset, model) for verb in decided}


def changed(**changes) -> set[str]:
    before, after = lines(study()), lines(study(**changes))
    return {verb for verb in before if before[verb] != after[verb]}


def test_every_verb_of_the_workflow_is_a_command():
    assert set(VERBS) <= {command.callback.__name__ for command in app.registered_commands}


@pytest.mark.parametrize("verb", VERBS)
def test_code_is_what_python_imports(verb: str):
    """Against Python itself: the files of this package that are loaded once the verb's modules
    are imported.
    """
    files = {file for file in words(rerun.code(verb)) if file.endswith(".py")}
    modules = [
        file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for file in sorted(files)
    ]
    script = (
        f"import sys, importlib\nfor name in {modules}: importlib.import_module('attnbench.' + "
        "name)\n"
        "for name, module in sys.modules.items():\n"
        "    if name.split('.')[0] == 'attnbench' and module.__file__: print(module.__file__)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    loaded = words([Path(line) for line in shown.splitlines()])
    glue = {file for file in loaded if file.startswith(("study/", "own/"))} | {
        "check.py",
        "errors.py",
        "files.py",
        "addresses.py",
        "full_disk.py",
        "locks.py",
        "process.py",
        "seals.py",
        "stops.py",
        "__init__.py",
    }
    glue |= ONLY_WRITTEN_DOWN | ONLY_CHECKED
    assert {file for file in loaded - glue - files if not file.endswith("/__init__.py")} == set()


def test_a_run_depends_on_the_mechanisms_of_its_model_only():
    attention = {"models/attention/attention_gate.py", "models/attention/self_attention.py"}
    for verb in ("describe", "train", "predict"):
        used = {
            name: words(rerun.code(verb, study().model(name))) & attention
            for name in ("unet", "attention_gate", "both")
        }
        assert used == {
            "unet": set(),
            "attention_gate": {"models/attention/attention_gate.py"},
            "both": attention,
        }


def test_templates_and_styles_are_code_of_what_uses_them():
    beside = {
        verb: {
            file
            for file in words(rerun.code(verb, artefact="scores" * (verb == "figure")))
            if not file.endswith(".py")
        }
        for verb in VERBS
    }
    folder = "reporting/templates"
    assert beside["tables"] == {f"{folder}/table.md.jinja", f"{folder}/table.tex.jinja"}
    assert beside["figure"] == {"reporting/attnbench.mplstyle"}
    every = {str(path.relative_to(rerun.PACKAGE)) for path in (rerun.PACKAGE / folder).iterdir()}
    assert beside["report"] >= {name for name in every if "report" in name}
    assert not beside["train"] | beside["score"] | beside["analyse"]


def test_a_figure_depends_on_what_draws_it_and_tables_on_what_builds_them():
    drawn = {
        name: words(rerun.code("figure", artefact=name)) for name in ("scores", "cases_phantom2d")
    }
    assert "reporting/figures/scores.py" in drawn["scores"] - drawn["cases_phantom2d"]
    assert "reporting/figures/cases.py" in drawn["cases_phantom2d"] - drawn["scores"]
    for verb in ("tables", "report"):
        built = {f"reporting/tables/{spec.module}.py" for spec in TABLES}
        assert built <= words(rerun.code(verb))


def test_rooms_after_training_are_no_code_of_training():
    rooms = {file.split("/")[0] for file in words(rerun.code("train", study().model("both")))}
    assert {"models", "training", "data"} <= rooms
    assert rooms & {"scoring", "analysis", "reporting", "inference", "cli.py", "study"} == set()


def test_rules_of_metrics_score_again_and_neither_train_nor_predict():
    verbs = ("prepare", "folds", "train", "predict", "measure", "score_second_rater")
    default, own = study(), study(scoring={"nsd_tolerance": {"px": 3}})
    changed = {
        verb
        for verb in verbs
        if rerun.decides(default, verb, "phantom2d", "unet")
        != rerun.decides(own, verb, "phantom2d", "unet")
    }
    assert changed == {"score_second_rater"}
    assert default.recipe("phantom2d", "unet") == own.recipe("phantom2d", "unet")


def test_a_change_of_the_study_concerns_only_the_jobs_it_decides():
    comparison = {"analyse", "tables", "figure"}
    assert changed(analysis={"bootstrap": 300}) == comparison
    assert changed(metrics=["dice"]) == comparison | SCORING
    for rule in (
        {"nsd_tolerance": {"mm": 2}},
        {"lesion_connectivity": "faces"},
        {"hd_percentile": "larger"},
    ):
        assert changed(scoring=rule) == SCORING | {"tables"}
    assert changed(corruptions=["blur"]) == {"corrupted", "tables"}
    assert changed(data_efficiency=[50]) == {"tables"}
    transfer = {"train": "phantom2d", "test": "phantom3d"}
    assert changed(transfer=[transfer]) == {"transfer", "tables"}
    ensemble = {**transfer, "ensemble": True}
    assert changed(transfer=[ensemble]) == {"transfer", "score_ensemble", "tables"}
    one, other = (
        rerun.decides(study(transfer=[asked]), "score_shift", "phantom2d", "unet", "transfer")
        for asked in (transfer, ensemble)
    )
    assert one == other, "the scores of the single models are not made again"
    by_name, stated = (
        study(transfer=[{**transfer, **said}]) for said in ({}, {"classes": {1: 1, 2: 2, 3: 3}})
    )
    one, other = (
        rerun.decides(said, "score_shift", "phantom2d", "unet", "transfer")
        for said in (by_name, stated)
    )
    assert one == other
    kinds = {kind: words(rerun.code("score_shift", artefact=kind)) for kind in SCORED}
    assert "shift/corrupt.py" in kinds["corrupted"] - kinds["transfer"]
    assert changed(models=["unet", "attention_gate"]) == comparison
    assert changed(training={"steps": 3}) == {"describe", "train", "choose", "tables"}
    swept = {"train", "choose", "tables"}
    assert changed(training={"sweep": {"learning_rate": [0.001, 0.01]}}) == swept
    own = [{"name": "unet", "training": {"weight_decay": 0}}, *STUDY["models"][1:]]
    assert changed(models=own) == {"describe", "train", "choose", "tables"}
    # Folds and seeds are the members of an ensemble.
    assert changed(folds={"outer": 3}) == comparison | {"folds", "score_ensemble"}
    assert changed(folds={"repeats": 2}) == {"folds", "tables", "score_ensemble"}
    assert changed(folds={"run": [0]}) == {"tables", "score_ensemble"}
    mirrored = SCORING - {"score"} | {"predict", "tables"}
    assert changed(inference={"mirroring": True}) == mirrored
    assert changed(datasets=[{"name": "phantom2d", "size": [32, 32]}, "phantom3d"]) == {
        "prepare", "describe", "train", "choose", "tables",
    }  # fmt: skip
    # Stores have the file's own intensities: another scheme prepares nothing again.
    assert changed(datasets=[{"name": "phantom2d", "normalisation": "ct"}, "phantom3d"]) == {
        "folds", "describe", "train", "choose", "tables",
    }  # fmt: skip
    assert changed(datasets=["phantom2d", {"name": "phantom3d", "steps": 3}]) == {"tables"}
    assert (
        changed(
            compute={"threads": 2, "device": "cpu"}, data={"mirror": "elsewhere"}, output="there"
        )
        == set()
    )


def test_a_trial_is_decided_by_its_own_value_and_a_choice_by_the_grid():
    def decided(verb: str, number: int, *values: float, seeds=(0,)) -> str:
        swept = study(training={"sweep": {"learning_rate": values}}, seeds=list(seeds))
        return rerun.decides(swept, verb, "phantom2d", "unet", str(number))

    first = decided("trial", 0, 0.001, 0.01)
    assert first == decided("trial", 0, 0.001, 0.02, 0.04)
    assert first == decided("trial", 1, 0.1, 0.001)
    assert first != decided("trial", 1, 0.001, 0.01)
    assert first == decided("trial", 0, 0.001, 0.01, seeds=(0, 1))
    assert first != decided("trial", 0, 0.001, 0.01, seeds=(1, 0))
    for verb in ("choose", "train"):
        assert decided(verb, 0, 0.001, 0.01) != decided(verb, 0, 0.001, 0.02)


def test_what_the_package_says_of_a_dataset_is_decided_by_content_and_not_by_place(tmp_path):
    """Else every study would run again wherever the package is installed anew."""
    package = tmp_path / "site-packages/attnbench"
    shutil.copytree(
        rerun.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "nuclei_mini")
    )
    script = """
import json, sys
from attnbench import rerun
from attnbench.check import check_study
study = check_study({"name": "s", "datasets": ["retina_drive", "phantom2d"], "models": ["unet"]})
jobs = [(verb, data.name) for verb in ("fetch", "inspect", "prepare") for data in study.datasets]
print(json.dumps({
    " ".join(job): [rerun.decides(study, *job), *map(str, rerun.catalog_files(study, job[1]))]
    for job in jobs
}))
"""

    def said(folder: Path) -> dict[str, list[str]]:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        command = [sys.executable, "-c", script]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(run.stdout)

    here, there = said(rerun.PACKAGE.parent), said(package.parent)
    assert here == there and all(len(files) == 1 for files in here.values())
    for kind, old, new in (
        ("yaml", "ndim:", "# changed\nndim:"),
        ("files.csv", "bc,fov,40,40", "bd,fov,40,40"),
        ("cases.csv", "40,train", "40,test"),
    ):
        path = package / f"catalog/entries/retina_drive.{kind}"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        now = said(package.parent)
        changed = {job for job in now if now[job] != there[job]}
        assert changed == {f"{verb} retina_drive" for verb in ("fetch", "inspect", "prepare")}
        there = now


@pytest.mark.parametrize(("device", "asks"), [("cuda", True), ("cpu", False), ("mps", False)])
def test_a_gpu_is_asked_for_when_the_study_says_so(device: str, asks: bool):
    assert rerun.uses_gpu(study(compute={"device": device})) is asks


def test_by_itself_a_gpu_is_asked_for_where_there_is_one():
    assert rerun.uses_gpu(study()) or not torch.cuda.is_available()


def meaning(folder: Path, text: str, for_readers: bool = False) -> bytes:
    path = folder / f"{abs(hash(text))}.py"
    path.write_text(text)
    return rerun._meaning(path, for_readers)


def test_docstrings_comments_and_format_mean_nothing_and_constants_do(tmp_path):
    code = 'RATE = 0.5\n\n\ndef f(x):\n    """Say."""\n    return {"a": x, **{}}\n'
    same = "'Module.'\nRATE = 0.5  # half\ndef f(\n  x,\n):\n  return {'a': (x), **{}}"
    assert meaning(tmp_path, code) == meaning(tmp_path, same)
    for old, new in (("0.5", "0.25"), ("0.5", "'0.5'"), ("x, **", "x, 'b': "), ("(x)", "(x=None)")):
        assert meaning(tmp_path, code) != meaning(tmp_path, code.replace(old, new))


def test_a_mechanism_s_title_and_paper_are_said_by_its_description_only(tmp_path):
    one, other = (f"@mechanism(title={name!r}, default=('skip',))\nclass A: ...\n" for name in "ab")
    assert meaning(tmp_path, one) == meaning(tmp_path, other)
    assert meaning(tmp_path, one, True) != meaning(tmp_path, other, True)
    assert meaning(tmp_path, one) != meaning(tmp_path, one.replace("skip", "decoder"))
    placed = one.replace("default", "in_paper='elsewhere', default")
    assert meaning(tmp_path, one) == meaning(tmp_path, placed)


def test_training_is_decided_by_nothing_that_cannot_change_weights():
    files = words(rerun.code("train", study().model("unet")))
    assert not files & (ONLY_WRITTEN_DOWN | {"models/presets.py"})
    beside = {"models/controls.py", "models/external.py", "models/matching.py"}
    assert not files & (beside | {"data/difficulty.py", "data/case.py"})
    assert "data/difficulty.py" in words(rerun.code("prepare"))
    control = study(models=["unet", "attention_gate", "attention_gate-parameters"])
    files = words(rerun.code("train", control.model("attention_gate-parameters")))
    assert {"models/controls.py", "models/matching.py", "models/cost.py"} <= files
