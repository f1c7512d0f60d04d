"""What a study has still to write, part by part, as far as it can be told before it is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from attnbench.catalog import Entry, LocalOrigin, load_entry
from attnbench.disk.sizes import Voxels, download_bytes, parameters_of, voxels_of
from attnbench.files import read_json
from attnbench.study.paths import Run
from attnbench.study.settings import Study

# Measured over four finished studies (docs/reliability.md); bytes.
_MASK_VOXEL = 0.035
"""Of a compressed mask, per voxel: it is of long stretches of one value."""
_SCORE_ROW = 175
"""Of a score: in the run's table, in that of the study, and in exports."""
_CALIBRATION_ROW, _BINS = 58, 15
_CASE_ROW = 700
_HISTORY = 45_000
"""Of a training's history, its events and its log."""
_FILES_OF_RUN = 24
"""Small files of a run: facts, logs, benchmarks, seals, and Snakemake's records of its outputs."""
_FILES_OF_MODEL = 20
_FILES_OF_STUDY = 120
_OPTIMISER = 3
"""A checkpoint has the weights and two moments of each."""
_PAGE, _PAGE_OF_DATASET, _PAGE_OF_MODEL = 9e6, 3e6, 2e5
"""Of figures, tables, report and Snakemake's own report."""
_SURE = 0.5
"""Share of an inferred size that a study takes at least."""
_BLOCK = 4096
"""Of most file systems: a file takes whole ones."""


There = Callable[[Path], bool]


@dataclass(frozen=True)
class Part:
    """One part of what a study has still to write: expected bytes, and those at least.

    `folder` is where it goes (which need not be there yet), `basis` says from what it was told.
    """

    name: str
    bytes: float
    least: float
    folder: Path
    basis: str


def nothing(_path: Path) -> bool:
    """For `parts_of`: a study of which nothing is there."""
    return False


def parts_of(study: Study, at_once: int, there: There = Path.is_file) -> list[Part]:
    """Return the parts that are still to come of a study; none is empty.

    Args:
        study: checked.
        at_once: trainings that run at a time, each of which keeps a checkpoint.
        there: whether a file is there, and what it stands for therefore not to come.
    """
    layout = study.layout
    entries = {one.name: load_entry(one.name, study.catalog) for one in study.datasets}
    voxels = {name: voxels_of(entry, study.dataset(name)) for name, entry in entries.items()}
    trainings = [*study.trainings(), *study.data_efficiency_runs()]
    runs = [*study.runs(), *study.data_efficiency_runs()]
    # Predictions made elsewhere lie where they were made.
    masks = [run for run in trainings if not _any(there, layout.run(run), _PREDICTED)]
    untrained = [run for run in trainings if not there(layout.run(run) / "model.pt")]
    unscored = [run for run in runs if not there(layout.run(run) / "scores.csv")]
    parts = [
        *_downloads(study, entries, there),
        _prepared(study, entries, voxels, there),
        *_weights(study, entries, untrained, at_once),
        _predictions(study, voxels, masks),
        _tables(study, entries, unscored),
        *([] if there(layout.report) else [_report(study)]),
    ]
    return [part for part in parts if part.bytes]


_PREDICTED = ("predictions.npz", "predictions.removed")


def _any(there: There, folder: Path, names: tuple[str, ...]) -> bool:
    return any(there(folder / name) for name in names)


def _is_in(there: There, folder: Path, name: str) -> bool:
    return there(folder / name)


def _downloads(study: Study, entries: dict[str, Entry], there: There) -> Iterator[Part]:
    for name, entry in entries.items():
        raw = study.layout.raw(name)
        if isinstance(entry.origin, LocalOrigin) or there(raw / "receipt.json"):
            continue
        listed = bool(entry.files())
        expected = download_bytes(entry, partial(_is_in, there, raw))
        basis = "listed in the catalog" if listed else "as the catalog states it"
        least = expected if listed else _SURE * expected
        yield Part(f"originals of {name}", expected, least, raw, basis)


