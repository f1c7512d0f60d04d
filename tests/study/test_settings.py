"""A wrong study is refused before any work; every refusal says where, what was found, what is
allowed, what is near.
"""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from attnbench.check import check_study, load_study
from attnbench.errors import StudyError
from attnbench.study.names import DatasetFacts, Known, MechanismFacts
from attnbench.study.settings import parse_study, schema

KNOWN = Known(
    {
        "plane": DatasetFacts(2, 12, 3, {1: "vessel", 2: "disc"}),
        "colour": DatasetFacts(2, 12, 3, {1: "disc", 2: "vessel", 3: "cup"}),
        "grey": DatasetFacts(2, 12, 1, {1: "nerve"}),
        "other": DatasetFacts(2, 12, 3, {1: "nerve"}),
        "volume": DatasetFacts(3, 6, 3, {1: "vessel"}),
    },
    {
        "attention_gate": MechanismFacts(("skip",), lacks=("gamma0", "uniform")),
        "self_attention": MechanismFacts(("decoder",), deepest=2),
        "skip_only": MechanismFacts(("skip",), slots=("skip",)),
    },
    ("dice", "hd95", "hd95_penalised", "assd", "iou", "precision", "recall", "hd"),
    {"u_transformer": {"bottleneck": ("self_attention",), "skip": ("attention_gate",)}},
)
EDITOR = jsonschema.Draft202012Validator(schema())
ROOT = Path(__file__).parents[2]
BASE = {
    "name": "small",
    "datasets": ["plane"],
    "models": ["unet", "attention_gate"],
    "folds": {"outer": 2, "inner": 2},
}
SLOT = {"name": "mine", "slots": {"skip": {"name": "attention_gate"}}}

