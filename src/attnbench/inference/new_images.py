"""Trained models on new images: one run, or the ensemble of a model's runs on a dataset."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import attnbench
from attnbench.catalog import Entry, load_entry
from attnbench.data.case import Spacing
from attnbench.data.known_images import cases_like
from attnbench.data.mask_files import (
    mask_file,
    probability_files,
    write_mask,
    write_probabilities,
)
from attnbench.data.new_images import NewImage, Source, find_sources, read_all
from attnbench.data.normalise import normalise
from attnbench.data.store import CaseStore
from attnbench.data.targets import Target
from attnbench.errors import CheckpointError, DataError, StudyError, listed, nearest
from attnbench.files import write_json
from attnbench.inference.trained import Trained, as_mask, load_trained
from attnbench.study.groups import DatasetSettings
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.checkpoint import hash_of_weights
from attnbench.training.device import claim_device
from attnbench.training.diverged import divergence_of

PROBABILITIES = "probabilities"
"""Folder of probabilities beside masks: a folder of masks alone is what other tools take."""
SUMMARY = "predictions.json"
"""What was predicted by which weights, beside the masks."""
_OTHER_SPACING = 1.5
_log = logging.getLogger("attnbench")


@dataclass(frozen=True, eq=False)
class Seen:
    """A case of the study that shows the same image: what it was to every member of the model.

    roles: how many members have it as `training`, `validation` or `test` case, or `unused` (held
    out, or left out of a share of the groups).
    """

    case: str
    roles: Mapping[str, int]

    @property
    def learned(self) -> bool:
        """Whether a member was trained on it, or validated, which may have chosen a value."""
        return bool({"training", "validation"} & self.roles.keys())

    def __str__(self) -> str:
        members = sum(self.roles.values())
        counted = [f"{role} case of {n} of them" for role, n in self.roles.items()]
        roles = ", ".join(counted if members > 1 else [f"{role} case" for role in self.roles])
        return f"shows case {self.case!r}: {roles}"


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model predicts for one new image.

    target: the image's own grid, its file's name and affine. classes: name by number; 0 is
    background. on_grid: probabilities (K, *target.shape), float32, summing to 1, K classes with
    the background, on the axes of the case store (volumes right-anterior-superior). seen: cases of
    the study that show the same image.
    """

    name: str
    target: Target
    classes: Mapping[int, str]
    on_grid: NDArray[np.float32]
    seen: tuple[Seen, ...]

    @property
    def mask(self) -> NDArray[np.uint8]:
        """The most probable class in the axes of the file: nibabel's of a volume, (H, W)."""
        return self.target.as_stored(as_mask(torch.from_numpy(self.on_grid)))

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Probabilities (K, ...) in the axes of the file."""
        return np.stack([self.target.as_stored(one) for one in self.on_grid])


def runs_named(study: Study, name: str) -> tuple[Run, ...]:
    """The run that `<dataset>/<model>/fold<k>-seed<s>` names, or all of `<dataset>/<model>`.

    The path of a run's folder will do, too.

    Raises:
        StudyError: the study has no such run, with the nearest name.
    """
    asked = name.rstrip("/").removeprefix(f"{study.layout.output / 'runs'}/")
    single = {str(run): (run,) for run in (*study.trainings(), *study.data_efficiency_runs())}
    models = {
        f"{dataset.name}/{model.name}": tuple(study.runs_of(dataset.name, model.name))
        for dataset in study.trained_datasets
        for model in study.trained_models
    }
    known = models | single
    if asked not in known:
        # One dataset and model of the study has many runs: the nearest of all would bury it.
        near = [one for one in single if one.rpartition("/")[0] == asked.rpartition("/")[0]]
        raise StudyError(f"the study has no run {name!r}; {nearest(asked, near or models)}")
    return known[asked]


@dataclass(frozen=True, eq=False)
class Members:
    """The trained networks that predict together, one or several, with what images are read by."""

    entry: Entry
    settings: DatasetSettings
    runs: tuple[Run, ...]
    networks: tuple[Trained, ...]

    def __str__(self) -> str:
        first = self.runs[0]
        one = len(self.runs) == 1
        return (
            str(first) if one else f"{first.dataset}/{first.model}, mean of {len(self.runs)} runs"
        )

    @property
    def store(self) -> CaseStore:
        """The prepared dataset that they were trained on."""
        return self.networks[0].inputs.store


@contextmanager
def loaded(study: Study, name: str) -> Iterator[Members]:
    """Yield the networks that `runs_named` names, on a device claimed for them.

    Raises:
        StudyError: the study has no such run.
        CheckpointError: runs are not trained (all are named), or by another recipe or other data.
    """
    runs = runs_named(study, name)
    absent = [str(run) for run in runs if not (study.layout.run(run) / "model.pt").is_file()]
    if absent:
        raise CheckpointError(
            f"{len(absent)} of {len(runs)} run(s) have no model.pt: {listed(absent)}; train them "
            "first, or name a run that is trained"
        )
    lost = [run for run in runs if divergence_of(study.layout, run)]
    if len(lost) < len(runs):
        runs = tuple(run for run in runs if run not in lost)
        if lost:
            _log.warning("without %d run(s) that diverged: %s", len(lost), listed(lost))
    dataset = runs[0].dataset
    with claim_device(study.compute) as device:
        yield Members(
            load_entry(dataset, study.catalog),
            study.dataset(dataset),
            runs,
            tuple(load_trained(study, run, device) for run in runs),
        )


def predict_image(members: Members, new: NewImage) -> Tensor:
    """Class probabilities (K, *new.target.shape) of an image, the mean of the members'.

    Every member normalises the image as it did its training cases.
    """
    maps = (
        next(
            one.predict_images(
                [normalise(new.image, one.inputs.normalisation.numbers(new.statistics))],
                [new.target.shape],
            )
        )
        for one in members.networks
    )
    return reduce(Tensor.add_, maps) / len(members.networks)


def seen_as(members: Members, new: NewImage) -> tuple[Seen, ...]:
    """Cases of the dataset whose prepared image is this one, by its content, not by its name."""
    return tuple(
        Seen(case, Counter(role_of(one, case) for one in members.networks))
        for case in cases_like(members.store, new.image, new.statistics)
    )


def role_of(member: Trained, case: str) -> str:
    """What a case is to a trained network: `training`, `validation`, `test` or `unused`."""
    fold = member.inputs.fold
    parts = {"training": fold.train, "validation": fold.validation, "test": fold.test}
    return next((role for role, cases in parts.items() if case in cases), "unused")


def predict_images(
    study: Study,
    name: str,
    paths: Iterable[Path],
    spacing: Spacing | None = None,
    fov: Path | None = None,
) -> Iterator[Prediction]:
    """Yield predictions of new images, one after the other, in the order of the paths.

    Images are prepared as the study prepares those of the dataset that the model was trained on:
    channels, working grid, normalisation. All are read, and refused, before the first is
    predicted; `find_sources` says which files are one image.

    Args:
        study: checked, with the trained runs in its output folder.
        name: a run or a model, see `runs_named`; of a model the mean of all its runs'
            probabilities.
        paths: files, or folders of them.
        spacing: of a pixel, in the dataset's unit, where files state none.
        fov: folder with the field of view of every image, where the dataset's cases have such.

    Raises:
        StudyError: there is no such run.
        CheckpointError: a run is not trained.
        DataError: images that cannot be predicted, all of them named.
    """
    with loaded(study, name) as members:
        checked = _checked(members, paths, spacing, fov)
        known = {new.source: seen_as(members, new) for new in checked}
        yield from _predicted(members, known, spacing)


def write_predictions(
    study: Study,
    name: str,
    paths: Iterable[Path],
    folder: Path,
    spacing: Spacing | None = None,
    fov: Path | None = None,
    probabilities: bool = False,
) -> None:
    """Predict new images as `predict_images` does; write their masks into `folder`.

    A mask has the name and the grid of its image (`write_mask`). With `probabilities`, the folder
    `probabilities` in it has a file per image and class. `predictions.json` comes last and
    says which study, runs and weights it was, and which images are cases of the study.

    Raises:
        DataError: as `predict_images`, or a file is there already; nothing is written then.
    """
    with loaded(study, name) as members:
        known, files = dict[Source, tuple[Seen, ...]](), [folder / SUMMARY]
        for new in _checked(members, paths, spacing, fov):
            known[new.source] = seen_as(members, new)
            for remark in _remarks(members, new):
                _log.warning("warning: %s %s", new.source.name, remark)
            files.append(folder / mask_file(new.target))
            if probabilities:
                names = probability_files(new.target, _numbers(members))
                files += [folder / PROBABILITIES / one for one in names]
        refuse_present(files)
        _warn(members, known)
        weights = {
            str(run): hash_of_weights(one.network)
            for run, one in zip(members.runs, members.networks, strict=True)
        }
        says = description(str(members), weights.values())
        written = {}
        for source, one in zip(known, _predicted(members, known, spacing), strict=True):
            write_mask(folder, one.target, as_mask(torch.from_numpy(one.on_grid)), says)
            if probabilities:
                write_probabilities(folder / PROBABILITIES, one.target, one.on_grid, says)
            written[mask_file(one.target)] = {
                "image": [str(path) for path in source.paths],
                "spacing": one.target.spacing,
                "cases": {seen.case: seen.roles for seen in one.seen},
            }
            _log.info("%s  %s", members, mask_file(one.target))
        summary = {
            "study": study.name,
            "runs": weights,
            **facts_of(members.store),
            "images": written,
        }
        write_json(folder / SUMMARY, summary)
    _log.info("%s: %d image(s) predicted -> %s", members, len(written), folder)


def refuse_present(files: Iterable[Path]) -> None:
    """Raise `DataError` where one of the files that are to be written is there already."""
    present = [str(path) for path in files if path.exists()]
    if present:
        raise DataError(
            f"{len(present)} of what is to be written is there already: {listed(present, 5)}; "
            "remove it or choose another folder"
        )


def description(name: str, weights: Iterable[str]) -> str:
    """What the header of a file says: the run, then the beginning of its weights' SHA-256."""
    short = ",".join(digest[:8] for digest in weights)
    return f"attnbench {name} {short}"


