"""What a study does about losses before any training: names, options, and what is run again."""

from __future__ import annotations

import pytest

from attnbench import rerun
from attnbench.check import check_study
from attnbench.errors import StudyError
from attnbench.reporting.losses import loss_in_full
from attnbench.study.loss import LossSettings
from attnbench.training.loss_check import check_losses

LOSSES = """
from torch.nn import functional as F

def mine(logits, masks, weight=1.0):
    return weight * F.cross_entropy(logits, masks)

def other(logits, masks):
    return F.cross_entropy(logits, masks)
"""
MINE = "./my_losses.py:mine"
CONTENT = {
    "name": "x",
    "datasets": ["phantom2d"],
    "models": ["unet", {"name": "cbam", "training": {"loss": MINE}}, "attention_gate"],
    "controls": ["parameters"],
}
ALL = {"unet", "cbam", "cbam-parameters", "attention_gate", "attention_gate-parameters"}
OWN = {"cbam", "cbam-parameters"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_losses.py").write_text(LOSSES)
    return tmp_path


def planned(**changes):
    study = check_study(CONTENT | changes)
    return {
        model.name: [
            rerun.decides(study, verb, "phantom2d", model.name) for verb in ("train", "measure")
        ]
        for model in study.models
    }


def changed(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def test_an_edited_own_loss_runs_exactly_its_models_again(folder):
    before = planned()
    file = folder / "my_losses.py"
    file.write_text(LOSSES.replace("def mine", "# weighted\ndef mine"))
    assert changed(before, planned()) == set()
    file.write_text(LOSSES.replace("weight * F", "2 * weight * F"))
    assert changed(before, planned()) == OWN


def test_another_loss_of_the_study_leaves_models_with_their_own_alone(folder):
    before = planned()
    assert changed(before, planned(training={"loss": "dice_ce"})) == set()
    after = planned(training={"loss": {"name": "tversky", "options": {"alpha": 0.4}}})
    assert changed(before, after) == ALL - OWN
    assert changed(after, planned(training={"loss": "tversky"})) == ALL - OWN


def test_the_code_of_a_loss_belongs_to_its_own_runs_alone(folder):
    study = check_study(CONTENT | {"training": {"loss": "focal"}})

    def modules(verb, model):
        return {path.stem for path in rerun.code(verb, study.model(model)) if "losses" in str(path)}

    assert modules("train", "unet") == {"__init__", "_parts", "dice_ce"}
    assert modules("train", "cbam") == {"__init__"}
    focal = check_study(
        CONTENT | {"models": [{"name": "unet", "training": {"loss": "dice_focal"}}]}
    )
    files = {path.stem for path in rerun.code("train", focal.model("unet"))}
    assert {"dice_focal", "focal", "_parts"} <= files and not {"boundary", "loss_names"} & files
    assert not {"focal", "dice_focal"} & {
        path.stem for path in rerun.code("predict", focal.model("unet"))
    }


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ("tverski", "no such loss; did you mean 'tversky'"),
        ({"name": "tversky", "options": {"alhpa": 1}}, "no option 'alhpa'; did you mean 'alpha'"),
        ({"name": "dice", "options": {"alpha": 1}}, "dice has no option 'alpha'; it has none"),
        ("./my_losses.py:mien", "did you mean 'mine'"),
        ("./my_losses.txt:mine", "neither a name in small letters nor own code"),
        ({"name": MINE, "options": {"wieght": 1}}, "no option 'wieght'; did you mean 'weight'"),
        ("./absent.py:mine", "no file"),
        ("nowhere.at_all", "no module 'nowhere'"),
        ({"options": {}}, "name"),
    ],
)
def test_a_wrong_loss_is_refused_before_anything_is_planned(folder, loss, said):
    for changes in (
        {"training": {"loss": loss}},
        {"models": ["unet", {"name": "cbam", "training": {"loss": loss}}]},
    ):
        with pytest.raises(StudyError, match=said):
            check_study(CONTENT | changes, "my.yaml")


def test_reports_name_the_loss_its_options_and_its_source(folder):
    assert loss_in_full(LossSettings(name="tversky", options={"alpha": 0.4})) == (
        "Tversky, alpha 0.4, beta 0.7 (Salehi et al., Tversky Loss Function for Image Segmentation "
        "Using 3D Fully Convolutional Deep Networks, MLMI 2017, arXiv:1706.05721)"
    )
    study = check_study(CONTENT)
    own = study.training_of("phantom2d", "cbam").loss
    (folder / "my_losses.py").unlink()
    assert loss_in_full(own) == f"own code {MINE} (fingerprint {own.source[:12]})"


def test_losses_are_tried_with_the_background_as_a_class():
    """On a dataset of one class, too: its masks have two."""
    content = {"name": "x", "datasets": ["nuclei_mini"], "models": ["unet"]}
    for name in ("dice_ce", "cross_entropy", "tversky"):
        check_losses(check_study(content | {"training": {"loss": name}}), "my.yaml")
