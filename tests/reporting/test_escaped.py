"""What a study or a catalog names is text wherever it stands: no markup, no cell, no command."""

import re

import pytest

from attnbench.analysis.run import analyse_study
from attnbench.catalog import load_entry
from attnbench.files import write_json
from attnbench.models.names import known_models
from attnbench.reporting.contents import tables_of
from attnbench.reporting.exports.methods import compose_methods
from attnbench.reporting.page import write_report
from attnbench.reporting.results import Results
from attnbench.reporting.tables import tabulate
from attnbench.reporting.tables.render import render_md, render_tex, to_md, without_tags
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from sealing import seal_study

HOSTILE = "<script>alert('a')</script> | b_c & $d$ 5 % \\input{x} #e {f} ~ ^ `g` </td>"


@pytest.fixture
def results(write_study, monkeypatch):
    """A finished study with hostile words wherever words of others come from."""
    own = write_study(["phantom2d"], ["unet", "attention_gate"], seeds=[0], analysed=False)
    content = own.model_dump(mode="json", include={"name", "datasets", "folds", "metrics"})
    theirs = {"folder": "theirs/fold{fold}", "origin": HOSTILE}
    models = ["unet", {"name": "attention_gate", "predictions": theirs}]
    changes = {"models": models, "output": str(own.layout.output), "analysis": {"bootstrap": 200}}
    study = parse_study(content | changes, known_models())
    hashes = {"data_hash": "data", "folds_hash": "folds"}
    for run in study.runs():
        facts = {"dataset": run.dataset, "model": run.model, "fold": run.fold, "seed": run.seed}
        origin = {"origin": HOSTILE, "missing": ["<b>"]} if run.model == "attention_gate" else {}
        write_json(study.layout.run(Run(**facts)) / "run.json", facts | hashes | origin)
    seal_study(study)
    analyse_study(study)
    entry = load_entry("phantom2d").model_copy(
        update=dict.fromkeys(("title", "short", "task", "citation", "licence"), HOSTILE)
    )
    for module in ("exports.methods", "tables.facts", "words"):
        place = f"attnbench.reporting.{module}.load_entry"
        monkeypatch.setattr(place, lambda *_: entry, raising=False)
    return Results(study)


def cells_of(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line)) - 1


def test_tables_hold_it_as_text(results):
    seen = 0
    for spec in tables_of(results.study):
        table = tabulate(results, spec)
        text = render_md(table)
        assert not re.search(r"<[a-z/!]", text), spec.name
        rows = [line for line in text.splitlines() if line.startswith("|")]
        # Every backslash of a cell's own is escaped, so that a bar behind one is no end of a cell.
        rows = [line.replace("\\\\", "") for line in rows]
        assert {cells_of(line) for line in rows} <= {len(table.columns)}, spec.name
        tex = render_tex(table)
        seen += "alert" in tex
        for command in (r"\input{x}", " $d$", "b_c", "5 %", " #e", " {f}"):
            assert command not in tex, (spec.name, command)
    assert seen


def test_methods_and_page_hold_it_as_text(results):
    methods = compose_methods(results, [])
    assert "alert" in methods and not re.search(r"<[a-z/!]", methods)
    write_report(results.study)
    page = results.layout.report.read_text(encoding="utf-8")
    assert "alert(&#39;a&#39;)" in page and "<script>alert" not in page
    # Nor does anything end the page's own scripts: all of them are ours, and closed once.
    assert page.count("<script") == page.count("</script>")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a < b", "a < b"), ("<b>", "&lt;b>"), ("</b>", "&lt;/b>"), ("<!-- -->", "&lt;!-- -->")],
)
def test_only_what_begins_a_tag_changes(text, expected):
    assert without_tags(text) == expected
    assert "<" not in to_md(text)