EXTERNAL = {"name": "theirs", "network": "torch.nn.Identity"}
REFUSED = {
    "unknown control": (
        {"models": ["unet", "attention_gate-randon"]},
        ["models[1].control", '"randon"', "did you mean 'random'", "conv1x1"],
    ),
    "a model that is the plain U-Net": (
        {"models": ["unet", "attention_gate-identity"]},
        ["models[1].control", '"identity"', "plain U-Net bit for bit", "remove it"],
    ),
    "a control that is the plain U-Net": (
        {"controls": ["random", "identity"]},
        ["controls[1]", '"identity"', "nothing to train", "remove it"],
    ),
    "control of nothing": (
        {"models": ["unet", "unet-random"]},
        ["models", "'unet' has no mechanisms", "only variants have controls"],
    ),
    "control of an unknown variant": (
        {"models": ["unet", "self_atention-random"]},
        ["models", "no such variant", "did you mean 'self_attention'"],
    ),
    "control that a mechanism lacks": (
        {"models": ["unet", "attention_gate-uniform"]},
        ["models", "'attention_gate-uniform'", "attention_gate has no softmax over positions"],
    ),
    "control without its name": (
        {"models": ["unet", {"name": "attention_gate", "control": "random"}]},
        ["models[1]", "call it attention_gate-random"],
    ),
    "external network with slots": (
        {"models": ["unet", {**EXTERNAL, "slots": {"skip": "attention_gate"}}]},
        ["models[1]", "`network` is the whole model"],
    ),
    "key of an external network without one": (
        {"models": ["unet", {"name": "attention_gate", "divisor": 8}]},
        ["models[1]", "divisor: only together with `network`"],
    ),
    "unknown key": (
        {"modles": ["unet"]},
        ["modles", "did you mean 'models'", "datasets, figures, folds"],
    ),
    "unknown nested key": (
        {"training": {"stpes": 3}},
        ["training.stpes", "did you mean 'steps'", "batch, "],
    ),
    "wrong type": ({"training": {"steps": "many"}}, ["training.steps", "integer", '"many"']),
    "out of range": ({"training": {"steps": 0}}, ["training.steps", "greater than 0", "found 0"]),
    "unknown choice": (
        {"compute": {"device": "gpu"}},
        ["compute.device", '"gpu"', "auto, cpu, cuda, mps"],
    ),
    "unknown dataset": (
        {"datasets": ["plnae"]},
        ["datasets[0].name", '"plnae"', "did you mean 'plane'", "volume"],
    ),
    "no dataset": ({"datasets": []}, ["datasets", "at least 1"]),
    "no list": ({"datasets": "plane"}, ["datasets", "list", '"plane"']),
    "unknown model": (
        {"models": ["unet", "atention_gate"]},
        ["models[1]", "did you mean 'attention_gate'", "unet"],
    ),
    "unknown mechanism": (
        {"models": ["unet", {"name": "mine", "slots": {"skip": "self_atention"}}]},
        [
            "models[1].slots.skip[0].name",
            '"self_atention"',
            "did you mean 'self_attention'",
            "attention_gate",
        ],
    ),
    "unknown slot": (
        {"models": ["unet", {"name": "mine", "slots": {"skp": "attention_gate"}}]},
        ["models[1].slots.skp", "did you mean 'skip'", "bottleneck, decoder, encoder"],
    ),
    "level that is not there": (
        {
            "models": [
                "unet",
                {"name": "mine", "slots": {"skip": {"name": "attention_gate", "levels": [9]}}},
            ]
        },
        ["models", "'mine'", "level 9", "levels are 0, 1, 2"],
    ),
    "slot that a mechanism cannot take": (
        {"models": ["unet", {"name": "mine", "slots": {"encoder": "skip_only"}}]},
        ["models[1]", "'mine'", "skip_only cannot sit in slot 'encoder'", "allowed: skip"],
    ),
    "a model twice": ({"models": ["unet", SLOT, SLOT]}, ["models", "'mine'", "more than once"]),
    "a seed twice": ({"seeds": [3, 3]}, ["seeds", "'3'", "more than once"]),
    "baseline not a model": (
        {"baseline": "uned"},
        ["baseline", "'uned'", "did you mean 'unet'", "attention_gate"],
    ),
    "unknown metric": (
        {"metrics": ["dice", "hd59"]},
        ["metrics[1]", '"hd59"', "did you mean 'hd95'", "assd"],
    ),
    "more folds than groups": ({"folds": {"outer": 13}}, ["folds.outer", "13", "plane has 12"]),
    "inner folds without groups": (
        {"folds": {"outer": 2, "inner": 7}},
        ["folds.inner", "7", "6 of 12"],
    ),
    "a fold that does not exist": (
        {"folds": {"outer": 2, "run": [0, 2]}},
        ["folds", "fold 2", "0 to 1"],
    ),
    "a fold beyond the last repeat": (
        {"folds": {"outer": 2, "repeats": 3, "run": [5, 6]}},
        ["folds.run", "fold 6", "plane: 0 to 5"],
    ),
    "no repeat": ({"folds": {"repeats": 0}}, ["folds.repeats", "greater than or equal to 1"]),
    "patch that cannot be halved": (
        {"training": {"patch_2d": [50, 64]}},
        ["[50, 64]", "multiple of 8", "[48, 64]"],
    ),
    "axes of another dataset": (
        {"datasets": [{"name": "plane", "spacing": [1, 1, 1]}]},
        ["plane.spacing", "3 values", "2 axes"],
    ),
    "two ways to resample": (
        {"datasets": [{"name": "plane", "spacing": [1, 1], "size": [64, 64]}]},
        ["datasets[0]", "`spacing` and `size`"],
    ),
    "transfer to a dataset outside the study": (
        {"datasets": ["plane", "colour"], "transfer": [{"train": "plane", "test": "colur"}]},
        ["transfer[0].test", "'colur'", "did you mean 'colour'", "plane"],
    ),
    "transfer to itself": (
        {"transfer": [{"train": "plane", "test": "plane"}]},
        ["transfer[0]", "both 'plane'"],
    ),
    "a transfer twice": (
        {"datasets": ["plane", "colour"], "transfer": [{"train": "plane", "test": "colour"}] * 2},
        ["transfer[1]", "plane to colour", "more than once"],
    ),
    "transfer to other channels": (
        {
            "datasets": ["plane", "grey"],
            "transfer": [{"train": "plane", "test": "grey", "classes": {1: 1}}],
        },
        ["transfer[0]", "grey has 1 channels", "plane 3"],
    ),
    "transfer to other axes": (
        {"datasets": ["plane", "volume"], "transfer": [{"train": "plane", "test": "volume"}]},
        ["transfer[0]", "volume has 3 axes", "plane 2"],
    ),
    "no class in common": (
        {"datasets": ["plane", "other"], "transfer": [{"train": "plane", "test": "other"}]},
        ["transfer[0]", "other (1 nerve)", "plane (1 vessel, 2 disc)", "classes: {1: 1}"],
    ),
    "a class that the test set lacks": (
        {
            "datasets": ["plane", "colour"],
            "transfer": [{"train": "plane", "test": "colour", "classes": {4: 1}}],
        },
        ["transfer[0].classes", "colour has no class 4", "3 cup"],
    ),
    "a class that the training set lacks": (
        {
            "datasets": ["plane", "colour"],
            "transfer": [{"train": "plane", "test": "colour", "classes": {1: 3}}],
        },
        ["transfer[0].classes", "plane has no class 3", "1 vessel, 2 disc"],
    ),
    "one class as two": (
        {
            "datasets": ["plane", "colour"],
            "transfer": [{"train": "plane", "test": "colour", "classes": {1: 2, 3: 2}}],
        },
        ["transfer[0].classes", "two classes of colour are one class of plane"],
    ),
    "unknown key of a transfer": (
        {
            "datasets": ["plane", "colour"],
            "transfer": [{"train": "plane", "test": "colour", "class": {1: 1}}],
        },
        ["transfer[0].class", "did you mean 'classes'", "test, train"],
    ),
    "unknown corruption": (
        {"corruptions": ["blur", "nois"]},
        ["corruptions[1]", '"nois"', "did you mean 'noise'"],
    ),
    "a corruption twice": (
        {"corruptions": ["blur", "blur"]},
        ["corruptions", "'blur'", "more than once"],
    ),
    "all groups as a small share": (
        {"data_efficiency": [50, 100]},
        ["data_efficiency[1]", "less than or equal to 99", "100"],
    ),
    "a share twice": ({"data_efficiency": [50, 50]}, ["data_efficiency", "'50'", "more than once"]),
    "a share without a group": (
        {"data_efficiency": [50, 10]},
        ["data_efficiency[1]", "10 %", "3 training groups", "plane", "at least 17"],
    ),
    "a sweep of no key that can be swept": (
        {"training": {"sweep": {"lerning_rate": [0.1, 0.2]}}},
        ["training.sweep", '"lerning_rate"', "did you mean 'learning_rate'", "weight_decay"],
    ),
    "a sweep without a choice": (
        {"training": {"sweep": {"learning_rate": [0.1]}}},
        ["training", "sweep.learning_rate", "at least two values", "[0.1]"],
    ),
    "a sweep with a value twice": (
        {"training": {"sweep": {"learning_rate": [0.1, 0.2, 0.1]}}},
        ["training", "none twice", "[0.1, 0.2, 0.1]"],
    ),
    "a sweep of an impossible value": (
        {"training": {"sweep": {"learning_rate": [0.1, 0]}}},
        ["training", "sweep.learning_rate", "greater than 0", "found 0"],
    ),
    "a sweep of two keys": (
        {"training": {"sweep": {"learning_rate": [0.1, 0.2], "weight_decay": [0, 1]}}},
        ["training", "one key", "found 2"],
    ),
    "a model's unknown key": (
        {"models": ["unet", {"name": "attention_gate", "training": {"lerning_rate": 0.1}}]},
        ["models[1].training.lerning_rate", "did you mean 'learning_rate'"],
    ),
    "a model's key out of range": (
        {"models": ["unet", {"name": "attention_gate", "training": {"learning_rate": -1}}]},
        ["models[1].training.learning_rate", "greater than 0", "found -1"],
    ),
    "a model's own patch": (
        {"models": ["unet", {"name": "attention_gate", "training": {"patch_2d": [8, 8]}}]},
        ["models[1].training", "patch_2d", "the same for all models"],
    ),
    "a model's own sweep": (
        {
            "models": [
                "unet",
                {"name": "attention_gate", "training": {"sweep": {"weight_decay": [0, 1]}}},
            ]
        },
        ["models[1].training", "sweep", "the same for all models"],
    ),
    "a key that is swept and set": (
        {
            "models": ["unet", {"name": "attention_gate", "training": {"learning_rate": 0.1}}],
            "training": {"sweep": {"learning_rate": [0.1, 0.2]}},
        },
        ["models", "'attention_gate'", "training.learning_rate", "remove one"],
    ),
    "a name that is no folder": ({"name": "My Study"}, ["name", '"My Study"']),
    "a negative seed": ({"seeds": [0, -1]}, ["seeds[1]", "-1"]),
}


