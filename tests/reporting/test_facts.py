"""Protocol and methods: every key that decides a result is stated, whatever keys there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from attnbench.catalog import catalog_names, load_entry
from attnbench.check import load_study
from attnbench.errors import StudyError
from attnbench.reporting.exports.methods import compose_methods
from attnbench.reporting.results import Results
from attnbench.reporting.splits import DRAWN
from attnbench.reporting.tables.facts import tabulate_datasets, tabulate_protocol
from attnbench.reporting.tables.models import tabulate_models
from attnbench.study.settings import Study, parse_study
from attnbench.study.split import SPLIT_KEYS, Split

STUDIES = Path(__file__).parents[2] / "studies"
PLACEMENT = {"name": "self_attention", "levels": [1, 2], "options": {"heads": 4}}
CONTENT: dict[str, Any] = {
    "name": "every_key",
    "datasets": [
        {"name": "phantom2d", "patch": [64, 64], "size": [128, 128], "batch": 4, "steps": 40},
        {
            "name": "retina_drive",
            "spacing": [1.5, 1.5],
            "normalisation": "percentile",
            "channels": [0, 2],
        },
        "us_usgra",
        "hippocampus",
        "axon_sem",
    ],
    "metrics": ["dice", "hd95", "nsd", "lesion_f1"],
    "models": [
        "unet",
        {
            "name": "mine",
            "slots": {"decoder": PLACEMENT},
            "backbone": {"widths": [8, 16, 32, 64]},
            "training": {
                "weight_decay": 0.05,
                "augmentation": {"rotation": 5.0},
                "loss": {"name": "focal", "options": {"gamma": 1.5}},
            },
            "initial": {"file": "weights.pt"},
        },
        {
            "name": "theirs",
            "network": "monai.networks.nets.BasicUNet",
            "arguments": {"spatial_dims": "{ndim}", "features": [16, 16]},
            "divisor": 16,
        },
        {
            "name": "another",
            "predictions": {
                "folder": "another/{dataset}/fold{fold}",
                "origin": "another tool",
                "datasets": ["us_usgra", "hippocampus"],
            },
        },
    ],
    "folds": {"outer": 3, "inner": 2, "run": [0, 1]},
    "transfer": [{"train": "phantom2d", "test": "retina_drive", "classes": {1: 1}}],
    "corruptions": ["noise", "blur"],
    "data_efficiency": [50],
    "training": {
        "sweep": {"learning_rate": [0.002, 0.02]},
        "loss": {"name": "tversky", "options": {"alpha": 0.4}},
    },
    "analysis": {"primary": {"metric": "nsd", "class": 1}, "accept_mixed": ["torch"]},
}
STUDY = parse_study(CONTENT)
# Keys that decide no result; `controls` adds models, and a model's control stands in its name.
SILENT = {
    *(f"Study.{key}" for key in ("name", "output", "figures", "data", "controls", "catalog")),
    "Study.accept_licences",
    *(f"ComputeSettings.{key}" for key in ("device", "threads", "runs_per_gpu", "memory_mb")),
    "ComputeSettings.minutes",
    "ComputeSettings.checkpoint_minutes",
    *(f"ModelSettings.{key}" for key in ("control", "control_of")),
    "ModelSettings.predictions",  # what is in it is told apart
    # Fingerprints stand beside the code and the weights that they are of.
    *(f"{name}.source" for name in ("ModelSettings", "Placement", "LossSettings")),
    "InitialSettings.source",
    # Said in the row of each metric (test_own_metric.py).
    "Study.own_metrics",
    # Tested below: they need the catalog's count of folds.
    *(f"DatasetSettings.{key}" for key in SPLIT_KEYS),
}
NAMES = ("mine", "us_usgra", "phantom2d_faint", "cbam", "monai.networks.nets.UNETR", "hd95")
NAMES += ("other.pt",)


def keys_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    """`Class.key`, path and field of every key that holds no settings itself."""
    if isinstance(value, BaseModel):
        # A model's own `training` is written without the keys that it was not given.
        own = path[:1] + path[2:3] == ("models", "training")
        for key, field in type(value).model_fields.items():
            if own and key not in value.model_fields_set:
                continue
            inner, name = getattr(value, key), f"{type(value).__name__}.{key}"
            if name not in SILENT:
                written = field.alias or key
                inside = list(keys_of(inner, (*path, written)))
                yield from inside or [(name, (*path, written), field)]
    elif isinstance(value, dict | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from keys_of(item, (*path, key))


def others(value: Any, field: Any) -> Iterator[Any]:
    """Values that may be allowed in place of `value`."""
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value * 2)
        case float():
            yield from (value * 0.9, value + 0.5)
        case str():
            yield from (*map(str, literals(field.annotation)), *NAMES, f"{value}_2")
        case None:
            yield from ({"widths": [8, 16, 32]}, {"power": 0.5}, 2, [2, 2], [0], "other.pt")
        case dict():
            yield {"skip": {"name": "cbam"}}
            yield {key: next(others(item, field), item) for key, item in value.items()}
        case list():
            yield [next(others(item, field), item) for item in value]
            yield value[:-1]


def literals(annotation: Any) -> Iterator[str]:
    for item in get_args(annotation):
        yield from [item] if isinstance(item, str) else literals(item)


def changed(path: tuple[Any, ...], field: Any) -> Iterator[Study]:
    """Valid studies with another value at `path`."""
    value = json.loads(STUDY.model_dump_json())
    for key in path:
        value = value[str(key) if isinstance(value, dict) else key]
    for other in others(value, field):
        if path[::2] == ("datasets", "name") and other not in catalog_names():
            continue
        content = deepcopy(STUDY.model_dump(mode="json"))
        holder: Any = content
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = other
        try:
            study = parse_study(content)
        except StudyError:
            continue
        if other != value:
            yield study


def stated(study: Study) -> tuple[str, str]:
    results = Results(study)
    return tabulate_protocol(results).frame.to_csv(), compose_methods(results, [])


KEYS: dict[str, list[tuple[tuple[Any, ...], Any]]] = {}
for name, path, field in keys_of(STUDY):
    KEYS.setdefault(name, []).append((path, field))


@pytest.mark.parametrize("key", KEYS)
def test_a_changed_key_changes_protocol_and_methods(key):
    before = stated(STUDY)
    studies = [study for path, field in KEYS[key] for study in changed(path, field)]
    assert studies, f"no other valid value of {key}: give it one in CONTENT"
    for study in studies:
        assert all(new != old for new, old in zip(stated(study), before, strict=True)), key


def test_every_key_of_a_recipe_is_walked():
    walked = {path for paths in KEYS.values() for path, _ in paths}
    tops = {"datasets", "models", "backbone", "training", "compute", "folds", "seeds", "analysis"}
    assert tops <= {path[0] for path in walked}
    assert {
        "Placement.name", "Placement.levels", "Placement.options", "BackboneSettings.block",
        "ModelSettings.network", "ModelSettings.arguments", "ModelSettings.divisor",
        "ModelSettings.fixed_size", "AugmentationSettings.gamma", "DatasetSettings.spacing",
        "TrainingSettings.validate_every", "ComputeSettings.precision",
    } <= set(KEYS)  # fmt: skip
    recipe = STUDY.recipe("phantom2d", "mine")
    assert set(recipe) == {"dataset", "model", "backbone", "training", "precision", "sweep"}


@pytest.mark.parametrize(
    ("keys", "split", "said"),
    [
        ({"split": "official"}, Split("official", 1), ["official split", "one training set"]),
        ({"split": "a/own.csv"}, Split("file", 3), ["3 folds as given in own.csv"]),
        ({"split": "a/own.csv"}, Split("file", 1), ["one fixed split as given in own.csv"]),
        (
            {"split": "leave_one_group_out"},
            Split("leave_one_group_out", 6),
            ["leave-one-group-out, 6 folds"],
        ),
        ({"held_out": 0.25}, Split("cross_validation", 3), ["25 % of the groups are held out"]),
        ({"held_out": "official"}, Split("cross_validation", 3), ["official test part is held"]),
        ({"held_out": "b/x.csv"}, Split("cross_validation", 3), ["the cases of x.csv are held"]),
        (
            {"split": "official", "accept_crossing_groups": True},
            Split("official", 1, crossing=True),
            ["groups cross the split, which the study accepts", "no verdict is given"],
        ),
        ({"stratify": "site"}, None, ["balanced by the label site"]),
        ({"test_only": True}, None, ["external test set only"]),
    ],
)
def test_every_way_to_split_is_stated(keys, split, said):
    content = deepcopy(CONTENT)
    name = content["datasets"][1]["name"]
    content["datasets"][1] |= keys
    content["folds"] = {"outer": 3, "inner": 2}
    study = parse_study(content).with_splits({name: split} if split else {})
    protocol, methods = stated(study)
    assert [words for words in said if words not in protocol or words not in methods] == []
    # The others have folds drawn by group, and it is said which.
    assert DRAWN in methods


def protocol_of(study: Study) -> dict[str, str]:
    frame = tabulate_protocol(Results(study)).frame
    return dict(zip(frame["setting"], frame["value"], strict=True))


def test_nnunets_encoders_differ_in_the_protocol():
    rows = protocol_of(load_study(STUDIES / "nnunet_encoders.yaml"))
    assert "block plain; deep supervision yes" in rows["Backbone"]
    assert "block residual; deep supervision yes" in rows["Model: Residual encoder"]
    assert "SGD with Nesterov momentum" in rows["Training"]
    assert "Model: U-Net" not in rows


def test_external_networks_are_stated_with_their_arguments():
    study = load_study(STUDIES / "external_networks.yaml")
    rows, methods = protocol_of(study), compose_methods(Results(study), [])
    said = "\n".join(text for setting, text in rows.items() if setting.startswith("Model: "))
    for model in study.models:
        if model.network:
            assert f"network {model.network}" in said and model.network in methods
    assert "feature_size: 8, hidden_size: 48" in said and "fixed input size yes" in said
    assert "sides padded to multiples of 32" in said


def test_a_control_has_a_row_only_where_it_is_not_its_variant():
    slots = {"decoder": PLACEMENT}
    models = ["unet", {"name": "mine", "slots": slots}, "mine-random"]
    other = {"name": "mine-uniform", "slots": {"skip": "cbam"}}
    study = parse_study({"name": "s", "datasets": ["phantom2d"], "models": [*models, other]})
    rows = protocol_of(study)
    assert [name for name in rows if name.startswith("Model: ")] == [
        "Model: Mine", "Model: Mine (uniform)"
    ]  # fmt: skip


def test_the_statistics_name_what_intervals_and_tests_are():
    text = protocol_of(STUDY)["Statistics"]
    assert all(said in text for said in ("sign-flip", "resampled t test", "Holm", "weighted alike"))


def test_a_datasets_own_settings_stand_in_its_row_alone():
    rows = protocol_of(STUDY)
    assert "patch in pixels 64 × 64" in rows["Dataset: Phantom 2-D"]
    assert "Dataset: Ultrasound USGRA" not in rows
    own = rows["Dataset: Retina DRIVE"]
    assert "channels taken 0, 2" in own and "images resampled linearly" in own
    assert "resampled" in rows["Dataset: Phantom 2-D"]


def test_intensities_are_stated_once_for_the_datasets_that_agree():
    text = protocol_of(STUDY)["Intensities"]
    assert "DRIVE: clipped to 0.5 and 99.5 percentiles, then z-scored" in text
    assert text.count("z-scored per image and channel") == 1
    assert "intensities" not in protocol_of(STUDY)["Dataset: Retina DRIVE"]


def test_the_page_shows_slots_and_backbone_of_a_model():
    table = tabulate_models(Results(STUDY))
    own = {row[0].text: row[2].text for row in table.blocks[0].rows}
    assert own["U-Net"] == "–"
    assert "decoder: self attention (levels 1, 2; options heads: 4)" in own["Mine"]
    assert "own backbone (widths 8, 16, 32, 64" in own["Mine"]


def test_a_licence_that_is_not_open_is_said_in_table_and_methods():
    names = ["medseg_kvasir_128", "medseg_yeaz_128", "medseg_wbc_128"]
    results = Results(parse_study({"name": "s", "datasets": names, "models": ["unet"]}))
    table = tabulate_datasets(results)
    terms = ["non_commercial", "unclear", "open"]
    assert table.frame["licence_terms"].tolist() == terms
    cells = [row[-1].text for block in table.blocks for row in block.rows]
    assert cells[0].startswith("For non-commercial use only. ") and "forbidden" in cells[0]
    assert cells[1].startswith("Unclear") and cells[2] == load_entry(names[2]).licence
    methods = compose_methods(results, [])
    assert "The licence of Kvasir-SEG 128 is for non-commercial use only." in methods
    assert "The licence of YeaZ 128 is unclear" in methods and "licence of WBC" not in methods
