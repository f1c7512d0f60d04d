"""Flipped bits over all files of a finished study: found by `verify`, and by who reads the file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from damage import flipped
from finished import STUDY, finished

from attnbench import cli
from attnbench.errors import AttnBenchError
from attnbench.study.settings import Study
from attnbench.upkeep.verify import verify_study

pytestmark = [pytest.mark.robust, pytest.mark.filterwarnings("ignore")]
FLIPS = int(os.environ.get("ATTNBENCH_FLIPS", "400"))
OWN = Path(cli.__file__).parent / "catalog" / "entries"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished study of real images, a user's own, so that the package's stay whole."""
    folder = tmp_path_factory.mktemp("finished")
    own = folder / "own"
    shutil.copytree(OWN / "nuclei_mini", own / "files")
    text = (OWN / "nuclei_mini.yaml").read_text()
    text = text.replace("name: nuclei_mini", "name: own_nuclei")
    text = text.replace("folder: nuclei_mini", "folder: files")
    (own / "own_nuclei.yaml").write_text(text)
    for name in ("files.csv", "cases.csv"):
        shutil.copy(OWN / f"nuclei_mini.{name}", own / f"own_nuclei.{name}")
    return finished(folder, f"catalog: [{own}]\n{STUDY.replace('nuclei_mini', 'own_nuclei')}")


def test_every_flipped_bit_is_found(done):
    study, file = done
    assert verify_study(study).well, list(verify_study(study).lines())
    random = np.random.default_rng(3)
    files = list(_files(study, file))
    unseen, believed, read = [], [], 0
    # Every file once, then at random.
    chosen = [*files, *(files[n] for n in random.integers(0, len(files), FLIPS))][:FLIPS]
    for path in chosen:
        whole, facts = path.read_bytes(), path.stat()
        bit = int(random.integers(8 * len(whole)))
        path.write_bytes(flipped(whole, bit))
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        try:
            found = verify_study(study)
            # Of several files of a case store the folder is named.
            if not any(one.file in (path, path.parent) for one in found.findings):
                unseen.append(f"{path}, bit {bit}")
            if reader := _reader(study, path):
                read += 1
                try:
                    reader(file)
                    believed.append(f"{path}, bit {bit}")
                except AttnBenchError:
                    pass
        finally:
            path.write_bytes(whole)
            os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    print(f"{len(chosen)} bits in {len(set(chosen))} files; {read} read again")
    assert not unseen and not believed
    assert verify_study(study).well


def _files(study: Study, file: Path):
    layout = study.layout
    originals = (file.parent / "own" / "files").rglob("*.png")
    for path in sorted([*layout.output.rglob("*"), *originals]):
        aside = {"logs", "benchmarks"} & set(path.parts) or path.name in ("train.log", "study.yaml")
        if path.is_file() and not aside and "tfevents" not in path.name and path.stat().st_size:
            yield path


def _reader(study: Study, path: Path) -> Callable[[Path], object] | None:
    """The job that reads a file first; None where a file is for people, or a seal."""
    layout, name = study.layout, path.name
    dataset = study.datasets[0].name
    if not path.is_relative_to(layout.output):
        return lambda file: cli.prepare(dataset, 1, file)
    part = path.relative_to(layout.output).parts
    runs = {layout.run(run): run for run in study.runs()}
    if path.parent in runs:
        run = runs[path.parent]
        about = (run.dataset, run.model, run.fold, run.seed)
        verbs = {"model.pt": cli.predict, "run.json": cli.predict, "predictions.npz": cli.score}
        if name in verbs:
            return lambda file: verbs[name](*about, study=file)
        return {"scores.csv": cli.gather}.get(name, cli.analyse)
    match part:
        case ("data", "prepared", *_):
            return lambda file: cli.folds(dataset, file)
        case ("data", "inspected", _, "pairs.csv"):
            return lambda file: cli.prepare(dataset, 1, file)
        case ("data", "inspected", _, "pairs.png"):
            return None
        case ("data", "inspected", *_) | ("models" | "measured", *_) | ("scores.csv",):
            return cli.analyse
        case ("data", "folds", name) if not name.endswith(".statistics.json"):
            run = next(iter(study.runs()))
            return lambda file: cli.train(run.dataset, run.model, run.fold, run.seed, study=file)
        case ("analysis", *_):
            return cli.tables
        case ("attention", *_):
            return lambda file: cli.figure(f"attention_{dataset}", file)
        case ("figures", name) if name.endswith(".png"):
            return cli.report
    return None