@pytest.mark.parametrize(("change", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_refusal_names_path_found_allowed_and_nearest(change, said):
    with pytest.raises(StudyError) as refusal:
        parse_study({**BASE, **change}, KNOWN, "my.yaml")
    message = str(refusal.value)
    assert message.startswith("my.yaml: 1 problem(s)\n")
    assert [word for word in said if word not in message] == []


def test_all_problems_are_reported_at_once():
    with pytest.raises(StudyError) as refusal:
        parse_study({**BASE, "modles": 1, "seeds": [-1], "metrics": ["hd59"]}, KNOWN)
    assert all(path in str(refusal.value) for path in ("modles:", "seeds[0]:", "metrics[0]:"))


@pytest.mark.parametrize("content", [[], "study", None, {}])
def test_what_is_no_study_is_refused(content):
    with pytest.raises(StudyError):
        parse_study(content, KNOWN)


def test_a_missing_file_and_broken_yaml_are_refused_by_name(tmp_path: Path):
    with pytest.raises(StudyError, match=r"absent\.yaml"):
        load_study(tmp_path / "absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: x\nmodels: [unet\n")
    with pytest.raises(StudyError, match=r"broken\.yaml.*line 3"):
        load_study(broken)


def test_a_study_is_checked_against_the_real_catalog_mechanisms_and_metrics():
    study = check_study(
        {"name": "x", "datasets": ["phantom2d", "phantom3d"], "models": ["unet", "attention_gate"]}
    )
    assert check_study(
        {"name": "x", "datasets": ["phantom2d"], "models": ["unet", "u_transformer"]}
    )
    assert [str(run) for run in study.runs()][:2] == [
        "phantom2d/unet/fold0-seed0",
        "phantom2d/unet/fold1-seed0",
    ]
    assert len(list(study.runs())) == 2 * 2 * 5
    for key, wrong in (("datasets", ["phantom"]), ("models", ["unets"]), ("metrics", ["dise"])):
        with pytest.raises(StudyError, match="did you mean"):
            check_study({"name": "x", "datasets": ["phantom2d"], "models": ["unet"], key: wrong})


def test_words_and_mappings_say_the_same():
    words = parse_study(
        {**BASE, "models": ["unet", {"name": "mine", "slots": {"skip": "attention_gate"}}]}, KNOWN
    )
    mappings = parse_study(
        {
            **BASE,
            "models": [
                {"name": "unet"},
                {"name": "mine", "slots": {"skip": [{"name": "attention_gate"}]}},
            ],
        },
        KNOWN,
    )
    assert words == mappings


def test_the_recipe_knows_nothing_of_other_models_folds_or_where_it_runs():
    study = parse_study(BASE, KNOWN)
    wider = parse_study(
        {
            **BASE,
            "models": ["unet", "attention_gate", "self_attention"],
            "seeds": [0, 1],
            "folds": {"outer": 3, "inner": 2},
            "metrics": ["dice"],
            "compute": {"threads": 2, "device": "cpu"},
        },
        KNOWN,
    )
    assert study.recipe("plane", "unet") == wider.recipe("plane", "unet")
    assert study.recipe("plane", "unet") != study.recipe("plane", "attention_gate")
    longer = parse_study({**BASE, "training": {"steps": 7}}, KNOWN)
    assert study.recipe("plane", "unet") != longer.recipe("plane", "unet")


def test_a_recipe_without_sweep_and_own_keys_is_as_if_there_were_none():
    recipe = parse_study(BASE, KNOWN).recipe("plane", "unet")
    assert "training" not in recipe["model"] and "sweep" not in {**recipe, **recipe["training"]}
    grids = [{"sweep": {"learning_rate": values}} for values in ([0.1, 0.2], [0.1, 0.3])]
    swept = [parse_study({**BASE, "training": grid}, KNOWN) for grid in grids]
    one, other = (study.recipe("plane", "unet") for study in swept)
    assert one != other
    # A trial is a run of the study that has the value for itself.
    fixed = parse_study({**BASE, "training": {"learning_rate": 0.1}}, KNOWN)
    tried = swept[0].with_value("learning_rate", 0.1)
    assert tried.recipe("plane", "unet") == fixed.recipe("plane", "unet")


def test_a_models_keys_go_before_the_datasets_and_these_before_the_studys():
    own = {"steps": 5, "augmentation": {"rotation": 0}}
    content = {
        **BASE,
        "datasets": [{"name": "plane", "steps": 7, "batch": 2}, "colour"],
        "models": ["unet", {"name": "attention_gate", "training": own}, "attention_gate-random"],
        "training": {"steps": 9, "power": 0.5, "augmentation": {"noise": 0.3}},
        "controls": ["parameters"],
    }
    study = parse_study(content, KNOWN)
    assert parse_study(yaml.safe_load(study.to_yaml()), KNOWN) == study
    found = {
        (dataset, model): study.training_of(dataset, model)
        for dataset in ("plane", "colour")
        for model in (
            "unet",
            "attention_gate",
            "attention_gate-random",
            "attention_gate-parameters",
        )
    }
    assert {key: (taught.steps, taught.batch) for key, taught in found.items()} == {
        ("plane", "unet"): (7, 2),
        ("colour", "unet"): (9, 8),
        **{key: (5, 2 if key[0] == "plane" else 8) for key in found if key[1] != "unet"},
    }
    for (_, model), taught in found.items():
        assert taught.power == 0.5 and taught.augmentation.noise == 0.3
        assert taught.augmentation.rotation == (15 if model == "unet" else 0)


def test_a_tolerance_replaces_that_of_its_unit_alone_and_is_a_length():
    study = parse_study({**BASE, "scoring": {"nsd_tolerance": {"mm": 1.5}}}, KNOWN)
    assert study.scoring.nsd_tolerance.model_dump() == {"mm": 1.5, "um": 0.2, "px": 2.0}
    for wrong in ({"mm": 0}, {"cm": 1}):
        with pytest.raises(StudyError, match=r"scoring\.nsd_tolerance"):
            parse_study({**BASE, "scoring": {"nsd_tolerance": wrong}}, KNOWN)


def test_every_fold_of_every_repeat_is_run_on_every_share_of_the_groups():
    folds = {**BASE["folds"], "repeats": 3}
    study = parse_study({**BASE, "folds": folds, "data_efficiency": [50]}, KNOWN)
    assert study.folds_to_run("plane") == (0, 1, 2, 3, 4, 5)
    for runs in (study.runs(), study.data_efficiency_runs()):
        assert [run.fold for run in runs] == [0, 1, 2, 3, 4, 5] * 2
    second = parse_study({**BASE, "folds": {**folds, "run": [2, 3]}}, KNOWN)
    assert second.folds_to_run("plane") == (2, 3)


def test_data_efficiency_runs_are_the_ordinary_runs_on_a_share_of_the_groups():
    study = parse_study({**BASE, "data_efficiency": [20, 50]}, KNOWN)
    assert list(study.runs()) == list(parse_study(BASE, KNOWN).runs())
    paths = [str(run) for run in study.data_efficiency_runs()]
    assert paths == [f"{run}-groups{percent}" for percent in (20, 50) for run in study.runs()]


@pytest.mark.parametrize(
    ("stated", "mapped"),
    [({}, {1: 2, 2: 1}), ({"classes": {1: 2}}, {1: 2}), ({"classes": {3: 1}}, {3: 1})],
)
def test_classes_of_a_transfer_are_those_of_equal_names_unless_stated(stated, mapped):
    transfer = [{"train": "plane", "test": "colour", **stated}]
    study = parse_study({**BASE, "datasets": ["plane", "colour"], "transfer": transfer}, KNOWN)
    (part,) = study.transfers_of("plane")
    assert part.mapped(KNOWN.datasets["plane"].classes, KNOWN.datasets["colour"].classes) == mapped
    assert study.transfers_of("colour") == ()
    assert parse_study(yaml.safe_load(study.to_yaml()), KNOWN) == study


def names(**change) -> list[str]:
    return [model.name for model in parse_study({**BASE, **change}, KNOWN).models]


def test_controls_are_added_for_every_variant_that_can_have_them():
    own = {"name": "r2unet", "backbone": {"block": "recurrent_residual"}}
    models = ["unet", "attention_gate", "self_attention-random", "self_attention", EXTERNAL, own]
    added = ["attention_gate-random", "self_attention-gamma0", "self_attention-parameters"]
    found = names(models=models, controls=["gamma0", "random", "parameters"])
    assert found[:6] == [
        "unet",
        "attention_gate",
        "self_attention-random",
        "self_attention",
        "theirs",
        "r2unet",
    ]
    added += ["attention_gate-parameters", "theirs-parameters"]
    assert sorted(found[6:]) == sorted(added)


def test_a_control_has_the_slots_and_the_backbone_of_its_variant():
    backbone = {"widths": [4, 8]}
    mine = {**SLOT, "backbone": backbone}
    study = parse_study(
        {**BASE, "models": ["unet", mine, "mine-random"], "controls": ["conv1x1"]}, KNOWN
    )
    for name, control in (("mine-random", "random"), ("mine-conv1x1", "conv1x1")):
        model = study.model(name)
        assert (model.control, model.control_of) == (control, "mine")
        assert model.slots == study.model("mine").slots
        assert study.backbone_of(name).widths == (4, 8)
    assert study.backbone_of("unet").widths == study.backbone.widths


def placed(*models: object, **keys: object) -> dict[str, dict[str, list[tuple[str, tuple]]]]:
    """Mechanisms and levels by model and slot, of a study with these models beside `unet`."""
    study = parse_study({**BASE, **keys, "models": ["unet", *models]}, KNOWN)
    return {
        model.name: {
            slot: [(item.name, item.levels) for item in items]
            for slot, items in model.slots.items()
        }
        for model in study.models
    }


def test_a_study_that_is_read_says_where_every_mechanism_sits():
    mine = {"skip": ["attention_gate", {"name": "self_attention", "levels": [0]}]}
    own = {"name": "r2unet", "backbone": {"block": "recurrent_residual"}}
    assert placed("self_attention", "u_transformer", {"name": "mine", "slots": mine}, own) == {
        "unet": {},
        "self_attention": {"decoder": [("self_attention", (1, 2))]},
        "u_transformer": {
            "bottleneck": [("self_attention", (3,))],
            "skip": [("attention_gate", (0, 1, 2))],
        },
        "mine": {"skip": [("attention_gate", (0, 1, 2)), ("self_attention", (0,))]},
        "r2unet": {},
    }


def test_default_levels_follow_the_depth_of_the_backbone_that_holds():
    deep = {"name": "self_attention", "backbone": {"widths": [1, 2, 4, 8, 16, 32]}}
    read = placed("attention_gate", deep, backbone={"widths": [4, 8]})
    assert read["attention_gate"] == {"skip": [("attention_gate", (0,))]}
    assert read["self_attention"] == {"decoder": [("self_attention", (3, 4))]}


def test_a_control_without_its_variant_in_the_study_is_resolved_by_its_name():
    read = placed("self_attention-random", "u_transformer-random")
    assert read["self_attention-random"] == placed("self_attention")["self_attention"]
    assert read["u_transformer-random"] == placed("u_transformer")["u_transformer"]


def test_pairs_of_variants_and_controls_are_in_the_order_of_the_study():
    def pairs(models: list[object], **keys: object) -> tuple[tuple[str, str], ...]:
        return parse_study({**BASE, "models": models, **keys}, KNOWN).control_pairs

    models = ["unet", SLOT, "self_attention-random", "self_attention", "attention_gate-random"]
    assert pairs(models) == (("self_attention", "self_attention-random"),)
    assert pairs(models, controls=["conv1x1"]) == (
        ("mine", "mine-conv1x1"),
        ("self_attention", "self_attention-random"),
        ("self_attention", "self_attention-conv1x1"),
    )
    assert pairs(models, baseline="self_attention") == ()


def test_every_problem_of_the_models_is_reported():
    with pytest.raises(StudyError) as refusal:
        parse_study({**BASE, "models": ["unet", "atention_gate", "unet-random"]}, KNOWN)
    assert "models[1]: 'atention_gate'" in str(refusal.value)
    assert "models[2]: 'unet-random'" in str(refusal.value)


def test_a_model_with_its_own_backbone_has_its_own_levels():
    deep = {"name": "mine", "slots": {"skip": {"name": "attention_gate", "levels": [3]}}}
    with pytest.raises(StudyError, match="level 3"):
        parse_study({**BASE, "models": ["unet", deep]}, KNOWN)
    deep["backbone"] = {"widths": [2, 4, 8, 16, 32]}
    assert parse_study({**BASE, "models": ["unet", deep]}, KNOWN)


positive = st.floats(1e-6, 100)
datasets = st.lists(
    st.sampled_from(
        [
            "plane",
            "volume",
            {"name": "plane", "spacing": [0.5, 0.25], "steps": 3},
            {"name": "volume", "size": [16, 24, 32], "patch": [8, 16, 8]},
        ]
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda item: item if isinstance(item, str) else item["name"],
)
placements = st.fixed_dictionaries(
    {"name": st.sampled_from(["attention_gate", "self_attention"])},
    optional={
        "levels": st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),
        "options": st.dictionaries(
            st.text("ab", min_size=1), st.integers() | st.booleans() | positive, max_size=2
        ),
    },
)
composed = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"mine_[a-z0-9_]{1,8}", fullmatch=True),
        "slots": st.dictionaries(
            st.sampled_from(["encoder", "skip", "decoder"]),
            placements | st.lists(placements, min_size=1, max_size=2),
            min_size=1,
        ),
    }
)
studies = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[a-z0-9][a-z0-9_]{0,9}", fullmatch=True),
        "datasets": datasets,
        "models": composed.map(lambda model: ["unet", "attention_gate", model]),
    },
    optional={
        "baseline": st.sampled_from(["unet", "attention_gate"]),
        "controls": st.lists(
            st.sampled_from(["random", "gamma0", "conv1x1", "flops"]), max_size=3, unique=True
        ),
        "seeds": st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=3, unique=True),
        "folds": st.fixed_dictionaries(
            {"outer": st.integers(2, 3), "inner": st.integers(2, 3)},
            optional={"repeats": st.integers(1, 3)},
        ),
        "training": st.fixed_dictionaries(
            {"learning_rate": positive, "steps": st.integers(1, 10**6)},
            optional={
                "augmentation": st.fixed_dictionaries({"noise": positive, "flip": st.booleans()})
            },
        ),
        "backbone": st.fixed_dictionaries(
            {"norm": st.sampled_from(["instance", "batch", "group"])}
        ),
        "analysis": st.fixed_dictionaries({"confidence": st.floats(0.6, 0.99)}),
        "data": st.fixed_dictionaries(
            {"mirror": st.text("ab:/~ ü", min_size=1).filter(str.strip), "offline": st.booleans()}
        ),
        "corruptions": st.lists(
            st.sampled_from(["noise", "blur", "ghosting"]), max_size=2, unique=True
        ),
        "data_efficiency": st.lists(st.integers(50, 99), max_size=2, unique=True),
        "output": st.from_regex(r"[a-z]{1,8}/[a-z]{1,8}", fullmatch=True),
    },
).map(lambda study: {"folds": {"outer": 2, "inner": 2}, **study})


