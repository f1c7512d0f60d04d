"""The table of the answer: the numbers of `answer.csv`, and what a variant lacks."""

import pandas as pd

from attnbench.reporting.format import interval, p_value
from attnbench.reporting.results import Results
from attnbench.reporting.tables.answer import tabulate_answer


def test_every_row_of_the_answer_stands_in_the_table_with_its_verdict(write_study):
    models = ["unet", "attention_gate", "attention_gate-parameters", "attention_gate-flops"]
    study = write_study(datasets=["retina_drive"], models=models, cases=20, outer=5)
    (row,) = pd.read_csv(study.layout.analysis / "answer.csv").to_dict("records")
    table = tabulate_answer(Results(study))
    (cells,) = (tuple(map(str, cells)) for block in table.blocks for cells in block.rows)
    ends = row["simultaneous_low"], row["simultaneous_high"]
    assert cells[:3] == (
        "Attention gate",
        row["verdict"],
        interval(row["difference"], *ends, 3, sign=True),
    )
    assert cells[4:6] == (p_value(row["p_all_holm"]), p_value(row["p_all_retrained_holm"]))
    assert cells[-2:] == ("10", "10")
    assert not any("lacks a control" in note for note in table.notes)


def test_a_variant_without_controls_is_said_to_lack_them(write_study):
    study = write_study(datasets=["retina_drive"], models=["unet", "attention_gate"], cases=20)
    notes = tabulate_answer(Results(study)).notes
    assert any(
        "Attention gate has no control of equal parameters and flops" in note for note in notes
    )
