"""What `attnbench model check` says of mechanisms that break the contract, each in its own way."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from attnbench.check import check_study
from attnbench.cli import app
from attnbench.errors import OwnCodeError, StudyError
from attnbench.models.buildable import check_models
from attnbench.models.contract import CHECKS, check_mechanism
from attnbench.models.skeleton import mechanism_skeleton

FILE = Path(__file__).with_name("hostile_mechanisms.py")


def reference(name: str) -> str:
    return f"{FILE}:{name}"


def found(name: str, *ndims: int, **options):
    """Promises that are not kept, with verdict, what was found and the advice."""
    return {
        finding.promise: finding
        for finding in check_mechanism(reference(name), ndims or (2,), options)
        if finding.verdict != "ok"
    }


SHAPE = "keeps the shape of its features"
BROKEN = [
    ("Tuple", "fails", SHAPE, "a tuple of 2 for x (1, 16, 8, 12)", "return one tensor"),
    ("OneChannel", "fails", SHAPE, "output (1, 1, 8, 12)", "(1, 16, 8, 12)"),
    ("TwoImages", "fails", SHAPE, "hostile_mechanisms.py, line", "whatever the batch"),
    ("Fails", "fails", SHAPE, "KeyError: 'not today' (hostile_mechanisms.py, line", ""),
    ("EvenSides", "fails", "keeps the shape at odd sizes", "output (1, 16, 6, 4)", "resize"),
    ("CallsCuda", "fails", "is built for every level", "line", "no `.cuda()`"),
    (
        "FirstDevice",
        "fails",
        "has a cost that is counted from shapes",
        "meta",
        "device=x.device",
    ),
    ("ReadsValues", "fails", "has a cost that is counted from shapes", "meta", "no value decide"),
    (
        "AcrossImages",
        "fails",
        "treats every image of a batch alone",
        "image 1 alone",
        "across the first axis",
    ),
    ("DropsOut", "warning", "repeats a training under one seed", "drawn in training", "to the bit"),
    ("AlwaysDropsOut", "fails", "repeats itself in evaluation", "random numbers", "self.training"),
    ("DrawsElsewhere", "fails", "repeats a training under one seed", "another output", "by torch"),
    ("Remembers", "fails", "repeats itself in evaluation", "another output", "between calls"),
    ("HidesState", "fails", "is all in its weights", "another output", "register_buffer"),
    ("WritesInput", "fails", "leaves its input as it is", "changed in place", "write into"),
    (
        "UnusedParameters",
        "fails",
        "trains every parameter, and passes gradients on",
        "spare.weight, spare.bias",
        "matched controls count them",
    ),
    ("Detaches", "fails", "trains every parameter, and passes gradients on", "reaches x", "detach"),
    ("SetsTheSeed", "fails", "starts from the seed alone", "sets the seed", "manual_seed"),
    ("DividesByNothing", "fails", "stays finite where features are zero", "not finite", "constant"),
    ("SinglePrecision", "fails", "keeps double precision", "torch.float32", "dtype"),
    ("ViewsMemory", "fails", "works with channels last", "view", "`reshape`"),
    ("Pairs", "warning", "needs memory in proportion to positions", "16 times", "windows"),
    ("Heads", "warning", "is built for every level", "refuses 16, 32 channels", "levels: [2, 3]"),
    ("OtherNames", "fails", "is built for every level", "lacks channels, ndim", ""),
    ("NeedsOption", "fails", "is built for every level", "needs width", ""),
    ("NoConstructor", "fails", "is built for every level", "has no __init__", ""),
    ("NoSuchScale", "fails", "declares parameters that it has", "no parameter gamma", "scale"),
    ("NoIdentity", "fails", "declares parameters that it has", "not the identity", "gamma * f(x)"),
    ("StartsOpen", "fails", "declares parameters that it has", "does not start at zero", "zero"),
    ("NoSuchLogits", "fails", "declares parameters that it has", "nothing is called query", ""),
    ("FlatMap", "fails", "has maps of weights, if any", "(2, 8, 12)", "(B, 1, *spatial)"),
    ("NegativeMap", "fails", "has maps of weights, if any", "negative weights", ""),
    ("HiddenMap", "fails", "is what planning reads in its file", "attention_map", "as a method"),
]


@pytest.mark.parametrize(
    ("name", "verdict", "promise", "said", "advice"), BROKEN, ids=[row[0] for row in BROKEN]
)
def test_what_breaks_the_contract_is_named_with_what_to_do(name, verdict, promise, said, advice):
    problems = found(name)
    assert promise in problems
    assert problems[promise].verdict == verdict
    assert said in problems[promise].found
    assert advice in problems[promise].advice


def test_what_keeps_the_contract_passes_every_check_of_it_in_both_forms():
    findings = list(check_mechanism(reference("Good")))
    assert [(f.form, f.promise, f.verdict) for f in findings] == [
        (form, check.promise, "ok") for form in ("2-D", "3-D") for check in CHECKS
    ]


def test_each_form_is_judged_by_itself():
    assert found("FlatOnly", 2) == {}
    (problem,) = found("FlatOnly", 3).values()
    assert "ndims=(2,)" in problem.advice


def test_options_are_those_of_a_study():
    assert found("Good", width=9) == {}
    (problem,) = found("Good", widht=9).values()
    assert "no option 'widht'; did you mean 'width'" in problem.found


def test_a_function_is_no_mechanism():
    with pytest.raises(OwnCodeError, match="found a function; a mechanism is a class"):
        list(check_mechanism(reference("factory")))


def test_the_skeleton_passes_as_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_attention.py").write_text(mechanism_skeleton())
    run = CliRunner().invoke(app, ["model", "check", "./my_attention.py:MyGate"])
    assert run.exit_code == 0, run.stdout
    assert f"{2 * len(CHECKS)} checks: {2 * len(CHECKS)} ok, 0 warnings, 0 fail" in run.stdout
    assert "controls: gamma0, random, conv1x1, parameters, flops" in run.stdout


def test_the_command_ends_with_status_1_where_a_check_fails():
    run = CliRunner().invoke(
        app, ["model", "check", reference("Heads"), "--ndim", "2", "--option", "width=2"]
    )
    assert run.exit_code == 1
    assert "no option 'width'" in " ".join(run.stdout.split())
    run = CliRunner().invoke(app, ["model", "check", reference("Heads"), "--ndim", "2"])
    assert run.exit_code == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Tuple", r"in decoder 2: a tuple of 2 for x \(1, 64, .*; return one tensor"),
        ("OneChannel", r"in decoder 2: output \(1, 1, .* return the shape of x"),
        (
            "Fails",
            r"in decoder 2: KeyError: 'not today' \(hostile_mechanisms.py, line \d+\), for",
        ),
        ("Heads", "level 0 of slot 'decoder': .*16 channels do not split into heads of 64"),
        ("OtherNames", r"expected `__init__\(self, channels, ndim, ...\)`"),
        ("CallsCuda", r"level 0 .*\(hostile_mechanisms.py, line \d+\)"),
    ],
)
def test_a_study_with_it_is_refused_in_the_same_words(name, said):
    models = ["unet", {"name": "mine", "slots": {"decoder": reference(name)}}]
    study = check_study({"name": "x", "datasets": ["phantom2d"], "models": models})
    with pytest.raises(StudyError, match=said):
        check_models(study, "my.yaml")
