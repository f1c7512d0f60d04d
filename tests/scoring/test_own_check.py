"""`attnbench metric check` finds what a metric does not do as declared."""

import pytest
from typer.testing import CliRunner

from attnbench.cli import app

HEAD = "from attnbench.scoring.definitions import metric\nimport numpy as np\n"
BOUNDED = "both_empty=1, prediction_empty=0, reference_empty=0, rule='A rule.', bounded=True"
LENGTH = (
    "higher_is_better=False, unit='distance', both_empty=0, prediction_empty='diagonal',"
    "reference_empty='diagonal', rule='A rule.'"
)
DICE = "2 * (prediction & reference).sum() / (prediction.sum() + reference.sum())"
CENTRES = "[np.argwhere(m).mean(0) * {} for m in (prediction, reference)]"


def checked(folder, monkeypatch, declared, body):
    monkeypatch.chdir(folder)
    (folder / "my_metrics.py").write_text(
        f"{HEAD}@metric({declared})\ndef mine(prediction, reference, spacing):\n    {body}\n"
    )
    return CliRunner().invoke(app, ["metric", "check", "./my_metrics.py:mine"])


@pytest.mark.parametrize(
    ("declared", "body"),
    [
        (f"higher_is_better=True, {BOUNDED}", f"return {DICE}"),
        (LENGTH, f"return np.linalg.norm(np.subtract(*{CENTRES.format('spacing')}))"),
    ],
)
def test_a_sound_metric_passes(tmp_path, monkeypatch, declared, body):
    found = checked(tmp_path, monkeypatch, declared, body)
    assert found.exit_code == 0, found.output
    assert "FAIL" not in found.output
    assert "prediction and reference may be exchanged" in found.output
    assert "ready: metrics: [dice, ./my_metrics.py:mine]" in found.output


@pytest.mark.parametrize(
    ("declared", "body", "said"),
    [
        (f"higher_is_better=False, {BOUNDED}", f"return {DICE}", "declared: lower is better"),
        (f"higher_is_better=True, {BOUNDED}", f"return 0.5 * {DICE}", "is 0.5, not 1"),
        (
            f"higher_is_better=True, {BOUNDED}",
            f"return {DICE} * (1 - 1e-3 * np.random.default_rng().random())",
            "a perfect prediction is",
        ),
        (LENGTH, f"return np.linalg.norm(np.subtract(*{CENTRES.format(1)}))", "with one of 2"),
        (f"higher_is_better=True, {BOUNDED}", "return prediction[:, :, 0].mean()", "IndexError"),
        (f"higher_is_better=True, {BOUNDED}", "import no_such_package", "no_such_package"),
        (
            f"higher_is_better=True, {BOUNDED}".replace("both_empty=1", "both_empty='computed'"),
            f"return int({DICE} * 0 + 1)",
            "empty masks: ./my_metrics.py:mine raises ValueError",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_is_not_as_declared_fails(tmp_path, monkeypatch, declared, body, said):
    found = checked(tmp_path, monkeypatch, declared, body)
    assert found.exit_code == 1
    assert any(line.startswith("FAIL") and said in line for line in found.output.splitlines()), (
        found.output
    )


def test_notes_say_what_is_no_fault(tmp_path, monkeypatch):
    declared = (
        "higher_is_better=False, both_empty=0, prediction_empty=0, reference_empty=1,"
        "bounded=True, rule='Share of the prediction that is wrong, spacing counted.'"
    )
    body = (
        "prediction &= ~reference; return prediction.sum() / (prediction.size * (1 + spacing[0]))"
    )
    found = checked(tmp_path, monkeypatch, declared, body)
    for said in (
        "it changes masks; it gets copies",
        "prediction and reference are not alike",
        "the spacing changes it",
        "the size of the image",
        "a prediction that finds nothing is best",
    ):
        assert any(line.startswith("note") and said in line for line in found.output.splitlines())


def test_a_study_is_refused_whose_metric_cannot_be_imported(tmp_path, monkeypatch):
    declared = f"higher_is_better=True, {BOUNDED}"
    checked(tmp_path, monkeypatch, declared, "return 1")
    path, study = tmp_path / "my_metrics.py", tmp_path / "my.yaml"
    path.write_text(f"import no_such_package\n{path.read_text()}")
    study.write_text(
        "{name: x, datasets: [phantom2d], models: [unet], metrics: [./my_metrics.py:mine]}"
    )
    light = CliRunner().invoke(app, ["study", "check", "--light", str(study)])
    assert light.exit_code == 0
    found = CliRunner().invoke(app, ["study", "check", str(study)])
    assert "No module named 'no_such_package'" in str(found.exception)


def test_what_is_no_reference_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for wrong, said in (("mine", "is named by a file and a name"), ("./a.py:mine", "no file")):
        found = CliRunner().invoke(app, ["metric", "check", wrong])
        assert said in str(found.exception)
