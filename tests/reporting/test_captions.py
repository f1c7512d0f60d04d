"""Captions of the report: every figure and table has one, and it is valid reStructuredText."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined

from attnbench.models.names import known_models
from attnbench.reporting import contents
from attnbench.reporting.contents import figure_names, figures_of, table_names, tables_of
from attnbench.study.settings import parse_study

CAPTIONS = Path(__file__).parents[2] / "workflow" / "report"
WHOLE = {
    "name": "s",
    "datasets": [{"name": "phantom2d", "held_out": 0.2}, "phantom3d", "axon_sem"],
    "models": ["unet", "attention_gate", "attention_gate-random"],
    "transfer": [{"train": "phantom2d", "test": "phantom3d", "ensemble": True}],
    "corruptions": ["noise"],
    "data_efficiency": [50],
    "training": {"sweep": {"learning_rate": [0.001, 0.01]}},
}
FIGURES = figure_names(parse_study(WHOLE, known_models()))
TABLES = table_names(parse_study(WHOLE, known_models()))


def rendered(path: Path, **snakemake: object) -> str:
    """The caption's HTML body; any warning of docutils is an error."""
    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    text = environment.from_string(path.read_text(encoding="utf-8")).render(
        snakemake=SimpleNamespace(**snakemake)
    )
    strict = {"halt_level": 2, "report_level": 2}
    return publish_parts(text, writer="html5", settings_overrides=strict)["body"]


def test_the_study_of_these_tests_has_every_row_of_the_contents():
    study = parse_study(WHOLE, known_models())
    assert {figure.spec for figure in figures_of(study)} == set(contents.FIGURES)
    assert set(tables_of(study)) == set(contents.TABLES)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_caption_of_its_own(name):
    body = rendered(CAPTIONS / "figures.rst", wildcards=SimpleNamespace(name=name))
    assert body.startswith("<p><strong>") and body.count("<p>") >= 3


@pytest.mark.parametrize("name", ["scores", "effects", "pareto"])
def test_captions_say_what_the_intervals_are(name):
    body = rendered(CAPTIONS / "figures.rst", wildcards=SimpleNamespace(name=name))
    assert "interval over groups" in " ".join(body.split())


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_caption(name):
    assert "<strong>" in rendered(CAPTIONS / "tables" / f"{name}.rst")


def test_the_report_opens_with_the_study_and_its_limits():
    body = rendered(CAPTIONS / "workflow.rst", config={"name": "my_study"})
    assert "my_study" in body and "does not show" in body
