"""What the contents declare is what figures and tables do: jobs are planned by it."""

from __future__ import annotations

from importlib import import_module

import pytest

from attnbench.models.names import known_models
from attnbench.reporting.contents import FIGURES, NOTED, SECTIONS, TABLES, figures_of, tables_of
from attnbench.reporting.results import Results
from attnbench.reporting.style import styled
from attnbench.reporting.tables import tabulate
from attnbench.study.settings import parse_study
from sealing import seal_study

# More models than are drawn in colour, so that figures ask which rank best.
MODELS = ("unet", "cbam", "bam", "eca", "scse", "simam", "spatial_se", "channel_se", "criss_cross",
          "self_attention", "self_attention-random")  # fmt: skip
SHIFT = {
    "transfer": [{"train": "phantom3d", "test": "phantom2d", "ensemble": True}],
    "corruptions": ["noise"],
    "data_efficiency": [50],
    "training": {"sweep": {"learning_rate": [0.001, 0.01]}},
}


@pytest.fixture
def results(write_study):
    study = write_study(datasets=["phantom3d"], models=MODELS, cases=8, seeds=[0])
    content = study.model_dump(mode="json")
    content["datasets"] += [{"name": "phantom2d"}]
    changed = parse_study(content | SHIFT, known_models())
    seal_study(changed)  # the swept recipe is another one than that of the files
    return lambda: Results(changed)


def test_figures_and_tables_read_no_frame_but_those_of_their_row(results):
    study = results().study
    read = {}
    for figure in figures_of(study):
        draw = getattr(
            import_module(f"attnbench.reporting.figures.{figure.spec.module}"),
            f"draw_{figure.spec.name}",
        )
        own = results()
        if figure.dataset != "phantom2d":  # nothing of it is prepared
            with styled():
                draw(own, *([figure.dataset] if figure.dataset else []))
        read[figure.name] = set(own._frames) - set(figure.spec.frames)
    for spec in tables_of(study):
        own = results()
        tabulate(own, spec)
        assert {*NOTED} <= {*own._frames}
        read[f"table {spec.name}"] = set(own._frames) - {*spec.frames, *NOTED}
    assert {name: frames for name, frames in read.items() if frames} == {}


def test_every_row_stands_in_a_section():
    sections = {section.name for section in SECTIONS}
    assert {row.section for row in (*FIGURES, *TABLES)} <= sections
