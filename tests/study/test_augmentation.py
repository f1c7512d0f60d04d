"""Sets of random changes: one by its name, keys of each, and a model's own beside the study's."""

import pytest
import yaml

from attnbench.errors import StudyError
from attnbench.study.describe import in_words
from attnbench.study.groups import AugmentationSettings, NnunetAugmentation
from attnbench.study.settings import parse_study


def study(augmentation, own=None):
    variant = {"name": "attention_gate", "training": {"augmentation": own}} if own else "cbam"
    training = {"augmentation": augmentation}
    content = {"name": "s", "datasets": ["d"], "models": ["unet", variant], "training": training}
    return parse_study(content)


def augmentation(study, model="unet"):
    return study.training_of("d", model).augmentation


@pytest.mark.parametrize("written", ["nnunet", {"set": "nnunet"}])
def test_a_name_stands_for_its_set_and_survives_writing(written):
    read = study(written)
    assert augmentation(read) == NnunetAugmentation(set="nnunet")
    assert parse_study(yaml.safe_load(read.to_yaml())) == read


def test_words_name_every_share_and_range():
    text = in_words(NnunetAugmentation(set="nnunet"))
    assert text.startswith("set of changes that of nnU-Net v2; ")
    assert "scaling 0.7 to 1.4 in 20 % of the patches" in text
    names = NnunetAugmentation.model_fields.keys() - {"set", "flip"}
    assert text.count(" of the patches") == len(names)


def test_a_change_of_a_set_may_be_set_alone():
    quiet = study({"set": "nnunet", "noise": {"share": 0, "low": 0, "high": 0.1}})
    assert augmentation(quiet).noise.share == 0
    assert augmentation(quiet).gamma == NnunetAugmentation(set="nnunet").gamma


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("nnunett", r"training\.augmentation\.set.*did you mean 'nnunet'"),
        (
            {"rotatoin": 3},
            r"training\.augmentation\.rotatoin: unknown key; did you mean 'rotation'",
        ),
        ({"set": "nnunet", "nois": 1}, r"training\.augmentation\.nois.*did you mean 'noise'"),
        ({"set": "nnunet", "rotation": 3}, r"training\.augmentation\.rotation: unknown key"),
        (
            {"set": "nnunet", "noise": {"share": 2, "low": 0, "high": 1}},
            r"augmentation\.noise\.share: .*less than or equal to 1, found 2",
        ),
        (
            {"set": "nnunet", "noise": {"share": 1, "low": 2, "high": 1}},
            r"augmentation\.noise: `low` is 2\.0, above `high`, 1\.0; swap them",
        ),
    ],
)
def test_what_is_wrong_in_a_set_is_said_with_its_path(written, said):
    with pytest.raises(StudyError, match=said):
        study(written)


def test_a_models_own_keys_change_the_studys_set_and_its_own_set_replaces_it():
    merged = augmentation(study({"rotation": 30}, own={"noise": 0.3}), "attention_gate")
    assert merged == AugmentationSettings(rotation=30, noise=0.3)
    replaced = augmentation(study({"rotation": 30}, own="nnunet"), "attention_gate")
    assert replaced == NnunetAugmentation(set="nnunet")
    unmirrored = augmentation(study("nnunet", own={"flip": False}), "attention_gate")
    assert unmirrored == NnunetAugmentation(set="nnunet", flip=False)
    noise = {"share": 0.5, "low": 0, "high": 1}
    own = augmentation(study("nnunet", own={"set": "nnunet", "noise": noise}), "attention_gate")
    assert own.noise.share == 0.5 and own.blur == NnunetAugmentation(set="nnunet").blur
