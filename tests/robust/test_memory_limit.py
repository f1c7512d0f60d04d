"""Memory that really runs out, under `ulimit -v`: what the message names does fit."""

import json
import re
import subprocess
import sys
import textwrap

import pytest

from attnbench.data.folds import write_folds
from attnbench.models.names import known_models
from attnbench.study.groups import FoldsSettings
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from attnbench.training.run import load_inputs, network_for

pytestmark = [
    pytest.mark.robust,
    pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's"),
]
RUN = Run("made2d", "unet", 0, 0)


def content(folder, **training):
    return {
        "name": "tight", "output": str(folder), "models": ["unet"], "compute": {"device": "cpu"},
        "datasets": [{"name": "made2d", "patch": [64, 64]}],
        "backbone": {"widths": [8, 16], "blocks_per_level": 1},
        "folds": {"outer": 2, "inner": 2},
        "training": {"steps": 1, "batch": 192, "validate_every": 1, **training},
    }  # fmt: skip


@pytest.fixture
def folder(store, tmp_path):
    if store.info.ndim == 3:
        pytest.skip("one dimension is enough")
    study = parse_study(content(tmp_path), known_models())
    target = study.layout.prepared("made2d")
    target.parent.mkdir(parents=True)
    store.folder.rename(target)
    write_folds(target, FoldsSettings(outer=2, inner=2), study.layout.folds("made2d"))
    return tmp_path


def load_inputs_of(folder):
    return load_inputs(parse_study(content(folder), known_models()), RUN)


# A process of its own: the limit holds for all that it does afterwards.
LIMITED = """
    import json, resource, sys
    from attnbench.errors import AttnBenchError
    from attnbench.models.names import known_models
    from attnbench.study.paths import Run
    from attnbench.study.settings import parse_study
    from attnbench.training.run import train_run
    import scipy.ndimage, torch
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + 330 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        train_run(parse_study(json.loads(sys.argv[1]), known_models()), Run("made2d", "unet", 0, 0))
    except AttnBenchError as error:
        print(error)
        sys.exit(7)
"""


def limited(study):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIMITED), json.dumps(study)],
        capture_output=True, text=True,
    )  # fmt: skip


def test_a_training_says_what_ran_out_and_what_it_names_does_fit(folder):
    failed = limited(content(folder))
    assert failed.returncode == 7, failed.stderr
    said = failed.stdout
    parameters = sum(
        one.numel()
        for one in network_for(
            parse_study(content(folder), known_models()), RUN, load_inputs_of(folder).store
        ).parameters()
    )
    for part in (
        "in training made2d/unet/fold0-seed0",
        "of `ulimit -v`",
        f"unet has {parameters:,} parameters, a step 192 patches of 2 x 64 x 64",
    ):
        assert part in said, said
    (parts,) = re.findall(r"set `training: \{accumulate: (\d+)\}`", said)
    (at_once,) = re.findall(r"(\d+) patch\(es\) at a time do fit", said)
    assert int(parts) * int(at_once) == 192
    kept = limited(content(folder, accumulate=int(parts)))
    assert kept.returncode == 0, kept.stdout + kept.stderr
