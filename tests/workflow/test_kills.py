"""A study in a folder of an odd name that is killed on the way ends as one that was not."""

import os
import signal
from pathlib import Path

import pytest
from kills import Disturbed, Writers, contents, differences

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc"),
]
ODD = 'it\'s "my" folder, $(touch here) ü\n&'


def test_kills_and_odd_names_change_nothing(untouched, first_run, tiny, tmp_path):
    checkout = untouched.copy(tmp_path / ODD)
    output = f"out {ODD}"
    settings = f'output: "{output}"\n'.replace('"my"', r"\"my\"").replace("\n&", r"\n&")
    (checkout.folder / "tiny.yaml").write_text(tiny + settings)
    source = checkout.folder / "src"
    study = Disturbed(checkout.folder, Path("tiny.yaml"), checkout.folder / output, source=source)
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
    found, expected = contents(study.output), contents(first_run[0].results)
    # Only the study itself says where it is written.
    assert [name for name in differences(found, expected) if "stud" not in name] == []
