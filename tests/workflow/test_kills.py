"""A study in a folder of an odd name that is killed on the way ends as one that was not."""

import json
import os
import signal
from pathlib import Path

import pytest
from kills import Disturbed, Writers, contents, differences

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc"),
]
MODELS = ("unet", "attention_gate")
PARTS = ("runs", "data")
ODD = 'it\'s "my" folder, $(touch here) ü &'


def test_kills_and_odd_names_change_nothing(untouched, first_run, tiny, tmp_path):
    # A line break may be in the names of folders that are there, not in those of a study.
    checkout = untouched.copy(tmp_path / f"{ODD}\nx")
    output = f"out {ODD}"
    settings = f"output: {json.dumps(output)}\n"
    one_fold = tiny.replace("outer: 2,", "outer: 2, run: [0],")
    (checkout.folder / "tiny.yaml").write_text(one_fold + settings)
    study = Disturbed(
        checkout.folder,
        Path("tiny.yaml"),
        checkout.folder / output,
        targets=(f"{output}/scores.csv",),
        source=checkout.folder / "src",
    )
    try:
        with Writers(study) as writers:
            study.start()
            assert study.wait_for(["train"]) is not None, study.words()
            study.kill_group(signal.SIGKILL)
            assert study.orphans(10) == {}
            study.unlock()
            study.start()
            assert study.wait_for(["predict", "score", "gather"]) is not None, study.words()
            assert study.kill_group(signal.SIGINT) != 0
            assert study.orphans(20) == {}
            study.finish()
    finally:
        study.end_all()
    assert writers.pairs == []
    assert study.leftovers() == []
    # The command in the folder's name was not run.
    assert not any("here" in files for _, _, files in os.walk(tmp_path))
    expected = contents(first_run[0].results)
    of_runs = {name: one for name, one in contents(study.output).items() if name[:4] in PARTS}
    assert {f"runs/phantom2d/{model}/fold0-seed0/model.pt" for model in MODELS} <= of_runs.keys()
    assert differences(of_runs, {name: expected[name] for name in of_runs}) == []
