"""The plan of a study as it is printed, from assumptions and from simulated scores."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.answer import Asked, compute_answer
from attnbench.analysis.blocks import arrange, read_scores
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.planning import Question, plan_study
from attnbench.analysis.spread import ASSUMED
from attnbench.check import check_study
from attnbench.cli import main
from attnbench.errors import StudyError
from attnbench.files import write_csv, write_json
from attnbench.reporting.plan import sentence, show_plan
from attnbench.study.reading import read_yaml
from attnbench.study.settings import Study

ROOT = Path(__file__).parents[2]
GROUPS, FOLDS, SEEDS = 40, 5, 3


def study_of(tmp_path, **keys) -> Study:
    content = {
        "name": "planned",
        "datasets": ["phantom2d"],
        "models": ["unet", "cbam", "attention_gate", "self_attention"],
        "folds": {"outer": FOLDS},
        "seeds": list(range(SEEDS)),
        "metrics": ["dice"],
        "output": str(tmp_path / "results"),
    }
    return check_study(content | keys)


def finish(study: Study, seeds: int = SEEDS) -> None:
    """Write scores: luck of runs hides one effect, patients another, and the third is clear."""
    random = np.random.default_rng(5)
    fold = np.arange(GROUPS) % FOLDS
    luck = random.normal(0, 0.05, (FOLDS, seeds))
    patients = random.normal(0, 0.2, (GROUPS, 1))
    noise = random.normal(0, 0.001, (3, GROUPS, seeds))
    differences = {
        "unet": np.zeros((GROUPS, seeds)),
        "cbam": 0.03 + (luck - luck.mean())[fold] + noise[0],
        "attention_gate": 0.03 + patients - patients.mean() + noise[1],
        "self_attention": 0.05 + noise[2],
    }
    rows = [
        {
            "dataset": "phantom2d",
            "model": model,
            "fold": fold[group],
            "seed": seed,
            "case": f"case{group:02d}",
            "group": f"group{group:02d}",
            "class": 1,
            "metric": "dice",
            "value": 0.5 + values[group, seed],
            "unit": "1",
            "status": "ok",
        }
        for model, values in differences.items()
        for group in range(GROUPS)
        for seed in range(seeds)
    ]
    layout = study.layout
    write_csv(layout.scores, pd.DataFrame(rows))
    scores = read_scores(layout.scores)
    blocks = arrange(scores, ["phantom2d"], list(differences), ["dice"], study.splits)
    effects = compute_effects(blocks, "unet", study.analysis, {})
    asked = [Asked(name, {}) for name in differences if name != "unet"]
    answer = compute_answer(effects, blocks, "unet", asked, study.analysis, study.primary)
    write_csv(layout.analysis / "answer.csv", answer)


def printed(study: Study, capsys, **question) -> list[str]:
    show_plan(study, Question(**question))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    return lines


def starting(lines: list[str], word: str) -> str:
    (line,) = [line for line in lines if line.startswith(word)]
    return line


def test_a_study_without_scores_is_planned_from_assumptions(tmp_path, capsys):
    lines = printed(study_of(tmp_path), capsys, effect=0.5)
    assert lines[0] == "Phantom 2-D: 24 groups, 4 models; the study has 5 folds, 1 repeat, 3 seeds"
    assert "(assumed)" in lines[1] and "training time" not in "\n".join(lines)
    assert starting(lines, "Cheapest").endswith("5 folds, 1 repeat, 1 seed; 5 runs per model")


def test_hours_are_those_of_all_models_and_runs(tmp_path):
    study = study_of(tmp_path)
    (plan,) = plan_study(study, Question(folds=(5,), seeds=(2,), repeats=(3,), seconds=60))
    assert [option.seconds for option in plan.options] == [4 * 5 * 2 * 3 * 60]
    for seed, seconds in ((0, 10), (1, 30)):
        run = next(run for run in study.runs() if run.seed == seed)
        write_json(study.layout.run(run) / "run.json", {"train_seconds": seconds})
    (plan,) = plan_study(study, Question(folds=(5,), seeds=(1,), repeats=(1,)))
    assert [option.seconds for option in plan.options] == [4 * 5 * 20]


def test_a_finished_study_says_what_would_decide_each_variant(tmp_path, capsys):
    study = study_of(tmp_path)
    finish(study)
    lines = printed(study, capsys)
    assert lines[0].startswith("Phantom 2-D: 40 groups") and "(estimated)" in lines[1]
    (plan,) = plan_study(study, Question())
    luck, patients, clear = (sentence(decision, plan) for decision in plan.decisions)
    assert re.fullmatch(r"\+0.030 from unet, undecided: \d+ more seeds would decide it", luck)
    assert re.fullmatch(
        r"\+0.030 from unet, undecided: no number of seeds or repeats; about \d+ groups would "
        r"decide it",
        patients,
    )
    assert clear == (
        "+0.050 from unet, not separated from size: add a control of equal parameters + flops"
    )
    assert starting(lines, "cbam: ").startswith(f"cbam: {luck}"[:90])


def test_with_one_seed_nothing_is_said_of_seeds(tmp_path, capsys):
    study = study_of(tmp_path, seeds=[0])
    finish(study, seeds=1)
    lines = printed(study, capsys)
    starting(lines, "One seed: ")
    assert not any("more seed" in line for line in lines)
    header = starting(lines, " folds")
    assert header.split() == ["folds", "repeats", "1", "seed"]


@pytest.mark.parametrize(
    ("keys", "question", "said"),
    [
        ({"models": ["unet"]}, {}, "add a variant to `models`"),
        ({"metrics": ["hd95"]}, {}, "give --sd-group"),
        (
            {"metrics": ["hd95"]},
            {"spread": tuple(dict.fromkeys(("group", "fold", "run", "rest"), 1.0).items())},
            "--effect",
        ),
        ({}, {"folds": (30, 40)}, "24 groups cannot be split into 30 or 40 folds"),
    ],
)
def test_what_cannot_be_planned_says_what_to_do(tmp_path, keys, question, said):
    with pytest.raises(StudyError, match=said):
        plan_study(study_of(tmp_path, **keys), Question(**question))


def test_given_deviations_replace_the_others(tmp_path, capsys):
    question = {"spread": (("group", 0.25),)}
    (plan,) = plan_study(study_of(tmp_path), Question(**question))
    assert plan.spread == replace(ASSUMED, group=0.25)
    assert (
        "(assumed, group given): groups 0.250, "
        in printed(study_of(tmp_path), capsys, **question)[1]
    )


def test_the_command_prints_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "study.yaml").write_text(study_of(tmp_path).to_yaml())
    options = ["--effect", "0.03", "--seeds", "1-2,5", "--minutes-per-run", "6", "--groups", "60"]
    command = ["attnbench", "study", "plan", "--study", str(tmp_path / "study.yaml"), *options]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0 and lines[0].startswith("Phantom 2-D: 60 groups")
    assert starting(lines, " folds").split() == [
        "folds", "repeats", "1", "seed", "2", "seeds", "5", "seeds",
    ]  # fmt: skip
    assert any(line.split()[:2] == ["5", "1"] and "2.00 h" in line for line in lines)


def test_the_example_in_the_docs_is_what_it_prints(capsys, tmp_path):
    page = (ROOT / "docs" / "planning.md").read_text(encoding="utf-8")
    content = read_yaml(ROOT / "config.yaml") | {"output": str(tmp_path / "results")}
    show_plan(check_study(content), Question(effect=0.02))
    example = [f"    {line}".rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "\n".join(example).rstrip() in page