def facts_of(store: CaseStore) -> dict[str, Any]:
    """What the summary beside predictions says of the dataset."""
    return {
        "dataset": store.info.name,
        "classes": {"0": "background", **{str(n): name for n, name in store.info.classes.items()}},
        "spacing_unit": store.info.spacing_unit,
        "data_hash": store.info.content_hash,
        "attnbench": attnbench.__version__,
    }


def _numbers(members: Members) -> list[int]:
    return [0, *members.store.info.classes]


def _checked(
    members: Members, paths: Iterable[Path], spacing: Spacing | None, fov: Path | None
) -> Iterator[NewImage]:
    sources, problems = find_sources(members.entry, paths, fov)
    return read_all(members.entry, members.settings, sources, spacing, problems)


def _predicted(
    members: Members, known: Mapping[Source, tuple[Seen, ...]], spacing: Spacing | None
) -> Iterator[Prediction]:
    for new in read_all(members.entry, members.settings, known, spacing):
        yield Prediction(
            new.source.name,
            new.target,
            members.store.info.classes,
            predict_image(members, new).cpu().numpy(),
            known[new.source],
        )


def _warn(members: Members, known: Mapping[Source, tuple[Seen, ...]]) -> None:
    for source, cases in known.items():
        for seen in cases:
            if seen.learned:
                remark = "its mask is no test of the model"
                _log.warning("warning: %s %s; %s", source.name, seen, remark)
            else:
                _log.info("%s %s", source.name, seen)
    if members.store.info.has_fov and any(source.fov is None for source in known):
        _log.warning(
            "warning: %s has fields of view, inside which its images were normalised; these are "
            "taken whole, so that the model sees them otherwise, and none is known again: give "
            "--fov",
            members.entry.name,
        )


def _remarks(members: Members, new: NewImage) -> Iterator[str]:
    """Ways in which an image differs from those that the model knows, and is predicted anyway."""
    store, info = members.store, members.store.info
    if new.colours:
        yield "is in colours; the model sees their luminance"
    if info.resampled or info.spacing_unit == "px":
        return
    known = np.array([store.original_spacing(index) for index in range(len(store))])
    low, high = known.min(axis=0) / _OTHER_SPACING, known.max(axis=0) * _OTHER_SPACING
    if ((new.target.spacing < low) | (new.target.spacing > high)).any():
        unlike = " x ".join(f"{side:g}" for side in new.target.spacing)
        usual = " x ".join(f"{side:g}" for side in np.median(known, axis=0))
        yield (
            f"has a spacing of {unlike} {info.spacing_unit}, which the model has not seen (median "
            f"{usual}), and the study does not resample"
        )