def _prepared(
    study: Study, entries: dict[str, Entry], voxels: dict[str, Voxels], there: There
) -> Part:
    expected = least = 0.0
    ahead = [name for name in entries if not there(study.layout.prepared(name) / "dataset.json")]
    for name in ahead:
        entry, own, settings = entries[name], voxels[name], study.dataset(name)
        channels = settings.count_channels(entry.channels)
        roles = {row.role for row in entry.files()}
        resampled = bool(settings.size or settings.spacing)
        # The mask on the working grid; on the case's own the reference and what else it has.
        more = resampled + ("fov" in roles) + entry.has_second_rater
        size = own.working * (channels * own.bytes + 1) + own.own * more
        size += entry.cases * _CASE_ROW
        expected += size
        least += size if own.known else _SURE * size
    known = all(voxels[name].known for name in ahead)
    basis = "cases and grids" if known else "sizes of the originals' files"
    return Part("prepared data", expected, least, study.layout.output, basis)


def _weights(
    study: Study, entries: dict[str, Entry], ahead: list[Run], at_once: int
) -> Iterator[Part]:
    """Yield the weights of the runs ahead, and the checkpoints of those that run at once."""
    of_model: dict[tuple[str, str], tuple[float, float]] = {}
    for data, model in dict.fromkeys((run.dataset, run.model) for run in ahead):
        entry, settings = entries[data], study.model(model)
        stated = _described(study.layout.model(data, model))
        count, exact = (stated, True) if stated else parameters_of(
            settings,
            study.backbone_of(model),
            entry.ndim,
            study.dataset(data).count_channels(entry.channels),
            len(entry.classes) + 1,
        )  # fmt: skip
        size = 4.0 * count + _BLOCK
        of_model[data, model] = size, size if exact else _SURE * size
    sizes = [of_model[run.dataset, run.model] for run in ahead]
    expected, least = (sum(one[side] for one in sizes) for side in (0, 1))
    yield Part("weights", expected, least, study.layout.output, "parameters")
    # While a checkpoint is written, the one before it is there still.
    largest = sorted(sizes, reverse=True)[:at_once]
    kept = 2 * _OPTIMISER * sum(size for size, _ in largest)
    yield Part(
        "checkpoints", kept, _SURE * kept, study.layout.output, f"{len(largest)} trainings at once"
    )


def _described(path: Path) -> int:
    """Parameters that a described model has; 0 where it is not described yet."""
    try:
        facts = read_json(path)
        return int(facts["parameters"]) + int(facts["frozen_parameters"])
    except (OSError, ValueError, KeyError, TypeError):
        # What is wrong with the file is said by the job that reads it.
        return 0


def _predictions(study: Study, voxels: dict[str, Voxels], ahead: list[Run]) -> Part:
    masks = sum(voxels[run.dataset].own * _tested(study, run.dataset) for run in ahead)
    size = masks * _MASK_VOXEL
    return Part("predictions", size, _SURE * size, study.layout.output, "voxels of test cases")


def _tested(study: Study, dataset: str) -> float:
    """Share of a dataset's cases that one run is tested on."""
    split = study.split_of(dataset)
    return 1 / split.outer if split.outer > 1 else 1 / 3


def _tables(study: Study, entries: dict[str, Entry], ahead: list[Run]) -> Part:
    metrics, corrupted = len(study.metrics), 5 * len(study.corruptions)
    total = 0.0
    for run in ahead:
        entry = entries[run.dataset]
        rows = entry.cases * _tested(study, run.dataset) * len(entry.classes)
        total += rows * (metrics * _SCORE_ROW * (1 + corrupted) + _CALIBRATION_ROW * _BINS)
        for transfer in study.transfers_of(run.dataset):
            test = entries[transfer.test]
            total += test.cases * len(test.classes) * metrics * _SCORE_ROW
    files = len(ahead) * _FILES_OF_RUN
    if ahead:
        files += len(study.datasets) * len(study.models) * _FILES_OF_MODEL + _FILES_OF_STUDY
    total += len(ahead) * _HISTORY + files * _BLOCK
    return Part(
        "scores, logs and small files", total, _SURE * total, study.layout.output, "cases and runs"
    )


def _report(study: Study) -> Part:
    pairs = len(study.datasets) * len(study.models)
    total = _PAGE + _PAGE_OF_DATASET * len(study.datasets) + _PAGE_OF_MODEL * pairs
    return Part(
        "figures, tables and report", total, _SURE * total, study.layout.output, "datasets, models"
    )


def runs_at_once(study: Study, cores: int | None) -> int:
    """Return how many trainings run at a time on this machine's cores, at least one."""
    every = cores or os.cpu_count() or 1
    return max(1, every // study.compute.threads)
