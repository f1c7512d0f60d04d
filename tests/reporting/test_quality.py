"""Copies and oddities from the files of an inspection to table, figure and methods."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnbench.analysis.quality import compute_quality
from attnbench.data.info import DatasetInfo
from attnbench.data.scan.tables import Finding, Pair, Summary, write_inspection
from attnbench.files import read_json, write_csv, write_json
from attnbench.reporting.contents import figure_names, table_names
from attnbench.reporting.exports.methods import compose_methods
from attnbench.reporting.figures.duplicates import draw_duplicates
from attnbench.reporting.results import Results
from attnbench.reporting.style import styled
from attnbench.reporting.tables.quality import tabulate_quality
from attnbench.study.settings import parse_study


def pair(names, across, kind, correlation):
    a, b = names
    return Pair(a, f"g{a}", b, f"g{b}" if across else f"g{a}", across, kind, correlation, 3.0,
                "mirrored left to right", 0.9, 0.01)  # fmt: skip


@pytest.fixture
def results(write_study):
    """One dataset of ten cases with three pairs of copies, and a phantom."""
    study = write_study(cases=10, seeds=[0], models=["unet"], analysed=False)
    names = Results(study).store("retina_drive").columns["case"]
    pairs = [
        pair((names[0], names[5]), True, "exact", 1.0),
        pair((names[1], names[6]), True, "near", 0.83),
        pair((names[2], names[7]), False, "near", 0.91),
    ]
    findings = [
        Finding("empty mask", names[3], "g", "foreground", 0.0, "background only"),
        *(
            Finding("outlier of size", name, "g", "size, rows", 7.0, f"size of {name}")
            for name in names[:7]
        ),
        Finding("class in few groups", "", "", "vessel", 2.0, "class 1 in 2 of 10 groups"),
    ]
    summary = Summary("retina_drive", 10, 10, 321, 17.5, False, 0.7)
    write_inspection(study.layout.inspected("retina_drive"), pairs, findings, summary)
    content = study.model_dump(mode="json")
    content["datasets"][0]["duplicates"] = "merge"
    facts = study.layout.prepared("retina_drive") / "dataset.json"
    merged = {"a+b": ["a", "b"], "c+d": ["c", "d"]}
    info = replace(DatasetInfo.from_json(read_json(facts)), merged_groups=merged)
    write_json(facts, info.to_json())
    study = parse_study(content)
    for name, frame in compute_quality(study).items():
        write_csv(study.layout.analysis / f"{name}.csv", frame)
    return Results(study)


def test_the_analysis_counts_what_was_found(results):
    (row,) = results.frame("inspected").to_dict("records")
    assert row["dataset"] == "retina_drive"
    assert [row[f"{kind}_{where}"] for where in ("across", "within") for kind in ("exact", "near")
            ] == [1, 1, 0, 1]  # fmt: skip
    assert (row["empty_masks"], row["outliers"], row["rare_classes"], row["equal_masks"]) == (
        1, 7, 1, 0,
    )  # fmt: skip
    assert (row["duplicates"], row["merged"], row["merged_into"]) == ("merge", 4, 2)
    assert len(results.frame("duplicates")) == 3 and len(results.frame("findings")) == 9


def test_the_table_says_what_was_found_and_done(results):
    table = tabulate_quality(results)
    (row,) = table.blocks[0].rows
    cells = [str(cell) for cell in row]
    assert "2 (1)" in cells and "1 (0)" in cells and "4 groups became 2" in cells
    notes = " ".join(table.notes)
    assert "empty mask" in notes and "class 1 in 2 of 10 groups" in notes
    # Five of a kind are shown, the rest is counted; the phantom is said to be left out.
    assert notes.count("size of ") == 5 and "and 2 more" in notes
    assert "17.5 of 64 bits" in notes and "generated" in notes


def test_the_figure_shows_every_pair_those_across_groups_first(results):
    with styled():
        drawn = draw_duplicates(results)
    titles = [axes.get_title() for axes in drawn.figure.axes if axes.axison]
    rows = results.frame("duplicates").to_dict("records")
    assert titles == [row[f"case_{side}"] for row in rows for side in "ab"]
    labels = [axes.get_xlabel() for axes in drawn.figure.axes if axes.axison][::2]
    assert [label.endswith("different groups") for label in labels] == [True, True, False]
    assert len(drawn.frame) == 3


def test_the_methods_say_how_and_what(results):
    text = compose_methods(results, [])
    assert "searched for copies" in text and "the groups become one" in text
    assert "2 pairs of copies in different groups, 1 within a group; 4 groups became 2" in text


def test_a_study_of_phantoms_has_neither(results):
    content = results.study.model_dump(mode="json")
    content["datasets"] = [{"name": "phantom3d"}]
    only = parse_study(content)
    assert "quality" in table_names(results.study) and "quality" not in table_names(only)
    assert "duplicates" in figure_names(results.study) and "duplicates" not in figure_names(only)
