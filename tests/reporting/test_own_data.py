"""What page, tables and methods say of a user's data: as much as is known, and never more."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from attnbench.analysis.run import analyse_study
from attnbench.check import warnings_of
from attnbench.reporting.contents import TABLES
from attnbench.reporting.exports.methods import compose_methods
from attnbench.reporting.page import write_report
from attnbench.reporting.page.answer import answer_study
from attnbench.reporting.results import Results
from attnbench.reporting.tables import tabulate
from attnbench.reporting.tables.facts import data_in_short, tabulate_datasets, tabulate_protocol
from attnbench.reporting.terminal import show_comparison
from attnbench.study.settings import parse_study
from attnbench.training.budget import short_budgets
from sealing import seal_study

ENTRY = {
    "name": "nerve", "short": "nerve", "title": "My nerve ultrasound", "task": "not stated",
    "modality": "not stated", "ndim": 2, "channels": 1, "classes": {1: "nerve", 2: "vessel"},
    "axes": ["rows", "columns"], "mirror": {"axes": [], "reason": "r"}, "cases": 24,
    "groups": 12, "groups_inferred": True, "licence": "not stated", "citation": "not stated",
    "origin": {"kind": "local", "folder": "."}, "reader": {"name": "pictures"},
}  # fmt: skip


@pytest.fixture
def own(tmp_path):
    """A function: changes of the entry and of the study to the results, of which there are none."""

    def build(entry=(), **study):
        content = json.dumps({**ENTRY, **dict(entry)})
        content = re.sub(r'"(\d+)":', r"\1:", content)
        (tmp_path / "nerve.yaml").write_text(content)
        (tmp_path / "nerve.files.csv").write_text("path,bytes,sha256,role,case,group\n")
        dataset = {"name": "nerve", **study.pop("dataset", {})}
        content = {"name": "s", "catalog": [str(tmp_path)], "datasets": [dataset],
                   "models": ["unet", "cbam"], "output": str(tmp_path / "out")}  # fmt: skip
        return Results(parse_study({**content, **study}))

    return build


def data_of(results):
    """The paragraph on data, without the sentence on how copies are found."""
    methods = compose_methods(results, [])
    return methods.split("**Models.**")[0].split("**Data.**")[1]


def datasets_of(results):
    table = tabulate_datasets(results)
    return [str(cell) for cell in table.blocks[0].rows[0]], " ".join(table.notes)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "guessed from file names when the data were added"),
        ({"groups_inferred": False}, "as stated by whoever added the data"),
    ],
)
def test_groups_of_own_data_are_not_said_to_come_from_the_images(own, entry, said):
    results = own(entry)
    notes = datasets_of(results)[1]
    for text in (data_of(results), notes):
        assert "inferred from the images" not in text
    assert f"24 cases of 12 groups, {said}" in data_of(results)
    assert (said in notes) == ENTRY["groups_inferred"] if not entry else said not in notes


def test_groups_of_a_shipped_set_are_still_inferred_from_the_images():
    results = Results(parse_study({"name": "s", "datasets": ["hippocampus"], "models": ["unet"]}))
    assert "170 groups, inferred from the images" in data_of(results)
    assert "* Hippocampus: inferred from the images, not stated" in datasets_of(results)[1]


def test_what_is_not_stated_is_left_out_and_the_title_is_shown(own):
    results = own()
    assert "nerve: My nerve ultrasound (2-D; classes: nerve, vessel; 24 cases" in data_of(results)
    cells, notes = datasets_of(results)
    assert cells[1] == "2-D" and "nerve: My nerve ultrasound" in notes
    assert "not stated" not in data_of(results)
    full = own({"task": "nerves", "modality": "ultrasound", "citation": "me, 2026"})
    assert "nerve: nerves (ultrasound, 2-D; classes" in data_of(full)
    assert "me, 2026" in datasets_of(full)[1]


def test_the_first_screen_names_the_data_in_a_line(own):
    said = "Data: nerve (My nerve ultrasound), 24 cases, 12 groups; classes nerve, vessel."
    assert data_in_short(own()) == said
    unknown = own({"groups": "unknown"})
    assert "24 cases, groups unknown; classes nerve, vessel." in data_in_short(unknown)


@pytest.mark.parametrize(
    ("dataset", "present", "absent"),
    [
        ({}, "2-D patch in pixels 128 × 128", "3-D patch"),
        ({"patch": [96, 96]}, "For nerve: patch in pixels 96 × 96", "128"),
    ],
)
def test_only_patches_that_are_used_are_stated(own, dataset, present, absent):
    results = own(dataset=dataset)
    training = compose_methods(results, []).split("**Training.**")[1].split("**Evaluation.**")[0]
    assert present in training and absent not in training
    protocol = {str(row[0]): str(row[1]) for row in tabulate_protocol(results).blocks[0].rows}
    assert absent not in protocol["Training"]


def everything_said(study, capsys):
    """Methods, every table and the page as text, and what the terminal shows."""
    results = Results(study)
    write_report(study)
    show_comparison(study)
    page = study.layout.report.read_text(encoding="utf-8")
    page = re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
    tables = [
        " | ".join(
            [*table.notes, *(f"{block.title} {block.behind}" for block in table.blocks),
             *(str(cell) for block in table.blocks for row in block.rows for cell in row)]
        )
        for table in (tabulate(results, spec) for spec in TABLES if spec.name in
                      ("comparison", "effects", "answer", "datasets", "protocol"))
    ]  # fmt: skip
    shown = " ".join(capsys.readouterr().out.split())
    return {
        "methods": compose_methods(results, []), "tables": " ".join(tables),
        "page": " ".join(re.sub(r"<[^>]+>", " | ", page).split()), "terminal": shown,
    }  # fmt: skip


def test_where_groups_are_unknown_nothing_speaks_of_patients_or_counts_groups(write_study, capsys):
    said = everything_said(write_study(["medseg_busi_128"], ["unet", "cbam"], seeds=[0]), capsys)
    for where, text in said.items():
        assert "patient" not in text.lower().replace("per patient", ""), where
        assert "independent" not in text, where
        # Rules name a least number of groups, which is none of this study's.
        assert not re.search(r"(?<!below )(?<!fewer than )\b\d+ groups", text), where
        assert re.search(r"groups (are )?unknown", text), where
    assert "on new cases and with the models as trained" in said["page"]
    assert re.search(r"Small effects: \d+ cases and", said["page"])


def test_where_groups_are_known_they_are_counted_as_before(write_study, capsys):
    said = everything_said(write_study(["retina_drive"], ["unet", "cbam"], seeds=[0]), capsys)
    assert all(re.search(r"\b\d+ groups", text) for text in said.values())
    assert "on new patients and with the models as trained" in said["page"]
    assert "unknown" not in " ".join(said.values())


def scaled(study, factor):
    """The study analysed again with every Dice times `factor`."""
    scores = pd.read_csv(study.layout.scores, dtype={"case": str, "group": str})
    dice = scores["metric"] == "dice"
    scores.loc[dice, "value"] *= factor
    scores.to_csv(study.layout.scores, index=False)
    seal_study(study)
    analyse_study(study)
    return Results(study)


def test_the_headline_says_that_nothing_was_learned_and_what_it_was(write_study):
    study = write_study(["retina_drive"], ["unet", "cbam"], seeds=[0], outer=5)
    before = answer_study(Results(study))
    assert "learned next to nothing" not in before.verdict
    answer = answer_study(scaled(study, 0.01))
    means = Results(study).frame("means").query("metric == 'dice' and `class` == 'all'")["mean"]
    ends = dict.fromkeys(f"{value:.3f}" for value in (means.min(), means.max()))
    steps = study.training_of("retina_drive", "unet").steps
    assert answer.verdict == (
        "Cannot be told: the models have learned next to nothing "
        f"(Dice {' to '.join(ends)} after {steps} steps)"
    )
    assert "equivalent" not in answer.retrained and "no claim follows" in answer.retrained


def test_a_budget_that_a_check_warns_of_is_said_on_the_page(write_study):
    study = write_study(["retina_drive"], ["unet", "cbam"], seeds=[0])
    content = study.model_dump(mode="json")
    for steps, expected in ((60, 1), (150, 0)):
        content["training"] |= {"steps": steps, "learning_rate": 0.01, "optimiser": "adamw"}
        changed = parse_study(content)
        limits = [text for text in answer_study(Results(changed)).limits if "few for" in text]
        assert len(limits) == len(short_budgets(changed)) == expected
        assert sum("steps are few" in text for text in warnings_of(changed)) == expected
        assert all("150 or more" in text and f"{steps} steps" in text for text in limits)


def test_methods_do_not_say_that_nothing_was_chosen_where_groups_cross(own):
    results = own(dataset={"split": "official", "accept_crossing_groups": True})
    from attnbench.study.split import Split

    for crossing in (True, False):
        study = results.study.with_splits({"nerve": Split("official", 1, crossing=crossing)})
        text = data_of(Results(study))
        assert text.count("where groups cross, cases of their groups were") == crossing
        assert "No outer fold" not in text