@given(studies)
def test_a_resolved_study_is_the_same_study(content):
    study = parse_study(content, KNOWN)
    text = study.to_yaml()
    again = parse_study(yaml.safe_load(text), KNOWN)
    assert again == study
    assert again.to_yaml() == text


@given(studies)
def test_the_schema_for_editors_accepts_what_the_study_accepts(content):
    EDITOR.validate(content)
    EDITOR.validate(yaml.safe_load(parse_study(content, KNOWN).to_yaml()))


@pytest.mark.parametrize(
    "change", [{"modles": 1}, {"seeds": [-1]}, {"training": {"steps": "many"}}, {"datasets": []}]
)
def test_the_schema_for_editors_refuses_what_the_study_refuses(change):
    with pytest.raises(jsonschema.ValidationError):
        EDITOR.validate({**BASE, **change})


def test_every_key_is_described_for_editors():
    tables = [schema(), *schema()["$defs"].values()]
    bare = [
        f"{table.get('title')}.{key}"
        for table in tables
        for key, value in table["properties"].items()
        if "description" not in json.dumps(value) and "$ref" not in json.dumps(value)
    ]
    assert bare == []


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *ROOT.glob("studies/*.yaml")], ids=lambda path: path.name
)
def test_the_studies_of_this_repository_are_valid(path: Path):
    study = load_study(path)
    assert study.baseline == "unet"
    assert path.read_text().splitlines()[0].startswith("# yaml-language-server: $schema=")
