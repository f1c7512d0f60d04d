"""External networks in the report: never a word that attention did it."""

from attnbench.models.names import known_models
from attnbench.reporting.page.answer import question_of
from attnbench.reporting.results import Results
from attnbench.reporting.tables.controls import tabulate_controls
from attnbench.reporting.tables.models import tabulate_models
from attnbench.reporting.words import whole_networks
from attnbench.study.settings import parse_study

MINE = {"name": "mine", "network": "my_package.MyNet"}


def results_of(*models, **keys):
    content = {"name": "own", "datasets": ["phantom2d"], "models": ["unet", *models], **keys}
    return Results(parse_study(content, known_models()))


def test_the_question_is_the_one_that_the_models_can_answer():
    sizes = ["parameters", "flops"]
    attention = results_of("attention_gate", controls=sizes)
    networks = results_of(MINE, controls=sizes)
    both = results_of(MINE, "attention_gate", controls=sizes)
    assert question_of(attention).startswith("Does attention make a U")
    assert question_of(networks) == "Does this network segment this data better than U-Net?"
    assert "or another network" in question_of(both)
    two = results_of(MINE, {**MINE, "name": "other"})
    assert question_of(two) == "Do these networks segment this data better than U-Net?"


def test_tables_say_what_a_difference_of_whole_networks_means():
    results = results_of(MINE, "attention_gate", controls=["parameters"])
    (said,) = whole_networks(results.study.models)
    assert said.startswith("Mine: an external network, so that a difference is one of whole")
    # Its control is a plain U-Net, and the gate is ours.
    assert "arameters)" not in said and "ate" not in said.split(":")[0]
    assert f"{said}." in tabulate_controls(results).notes
    rows = [row for block in tabulate_models(results).blocks for row in block.rows]
    roles = {cells[0].text: cells[1].text for cells in rows}
    assert roles["Mine"] == "external network" and roles["Mine (parameters)"] == "control"
    assert not whole_networks(results_of("attention_gate").study.models)
