"""A study may ask for any metric that exists: every table can be written and says the metric's
rule.
"""

import pandas as pd

from attnbench.reporting.tables import write_tables
from attnbench.scoring.definitions import METRICS, stated_rule


def test_the_protocol_states_every_metric_and_what_an_empty_mask_is_worth(write_study):
    study = write_study(["retina_drive"], ["unet", "attention_gate"], metrics=tuple(METRICS))
    write_tables(study)
    stated = " ".join(
        pd.read_csv(study.layout.tables / "protocol.csv").astype(str).to_numpy().ravel()
    )
    for metric in METRICS:
        assert stated_rule(metric, study.scoring, {"px": "px"}) in stated
    assert "within 2 px of the other" in stated
    assert "only the prediction empty: the image's diagonal" in stated
    assert f"{METRICS['ece'].rule} Empty masks change nothing." in stated
