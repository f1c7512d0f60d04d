"""Studies that tests make up, sealed as if the jobs of the workflow had left their files."""

import hashlib

import numpy as np
import torch

from attnbench.data.folds import write_folds
from attnbench.data.store import read_info
from attnbench.files import read_json, write_json
from attnbench.scoring.gather import table_stamp
from attnbench.scoring.rows import Tested
from attnbench.seals import read_seal, write_seal
from attnbench.shift.gather import shift_stamp
from attnbench.shift.kinds import requested_kinds
from attnbench.training.run import load_inputs
from attnbench.training.sealed import FILES, seal_run
from attnbench.training.stamp import identity, stamp_of

HASHES = ("data_hash", "folds_hash", "weights_sha256")


def seal_study(study):
    """Seal what there is of a study: files of its runs, and tables of scores."""
    layout = study.layout
    for run in (*study.runs(), *study.data_efficiency_runs()):
        folder, elsewhere = layout.run(run), run.model in study.elsewhere
        facts = read_json(folder / "run.json") if (folder / "run.json").is_file() else {}
        stamp = {**identity(study, run), **{key: facts[key] for key in HASHES if key in facts}}
        for job in ("score_external",) if elsewhere else ("train", "predict", "score"):
            names = [name for name in FILES[job] if (folder / name).is_file()]
            if names:
                seal_run(study, run, job, stamp, names)
    if layout.scores.is_file():
        write_seal(layout.seal("gather"), layout.output, [layout.scores], table_stamp(study))
    for name, kind in requested_kinds(study).items():
        if layout.shift(name).is_file():
            stamp = shift_stamp(Tested(study), kind)
            write_seal(layout.seal(f"gather/{name}"), layout.output, [layout.shift(name)], stamp)


def rewrite_images(folder, images):
    """Give a case store other images (flat), as if it had been prepared from them; its content
    hash is another one then. The statistics in `cases.csv` stay.
    """
    images = np.ascontiguousarray(images)
    np.save(folder / "images.npy", images)
    info = read_info(folder)
    digest = f"{images.dtype.name} {hashlib.sha256(images.data).hexdigest()}"
    changed = info.completed(info.cases, info.groups, {**info.digests, "images": digest})
    write_json(folder / "dataset.json", changed.to_json())


def as_of_its_data(study, run):
    """Make a trained run one of the data and folds that there are now: its weights stay."""
    prepared, folder = study.layout.prepared(run.dataset), study.layout.run(run)
    write_folds(prepared, study.folds, study.layout.folds(run.dataset))
    content = torch.load(folder / "model.pt", weights_only=True)
    stamp = {**content["stamp"], **stamp_of(run, load_inputs(study, run).hashes, {})}
    torch.save({**content, "stamp": stamp}, folder / "model.pt")
    facts = read_json(folder / "run.json")
    changed = {key: value for key, value in stamp.items() if key in facts}
    write_json(folder / "run.json", {**facts, **changed})
    seal_run(study, run, "train", stamp)


def reseal(study, run, job, **stamp):
    """Seal the files of a run's job again as they are now; other words for the stamp may be
    given.
    """
    path, output = study.layout.seal(f"{job}/{run}"), study.layout.output
    seal = read_seal(path)
    write_seal(path, output, [output / name for name in seal.files], {**seal.stamp, **stamp})
