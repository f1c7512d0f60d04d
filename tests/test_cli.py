"""What a command leaves in its log, and what it says in the terminal, when something goes wrong."""

import sys
from importlib.metadata import version

import pytest

from attnbench.cli import main
from attnbench.reporting.status import run_status
from attnbench.study.settings import parse_study

STUDY = "{{name: small, datasets: [phantom2d], models: [unet, attention_gate], output: {output}}}"


@pytest.fixture
def attnbench(tmp_path, monkeypatch):
    """Runs a command on a small study and returns its exit status."""
    (tmp_path / "study.yaml").write_text(STUDY.format(output=tmp_path / "results"))

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["attnbench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    return run


def test_an_error_that_nobody_foresaw_is_in_the_log_with_its_traceback(attnbench, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/tables").write_text("a file where a folder should be")
    log = tmp_path / "tables.log"
    assert attnbench("tables", "--study", str(tmp_path / "study.yaml"), "--log", str(log)) == 1
    assert log.read_text().startswith(f"study: {tmp_path / 'study.yaml'}\n")
    for said in (log.read_text().partition("\n")[2], capsys.readouterr().err):
        lines = said.splitlines()
        assert lines[0] == "Traceback (most recent call last):"
        assert lines[-1].startswith("error: FileExistsError:") and "results/tables" in lines[-1]


def test_an_expected_error_is_one_message_and_makes_a_run_failed(attnbench, tmp_path, capsys):
    study = parse_study(
        {
            "name": "small",
            "datasets": ["phantom2d"],
            "models": ["unet"],
            "output": str(tmp_path / "results"),
        }
    )
    run = next(study.runs())
    log = study.layout.run(run) / "train.log"
    which = ("--dataset", "phantom2d", "--model", "unet", "--fold", "0", "--seed", "0")
    assert (
        attnbench("train", "--study", str(tmp_path / "study.yaml"), *which, "--log", str(log)) == 1
    )
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "Traceback" not in said
    assert log.read_text() == f"study: {tmp_path / 'study.yaml'}\n{said}"
    status = run_status(study, run)
    assert status.state == "failed" and said.startswith(status.says)


@pytest.mark.parametrize("command", [("status",), ("show",), ("study", "plan"), ("study", "check")])
def test_a_study_is_named_either_way(attnbench, tmp_path, monkeypatch, capsys, command):
    study = str(tmp_path / "study.yaml")
    said = []
    for named in ((study,), ("--study", study), (study, "--study", study)):
        assert attnbench(*command, *named) == 0
        said.append(capsys.readouterr().out)
    assert said[0] and len({*said}) == 1
    assert attnbench(*command, study, "--study", "other.yaml") == 1
    assert "two studies" in capsys.readouterr().err
    assert attnbench(*command, "none.yaml") == 1
    assert "none.yaml: no such study file" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert attnbench(*command) == 1
    refused = capsys.readouterr().err
    assert "YAML files here: study.yaml" in refused and "attnbench init" in refused
    (tmp_path / "config.yaml").write_text((tmp_path / "study.yaml").read_text())
    assert attnbench(*command) == 0
    assert capsys.readouterr().out == said[0].replace(study, "config.yaml")


def test_the_version_is_that_of_the_package(attnbench, capsys):
    assert attnbench("--version") == 0
    assert capsys.readouterr().out.split() == ["attnbench", version("attnbench")]


def test_a_file_that_ends_too_early_is_no_word_of_click(monkeypatch, capsys, tmp_path):
    """Click says "Aborted." for an EOFError, whatever it came from, and the log stays empty."""
    import numpy as np

    from attnbench import check

    (tmp_path / "empty.npy").write_bytes(b"")
    monkeypatch.setattr(check, "load_study", lambda path: np.load(tmp_path / "empty.npy"))
    (tmp_path / "study.yaml").write_text("")
    monkeypatch.setattr(sys, "argv", ["attnbench", "show", str(tmp_path / "study.yaml")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "a file ends too early" in said and "EOFError" in said and "Aborted" not in said
