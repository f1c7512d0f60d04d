"""Runs of different machines are compared only where a study says so, and then every table does."""

import pytest

from attnbench.analysis.machines import compute_machines, refuse_mixed_machines
from attnbench.errors import DataError
from attnbench.files import write_csv
from attnbench.reporting.machines import machine_notes
from attnbench.reporting.results import Results
from attnbench.reporting.tables import write_tables
from attnbench.seals import write_seal
from attnbench.study.groups import AnalysisSettings
from attnbench.study.settings import parse_study

HERE = {"device": "cpu", "precision": "float32", "torch": "2.13.0+cpu"}
OTHERS = {"device": "cuda", "precision": "bfloat16", "torch": "2.12.1"}


@pytest.fixture
def study(tmp_path):
    return parse_study(
        {"name": "s", "datasets": ["phantom2d"], "models": ["unet", "attention_gate"],
         "folds": {"outer": 2, "inner": 2}, "seeds": [0], "output": str(tmp_path)}
    )  # fmt: skip


def leave(study, change=lambda number: {}, stages=("", "predict_")):
    """Seals of scores of every run, trained and predicted `HERE` but for some facts."""
    for number, run in enumerate(study.runs()):
        stamp = {
            f"{stage}{fact}": (HERE | change(number) if stage in stages else HERE)[fact]
            for stage in ("", "predict_")
            for fact in HERE
        }
        write_seal(study.layout.seal(f"score/{run}"), study.layout.output, [], stamp)
    return compute_machines(study)


def accepting(study, *facts):
    analysis = study.analysis.model_copy(update={"accept_mixed": facts})
    return study.model_copy(update={"analysis": analysis})


def test_runs_of_one_machine_are_compared(study):
    machines = leave(study)
    refuse_mixed_machines(machines, study)
    assert machines.to_numpy().tolist() == [
        ["device", "training", "cpu", 4], ["device", "prediction", "cpu", 4],
        ["precision", "training", "float32", 4], ["precision", "prediction", "float32", 4],
        ["torch", "training", "2.13.0", 4], ["torch", "prediction", "2.13.0", 4],
    ]  # fmt: skip


@pytest.mark.parametrize("fact", HERE)
@pytest.mark.parametrize("stage", ["training", "prediction"])
def test_one_run_of_another_machine_is_refused_or_accepted_by_name(study, fact, stage):
    odd = {fact: OTHERS[fact]}
    stages = ("",) if stage == "training" else ("predict_",)
    machines = leave(study, lambda number: odd if number == 1 else {}, stages)
    with pytest.raises(DataError) as caught:
        refuse_mixed_machines(machines, study)
    said = str(caught.value)
    for word in (f"{stage}: ", f"1 runs {OTHERS[fact]}", f"accept_mixed: [{fact}]", "rerun"):
        assert word in said
    refuse_mixed_machines(machines, accepting(study, fact))
    for other in set(HERE) - {fact}:
        with pytest.raises(DataError, match="runs of different"):
            refuse_mixed_machines(machines, accepting(study, other))


def test_runs_trained_here_and_predicted_there_are_a_mixture(study):
    machines = leave(study, lambda number: OTHERS, ("predict_",))
    with pytest.raises(DataError, match="training: 4 runs cpu; prediction: 4 runs cuda"):
        refuse_mixed_machines(machines, study)


def test_the_same_torch_for_another_device_is_the_same_version(study):
    machines = leave(study, lambda number: {"torch": "2.13.0+cu126"} if number else {})
    refuse_mixed_machines(machines, study)


def test_an_accepted_mixture_is_said_in_every_table(study):
    study = accepting(study, *HERE)
    write_csv(
        study.layout.analysis / "machines.csv",
        leave(study, lambda number: OTHERS if number == 2 else {}),
    )
    notes = machine_notes(Results(study))
    assert len(notes) == 3
    assert "devices are compared" in notes[0]
    assert "3 runs cpu, 1 runs cuda" in notes[0]
    write_tables(study)
    written = sorted(study.layout.tables.glob("*.md"))
    assert len(written) > 3
    for path in written:
        text = path.read_text()
        assert "Runs of different devices are compared" in text, path.name
        assert "Runs of different versions of torch are compared" in text, path.name


def test_a_study_of_one_machine_says_nothing(study):
    write_csv(study.layout.analysis / "machines.csv", leave(study))
    assert machine_notes(Results(study)) == []


def test_only_facts_of_machines_can_be_accepted():
    with pytest.raises(ValueError, match="accept_mixed"):
        AnalysisSettings(accept_mixed=("fold",))
