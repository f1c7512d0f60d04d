"""Labels and footnotes of predictions made elsewhere, in every table, figure and text."""

import pytest

from attnbench.analysis.run import analyse_study
from attnbench.files import write_json
from attnbench.models.names import known_models
from attnbench.reporting.contents import figures_of, tables_of
from attnbench.reporting.exports.methods import compose_methods
from attnbench.reporting.figures import draw_figure
from attnbench.reporting.page.case_browser import browse_cases
from attnbench.reporting.results import Results
from attnbench.reporting.tables import tabulate
from attnbench.reporting.tables.render import render_md, render_tex
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from sealing import seal_study

ORIGIN = "Another tool 2.1, a_model & 3 epochs"


@pytest.fixture
def study(write_study):
    """A finished study whose last model was predicted elsewhere, without two of the cases."""
    own = write_study(
        ["phantom2d"], ["unet", "attention_gate", "self_attention"], seeds=[0], analysed=False
    )
    content = own.model_dump(mode="json", include={"name", "datasets", "folds", "metrics"})
    theirs = {"folder": "theirs/fold{fold}", "origin": ORIGIN, "missing": "empty"}
    models = ["unet", "attention_gate", {"name": "self_attention", "predictions": theirs}]
    study = parse_study(
        content
        | {"models": models, "output": str(own.layout.output), "analysis": {"bootstrap": 200}},
        known_models(),
    )
    for fold in (0, 1):
        run = Run("phantom2d", "self_attention", fold, 0)
        facts = {"origin": ORIGIN, "data_hash": "data", "folds_hash": "folds"}
        write_json(study.layout.run(run) / "run.json", facts | {"missing": ["a", "b"][: 2 * fold]})
    for run in study.trainings():
        facts = {"dataset": run.dataset, "model": run.model, "fold": run.fold, "seed": run.seed}
        hashes = {"data_hash": "data", "folds_hash": "folds"}
        write_json(study.layout.run(run) / "run.json", facts | hashes)
    seal_study(study)
    analyse_study(study)
    return study


def test_every_table_that_names_them_labels_them_and_has_their_origin_below(study):
    results = Results(study)
    label = results.label("self_attention")
    assert label.endswith("§") and results.drawn_label("self_attention") == (
        f"{label} made elsewhere"
    )
    named = set()
    for spec in tables_of(study):
        table = tabulate(results, spec)
        text = render_md(table)
        first = [str(row[0]) for block in table.blocks for row in block.rows]
        assert label.removesuffix("§") not in first, spec.name
        named |= {spec.name} if label in first else set()
        assert ORIGIN.replace("_", r"\_") in text or ORIGIN in text, spec.name
        assert any("no prediction of 2 case(s)" in note and "a, b" in note for note in table.notes)
        assert r"\S{}" in render_tex(table) and "§" not in render_tex(table)
    assert {"comparison", "effects", "per_class", "cost", "models"} <= named
    assert "answer" not in named


def test_cells_that_only_a_training_could_fill_say_why_they_are_empty(study):
    results = Results(study)
    tables = {spec.name: tabulate(results, spec) for spec in tables_of(study)}
    label = results.label("self_attention")

    def cells(name):
        rows = [row for block in tables[name].blocks for row in block.rows]
        return [str(cell) for row in rows if str(row[0]) == label for cell in row]

    assert "made elsewhere" in cells("effects") and "made elsewhere" in cells("cost")
    assert "made elsewhere" in cells("models")
    assert f"{label}: no cost" not in " ".join(tables["cost"].notes)


def test_methods_and_case_browser_say_so_too(study):
    results = Results(study)
    methods = compose_methods(results, [])
    assert ORIGIN in methods and "2 models shared one U-Net" in methods
    assert "Of 4 planned trainings, 4 were finished" in methods
    browser = browse_cases(results, 10**7)
    assert results.drawn_label("self_attention") in browser["models"]
    assert all(mask for case in browser["datasets"][0]["cases"] for mask in case["masks"])


def test_every_figure_is_drawn_with_them(study):
    for figure in figures_of(study):
        if figure.spec.name in ("effects", "scores", "pareto", "ranks", "difficulty"):
            draw_figure(study, figure.name)
            assert (study.layout.figures / f"{figure.name}.pdf").stat().st_size
