"""What a study may say of predictions that were made elsewhere, and the runs that it then has."""

import os
from pathlib import Path

import pytest

from attnbench import rerun
from attnbench.check import check_study, warnings_of
from attnbench.errors import StudyError
from attnbench.shift.kinds import KINDS
from attnbench.study.paths import Run

ELSEWHERE = {"folder": "theirs/{dataset}/fold{fold}", "origin": "their paper"}


def study_of(predictions=ELSEWHERE, other=(), **keys):
    model = {"name": "theirs", "predictions": predictions, **dict(other)}
    content = {
        "name": "trial",
        "datasets": ["phantom2d", "phantom3d"],
        "models": ["unet", "attention_gate", model],
        "folds": {"outer": 3},
        "seeds": [4, 5],
    }
    return check_study(content | keys)


def test_there_is_one_run_per_fold_with_the_first_seed():
    runs = [run for run in study_of().runs() if run.model == "theirs"]
    datasets = ("phantom2d", "phantom3d")
    assert runs == [Run(name, "theirs", fold, 4) for name in datasets for fold in range(3)]


def test_every_seed_has_a_run_where_the_folder_says_so():
    study = study_of(ELSEWHERE | {"folder": "theirs/{dataset}/{fold}/{seed}"})
    runs = list(study.runs_of("phantom2d", "theirs"))
    assert [(run.fold, run.seed) for run in runs] == [(k, s) for k in range(3) for s in (4, 5)]
    predictions = study.model("theirs").predictions
    assert predictions.folder_of(runs[-1]) == Path("theirs/phantom2d/2/5")


def test_datasets_without_predictions_have_no_run():
    study = study_of(ELSEWHERE | {"datasets": ["phantom3d"]})
    assert not list(study.runs_of("phantom2d", "theirs"))
    assert len(list(study.runs_of("phantom3d", "theirs"))) == 3


def test_what_takes_weights_is_not_asked_of_them():
    study = study_of(
        corruptions=["noise"],
        data_efficiency=[50],
        transfer=[{"train": "phantom2d", "test": "phantom2d_faint", "ensemble": True}],
        datasets=["phantom2d", {"name": "phantom2d_faint", "test_only": True}],
    )
    for kind in KINDS.values():
        models = {run.model for run in kind.runs(study)}
        assert "theirs" not in models
        assert kind.name == "held_out" or models == {"unet", "attention_gate"}
    assert {run.model for run in study.trainings()} == {"unet", "attention_gate"}


@pytest.mark.parametrize(
    ("predictions", "other", "keys", "words"),
    [
        ({"folder": "a"}, {}, {}, r"predictions\.origin"),
        ({"folder": "", "origin": "b"}, {}, {}, r"predictions\.folder"),
        (ELSEWHERE | {"origin": " "}, {}, {}, r"predictions\.origin"),
        (ELSEWHERE | {"folder": "a/{model}"}, {}, {}, r"\{model\} stands for nothing.*\{fold\}"),
        (ELSEWHERE | {"folder": "a/{0}"}, {}, {}, r"\{0\} stands for nothing"),
        (ELSEWHERE | {"folder": "a/{fold"}, {}, {}, "written as in"),
        (ELSEWHERE | {"missing": "skip"}, {}, {}, "refuse"),
        (ELSEWHERE | {"datasets": ["phantom4d"]}, {}, {}, "phantom3d"),
        (ELSEWHERE | {"datasets": []}, {}, {}, r"predictions\.datasets"),
        (ELSEWHERE, {"slots": {"skip": "cbam"}}, {}, "nothing to build or train; remove slots"),
        (ELSEWHERE, {"backbone": {}}, {}, "remove backbone"),
        (ELSEWHERE, {"training": {"weight_decay": 0.1}}, {}, "remove training"),
        (ELSEWHERE, {"network": "monai.networks.nets.UNet"}, {}, "remove network"),
        (ELSEWHERE, {}, {"baseline": "theirs"}, "was predicted elsewhere"),
        (ELSEWHERE, {}, {"models": ["unet", {"name": "theirs", "predictions": ELSEWHERE},
                                    "theirs-random"]}, "only variants have controls"),
    ],
)  # fmt: skip
def test_what_they_cannot_be_is_refused(predictions, other, keys, words):
    with pytest.raises(StudyError, match=words):
        study_of(predictions, other, **keys)


def test_a_folder_that_is_not_there_yet_is_warned_of(tmp_path):
    study = study_of(ELSEWHERE | {"folder": f"{tmp_path}/{{dataset}}-{{fold}}"})
    for name in ("phantom2d-0", "phantom2d-1", "phantom3d-0", "phantom3d-1", "phantom3d-2"):
        (tmp_path / name).mkdir()
    told = [text for text in warnings_of(study) if text.startswith("theirs")]
    assert (
        len(told) == 1
        and "1 folder(s) of predictions made elsewhere are not there yet: " in (told[0])
    )
    assert f"{tmp_path}/phantom2d-2;" in told[0]


def test_a_changed_mask_scores_its_own_fold_again_and_trains_nothing(tmp_path):
    folder = f"{tmp_path}/{{dataset}}/fold{{fold}}"
    study = study_of(ELSEWHERE | {"folder": folder})
    for fold in range(3):
        path = tmp_path / "phantom2d" / f"fold{fold}" / "a.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"1")

    def decided():
        return [
            rerun.decides(study, "score_external", "phantom2d", "theirs", str(fold), "4")
            for fold in range(3)
        ]

    before = decided()
    assert decided() == before
    path = tmp_path / "phantom2d" / "fold1" / "a.png"
    os.utime(path, ns=(0, 0))
    assert [a == b for a, b in zip(before, decided(), strict=True)] == [True, False, True]
    (tmp_path / "phantom2d" / "fold2" / "b.png").write_bytes(b"2")
    assert [a == b for a, b in zip(before, decided(), strict=True)] == [True, False, False]
    other = study_of(ELSEWHERE | {"folder": folder, "origin": "another paper"})
    assert rerun.decides(other, "score_external", "phantom2d", "theirs", "0", "4") != before[0]
    without = study_of(models=["unet", "attention_gate"])
    for model in ("unet", "attention_gate"):
        of_model = ("train", "phantom2d", model)
        assert rerun.decides(study, *of_model) == rerun.decides(without, *of_model)
