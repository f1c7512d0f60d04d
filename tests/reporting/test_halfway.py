"""A study that stopped halfway: every command works on what is there and names what is missing."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from attnbench.check import load_study
from attnbench.cli import app
from attnbench.data.sealed import seal_prepared
from attnbench.seals import write_seal
from attnbench.study.paths import Run
from sealing import seal_study


def run(*arguments):
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def seal_data_and_networks(study):
    """Seal prepared data and descriptions of networks, as the jobs before a training do."""
    layout = study.layout
    for dataset in study.datasets:
        seal_prepared(layout, dataset.name)
        for model in study.models:
            path = layout.model(dataset.name, model.name)
            seal = layout.seal(f"describe/{dataset.name}/{model.name}")
            write_seal(seal, layout.output, [path], {"dataset": dataset.name, "model": model.name})


@pytest.fixture
def halfway(write_study, tmp_path):
    """A function: failed runs (dataset, model, fold) and shift asked for, to the file and folder
    of the study.
    """

    def build(failed, **shift):
        study = write_study(
            ("retina_drive", "phantom3d"), failed=failed, analysed=False, metrics=("dice", "hd95")
        )
        study = type(study).model_validate(study.model_dump() | shift)
        path = tmp_path / "halfway.yaml"
        path.write_text(study.to_yaml())
        study.layout.scores.unlink(missing_ok=True)
        loaded = load_study(path)  # its recipes have what the catalog says, too
        seal_study(loaded)
        seal_data_and_networks(loaded)
        return path, study

    return build


def everything(path):
    """What `report` and `show` say after all commands of the workflow were typed in turn."""
    for verb in ("gather", "analyse", "tables", "export"):
        run(verb, "--study", str(path))
    for name in ("effects", "scores", "ranks", "pareto", "learning", "difficulty"):
        run("figure", name, "--study", str(path))
    run("report", "--study", str(path))
    return run("show", "--study", str(path))


@pytest.mark.parametrize(
    ("failed", "said"),
    [
        (
            [("phantom3d", "attention_gate", 1)],
            "Phantom 3-D: runs not finished and left out: Attention gate (2 of 4)",
        ),
        (
            [("retina_drive", "unet", fold) for fold in (0, 1)],
            "Retina DRIVE: runs not finished and left out: U-Net (4 of 4)",
        ),
        (
            [
                ("phantom3d", model, fold)
                for model in ("unet", "attention_gate", "self_attention")
                for fold in (0, 1)
            ],
            "Phantom 3-D: runs not finished and left out: all",
        ),
    ],
)
def test_all_commands_work_and_name_the_runs_that_are_missing(halfway, failed, said):
    path, study = halfway(failed)
    shown = everything(path)
    missing = pd.read_csv(study.layout.analysis / "missing.csv")
    expected = {(*run, seed) for run in failed for seed in study.seeds}
    assert (
        set(missing[["dataset", "model", "fold", "seed"]].itertuples(index=False, name=None))
        == expected
    )
    assert set(missing["next_step"]) == {"train"}
    for text in (shown, study.layout.report.read_text(), study.layout.methods.read_text()):
        assert said in " ".join(text.split())
    assert "left" in run("status", str(path))


def test_shift_that_has_not_been_scored_yet_stops_nothing(halfway):
    path, study = halfway(
        [("phantom3d", "attention_gate", 0)], corruptions=["noise"], data_efficiency=[50]
    )
    everything(path)
    for name in ("corruption", "data_efficiency"):
        run("figure", name, "--study", str(path))
    report = " ".join(study.layout.report.read_text().split())
    for said in (
        "runs not scored on corrupted images",
        "runs on fewer training groups not finished",
    ):
        assert f"Phantom 3-D: {said} and left out: all" in report
    tables = ("corruption_levels", "corruption_slopes", "data_efficiency", "transfer")
    assert all(pd.read_csv(study.layout.analysis / f"{name}.csv").empty for name in tables)


def test_scores_that_are_not_gathered_yet_are_named_as_such(halfway):
    path, study = halfway([])
    late = Run("phantom3d", "self_attention", 1, 0)
    scores = study.layout.run(late) / "scores.csv"
    kept = scores.read_bytes()
    scores.unlink()
    run("gather", "--study", str(path))
    scores.write_bytes(kept)
    run("analyse", "--study", str(path))
    missing = pd.read_csv(study.layout.analysis / "missing.csv")
    assert missing.to_numpy().tolist() == [
        ["phantom3d", "self_attention", 1, 0, 100, "scores", "gather"]
    ]


def test_nothing_scored_at_all_is_an_error_that_says_so(halfway):
    models = ("unet", "attention_gate", "self_attention")
    path, _ = halfway(
        [
            (data, model, k)
            for data in ("retina_drive", "phantom3d")
            for model in models
            for k in (0, 1)
        ]
    )
    result = CliRunner().invoke(app, ["gather", "--study", str(path)])
    assert result.exit_code and "none of the 24 runs has scores" in str(result.exception)
