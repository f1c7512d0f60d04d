"""A control that cannot be of its variant's size says so wherever it is shown."""

import pytest

from attnbench.files import read_json
from attnbench.models.build import build_network
from attnbench.models.describe import describe_model
from attnbench.models.spec import NetworkSpec
from attnbench.reporting.exports.methods import compose_methods
from attnbench.reporting.exports.references import collect_references
from attnbench.reporting.results import Results
from attnbench.reporting.tables.controls import tabulate_controls
from attnbench.reporting.tables.models import tabulate_models

MODELS = ("unet", "simam", "simam-conv1x1", "simam-flops", "cbam", "cbam-parameters")
DATASETS = ("axon_sem", "phantom2d")


@pytest.fixture
def study(write_study):
    study = write_study(datasets=DATASETS, models=MODELS, cases=4, seeds=(0,), metrics=("dice",))
    for dataset in DATASETS:
        for model in MODELS:
            describe_model(study, dataset, model)
    return study


def size(study, model):
    """Parameters of a model of a study beyond those of its plain U-Net, counted from networks."""
    spec = NetworkSpec(2, 1, 2, (16, 16))
    built = (build_network(study.model(name), study.backbone, spec) for name in (model, "unet"))
    whole, plain = (sum(p.numel() for p in network.parameters()) for network in built)
    return whole - plain


def test_descriptions_hold_the_sizes_and_what_coincides(study):
    facts = read_json(study.layout.model("phantom2d", "simam-conv1x1"))
    assert facts["mechanism_parameters"] == size(study, "simam") == 0
    assert facts["stand_in_parameters"] == size(study, "simam-conv1x1") > 0
    coincide = {
        name: read_json(study.layout.model("phantom2d", name))["coincides"]
        for name in ("simam-flops", "cbam-parameters")
    }
    assert coincide == {"simam-flops": True, "cbam-parameters": False}


def test_notes_stand_below_the_tables_and_in_the_methods(study):
    results = Results(study)
    number = f"{size(study, 'simam-conv1x1'):,}"
    said = {
        f"SimAM (conv1x1): {number} parameters in the place of the mechanism's 0; it cannot be "
        "nearer.",
        "SimAM (flops): coincides with the U-Net, no other widths being nearer.",
    }
    for table in (tabulate_controls(results), tabulate_models(results)):
        assert said <= set(table.notes)
        assert not any("CBAM" in note for note in table.notes)
    text = compose_methods(results, collect_references(study))
    assert all(note in text for note in said)
