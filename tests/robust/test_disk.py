"""A disk that fills up in the middle of a study: it is said, nothing is lost, the study goes on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from kills import Disturbed, contents, differences

pytestmark = [
    pytest.mark.robust,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc"),
]
STUDY = """
name: full
output: {output}
datasets: [{{name: phantom2d, size: [32, 32]}}]
models: [unet, attention_gate]
backbone: {{widths: [16, 32], blocks_per_level: 2}}
folds: {{outer: 2, inner: 2, run: [0]}}
training: {{steps: 300, batch: 4, patch_2d: [16, 16], validate_every: 20}}
metrics: [dice, hd95]
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A file system of 48 MB; where one may not be mounted, there is nothing to try."""
    folder = tmp_path_factory.mktemp("small")
    words = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("no small file system may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def begin(folder: Path, output: Path) -> Disturbed:
    folder.mkdir()
    (folder / "full.yaml").write_text(STUDY.format(output=output))
    return Disturbed(folder, folder / "full.yaml", output, (str(output / "scores.csv"),))


def fill(folder: Path) -> Path:
    """Take all space but that of a few blocks."""
    path = folder / "filler"
    left = shutil.disk_usage(folder).free - 2**15
    with path.open("wb") as stream:
        while left > 0:
            left -= stream.write(b"\1" * min(left, 2**20))
    return path


def test_a_disk_that_fills_up_at_every_stage(tmp_path, small):
    whole = begin(tmp_path / "whole", tmp_path / "out")
    whole.finish()
    study = begin(tmp_path / "study", small / "out")
    try:
        for verb in ("prepare", "train", "predict", "score"):
            study.start()
            assert study.wait_for([verb]) is not None, f"{verb} came too late\n{study.words()}"
            before = {path: path.read_bytes() for path in finished(study.output)}
            filler = fill(small)
            status = study.wait()
            said = study.words()
            filler.unlink()
            assert status != 0 and "disk is full" in said, f"{verb}:\n{said}"
            # What TensorBoard's own thread prints is no part of the job's log.
            logs = [path.read_text() for path in study.output.rglob("*.log")]
            assert not any("Traceback" in text for text in logs), logs
            assert {path: path.read_bytes() for path in before} == before
            print(verb, next(line for line in said.splitlines() if "disk is full" in line))
        study.finish()
        expected = {name: one for name, one in contents(whole.output).items() if "stud" not in name}
        found = {name: one for name, one in contents(study.output).items() if "stud" not in name}
        assert differences(found, expected) == []
        assert study.leftovers() == []
    finally:
        study.end_all()


def finished(output: Path) -> list[Path]:
    """Files of runs that were trained."""
    return [
        path.with_name(name)
        for path in output.rglob("run.json")
        for name in ("model.pt", "run.json", "history.csv")
    ]
