"""A dataset and its folds as nnU-Net v2 reads them, so that both train on the same cases."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnbench.catalog import Entry
from attnbench.data.case import RawCase, case_error
from attnbench.data.channels import choose_channels
from attnbench.data.folds import load_folds
from attnbench.data.info import DatasetInfo
from attnbench.data.masks import place_of
from attnbench.data.read import read_cases
from attnbench.data.store import CaseStore
from attnbench.data.targets import Target, targets_of
from attnbench.errors import DataError
from attnbench.files import temporary_folder, write_json
from attnbench.study.groups import DatasetSettings

ENDING = ".nii.gz"
log = logging.getLogger("attnbench")


def export_nnunet(
    entry: Entry, settings: DatasetSettings, raw: Path, prepared: Path, folds: Path, folder: Path
) -> None:
    """Write a dataset as nnU-Net's raw dataset to `folder`, whole or not at all.

    Images are the originals on their own grids with the channels that the study takes, neither
    resampled nor normalised: nnU-Net prepares them itself, with its own CT scheme where the study
    has `ct`, without any where it has `none`, else by z-score. Volumes have right-anterior-superior
    axes, all alike, and lie where their originals do; pictures are NIfTI images with two axes;
    spacings are kept. `splits_final.json` has fold k
    of the study at place k: its training cases as `train`, its inner validation as `val`. The test
    cases of fold k are linked in `imagesTs_fold<k>`, ready to be predicted.

    Args:
        entry: the dataset's catalog entry.
        settings: the study's, which the store was prepared by.
        raw: folder of the verified originals.
        prepared: the case store made from them.
        folds: the file of folds.
        folder: to write; nnU-Net finds it as `Dataset<three digits>_<name>` in `nnUNet_raw`.

    Raises:
        DataError: `folder` exists, or originals, store and folds do not belong together.
    """
    if folder.exists():
        raise DataError(f"{folder}: is there already; remove it or choose another folder")
    store = CaseStore.open(prepared)
    split = load_folds(folds, store)
    with temporary_folder(folder) as temporary:
        made = temporary / folder.name
        for name in ("imagesTr", "labelsTr"):
            (made / name).mkdir(parents=True)
        targets = targets_of(entry, raw, store, store.columns["case"])
        for case in read_cases(entry, raw):
            _refuse_others(store, case)
            image = choose_channels(case.image, settings.channels)
            _write_case(made, replace(case, image=image), targets[case.case])
        for k, fold in enumerate(split.folds):
            _link(made, f"imagesTs_fold{k}", fold.test, store.info.channels)
        splits = [
            {"train": fold["train"], "val": fold["validation"]} for fold in map(asdict, split.folds)
        ]
        write_json(made / "splits_final.json", splits)
        write_json(made / "dataset.json", _description(entry, settings, store.info))
        made.rename(folder)
    log.info(
        "%s: %d cases and %d folds for nnU-Net -> %s", entry.name, len(store), len(splits), folder
    )


def _description(entry: Entry, settings: DatasetSettings, info: DatasetInfo) -> dict[str, Any]:
    # nnU-Net normalises by the channel's name: CT by the whole dataset, others by the image.
    kind = {"ct": "CT", "none": "noNorm"}.get(settings.normalisation or "", "image")
    numbers = {name: number for number, name in sorted(entry.classes.items())}
    return {
        "channel_names": {str(channel): kind for channel in range(info.channels)},
        "labels": {"background": 0, **numbers},
        "numTraining": info.cases,
        "file_ending": ENDING,
        "overwrite_image_reader_writer": "SimpleITKIO",
        "name": entry.title,
        "licence": entry.licence,
        "reference": entry.citation,
    }


def _refuse_others(store: CaseStore, case: RawCase) -> None:
    if not np.array_equal(store.reference(store.index(case.case)), case.mask):
        raise case_error(
            store.info.name,
            case.case,
            "its original is not the one that the store was prepared from; prepare the dataset "
            "again (`attnbench prepare`, then `attnbench folds`)",
        )


def _write_case(folder: Path, case: RawCase, target: Target) -> None:
    for channel, image in enumerate(case.image):
        path = folder / "imagesTr" / f"{case.case}_{channel:04d}{ENDING}"
        _write_volume(path, np.asarray(image, np.float32), target)
    _write_volume(folder / "labelsTr" / f"{case.case}{ENDING}", case.mask, target)


def _write_volume(path: Path, array: NDArray[Any], target: Target) -> None:
    import nibabel

    image = nibabel.Nifti1Image(array, place_of(target).affine)
    # Readers differ in which of the two they take.
    image.set_qform(image.affine, "scanner")
    image.set_sform(image.affine, "scanner")
    image.header.set_xyzt_units("mm" if target.unit == "mm" else "unknown")
    nibabel.save(image, path)


def _link(folder: Path, name: str, cases: tuple[str, ...], channels: int) -> None:
    (folder / name).mkdir()
    for case in cases:
        for channel in range(channels):
            file = f"{case}_{channel:04d}{ENDING}"
            (folder / name / file).symlink_to(Path("..", "imagesTr", file))
