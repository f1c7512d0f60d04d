"""Every file of data with the function that reads it: whole ones in a folder, to be damaged."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK
import tifffile
import yaml
from PIL import Image

from attnbench.catalog import Entry, load_entry, read_entry
from attnbench.data.download.fetch import fetch_dataset
from attnbench.data.download.receipt import read_receipt
from attnbench.data.folds import load_folds, write_folds
from attnbench.data.intensities import load_normalisation, write_statistics
from attnbench.data.prepare import prepare_dataset
from attnbench.data.read import read_cases
from attnbench.data.scan.tables import (
    Finding,
    Pair,
    Summary,
    read_findings,
    read_pairs,
    read_summary,
    write_inspection,
)
from attnbench.data.splits import read_held_out, read_split
from attnbench.data.store import CaseStore
from attnbench.files import sha256_of
from attnbench.study.groups import DatasetSettings, FoldsSettings

FACTS = {
    "name": "toy", "title": "t", "short": "t", "task": "t", "modality": "m", "channels": 1,
    "classes": {1: "blob"}, "cases": 1, "groups": 1, "groups_inferred": False, "licence": "l",
    "citation": "c", "mirror": {"axes": [], "reason": "e"},
}  # fmt: skip
RANDOM = np.random.default_rng(5)
IMAGE = RANDOM.integers(0, 255, (16, 20)).astype(np.uint8)
MASK = ((IMAGE > 128) * 255).astype(np.uint8)
VOLUME = RANDOM.integers(0, 1000, (6, 7, 8)).astype(np.int16)
CLASSES = (VOLUME > 500).astype(np.uint8)


@dataclass(frozen=True)
class Target:
    """A file, how it is read, and whether what it says is tied to a hash, so that any other
    content is refused.
    """

    path: Path
    read: Callable[[], Any]
    tied: bool = True
    same: Callable[[Any, Any], bool] = lambda one, other: bool(one == other)

    def __str__(self) -> str:
        return self.path.name


def prepared(folder: Path, dataset: str = "phantom2d") -> Iterator[Target]:
    """Yield the files of a case store, its folds and their statistics."""
    settings = DatasetSettings(name=dataset, size=(16, 16))
    entry, where = load_entry(dataset), folder / "store"
    prepare_dataset(entry, settings, folder / "raw", where)
    write_folds(where, FoldsSettings(outer=2, inner=2), folder / "folds.json", settings)
    write_statistics(where, folder / "folds.json", "ct", folder / "statistics.json")
    store = CaseStore.open(where)
    folds = load_folds(folder / "folds.json", store)

    def read_store() -> tuple[Any, Any]:
        opened = CaseStore.open(where)
        opened.check_arrays()
        return opened.info, opened.columns

    def read_statistics() -> Any:
        path = folder / "statistics.json"
        found = load_normalisation(path, "ct", store, folds, 0, folds.fold(0)).of_fold
        return found is not None and found.tolist()

    for path in sorted(where.iterdir()):
        yield Target(path, read_store)
    yield Target(folder / "folds.json", lambda: load_folds(folder / "folds.json", store))
    yield Target(folder / "statistics.json", read_statistics)


def listed(folder: Path) -> Iterator[Target]:
    """Yield a receipt, the tables of an inspection, lists of a catalog and of splits."""
    (folder / "raw").mkdir()
    own = toy(folder / "toy", [("image", "i.png", IMAGE, "1"), ("mask", "m.png", MASK, "1")])
    fetch_dataset(own, folder / "raw")
    receipt = folder / "raw" / "receipt.json"
    yield Target(receipt, lambda: read_receipt(receipt))
    pair = Pair("a", "1", "b", "2", True, "near", 0.97, 3.0, "mirrored", 1.0, 0.02)
    finding = Finding("dark", "a", "1", "mean", 3.5, "darker than others")
    summary = Summary("toy", 2, 2, 1, 10.0, True, 0.9)
    write_inspection(folder / "inspected", [pair], [finding], summary)
    # What a study takes of them is under a seal, which the tests of seals damage.
    for name, read in (
        ("pairs.csv", read_pairs), ("findings.csv", read_findings), ("inspected.json", read_summary)
    ):  # fmt: skip
        yield Target(
            folder / "inspected" / name, lambda read=read: read(folder / "inspected"), tied=False
        )
    (folder / "toy" / "toy.cases.csv").write_text("case,part\np1,test\n")

    def read_catalog() -> Any:
        found = read_entry(folder / "toy" / "toy.yaml")
        return found, found.files(), found.labels()

    for name in ("toy.yaml", "toy.files.csv", "toy.cases.csv"):
        yield Target(folder / "toy" / name, read_catalog, tied=False)
    rows = {"split.csv": "case,fold\na,0\nb,1\nc,2\n", "held_out.csv": "group\na\nb\n"}
    for name, text in rows.items():
        (folder / name).write_text(text)
    folds = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["c", "b"], "val": ["a"]}]
    (folder / "splits.json").write_text(json.dumps(folds))
    for name, read_list in (
        ("split.csv", read_split), ("splits.json", read_split), ("held_out.csv", read_held_out)
    ):  # fmt: skip
        yield Target(
            folder / name, lambda read=read_list, name=name: read(folder / name), tied=False
        )


def originals(folder: Path, hashed: bool) -> Iterator[Target]:
    """Yield pictures, volumes and archives in every format, listed with or without hashes."""
    for name, content in _pictures().items():
        own = folder / name
        entry = toy(own, [("image", name, content, "1"), ("mask", "m.png", MASK, "1")], hashed)
        yield _cases(entry, own / name, hashed)
    for ending in (".nii", ".nii.gz", ".mha", ".nrrd", ".mhd"):
        own = folder / f"volume{ending}"
        own.mkdir()
        for name, array in (("i", VOLUME), ("m", CLASSES)):
            _write_volume(own / f"{name}{ending}", array)
        files = [("image", f"i{ending}", None, "1"), ("mask", f"m{ending}", None, "1")]
        files += [("aux", "i.raw", None, "1")] if ending == ".mhd" else []
        entry = toy(own, files, hashed, reader="volume", ndim=3, spacing_unit="mm")
        yield _cases(entry, own / f"i{ending}", hashed)
        yield _cases(entry, own / f"m{ending}", hashed)
        if ending == ".mhd":
            yield _cases(entry, own / "i.raw", hashed)
    own = folder / "archive"
    own.mkdir()
    arrays = {"train_images": np.stack([IMAGE] * 2), "train_label": np.stack([MASK // 255] * 2)}
    np.savez_compressed(own / "a.npz", **arrays)
    yield _cases(_archived(own, "a.npz", "medsegbench", 2), own / "a.npz", False)
    own = folder / "decathlon"
    own.mkdir()
    _write_volume(own / "v.nii.gz", VOLUME)
    _write_volume(own / "c.nii.gz", CLASSES)
    with tarfile.open(own / "t.tar", "w") as packed:
        pairs = json.dumps({"training": [{"image": "./v.nii.gz", "label": "./c.nii.gz"}]}).encode()
        info = tarfile.TarInfo("Task/dataset.json")
        info.size = len(pairs)
        packed.addfile(info, io.BytesIO(pairs))
        for name in ("v.nii.gz", "c.nii.gz"):
            packed.add(own / name, f"Task/{name}")
    entry = _archived(own, "t.tar", "nifti", 3, spacing_unit="mm")
    yield _cases(entry, own / "t.tar", False)


def toy(
    folder: Path,
    files: Sequence[tuple[str, str, np.ndarray | bytes | None, str]],
    hashed: bool = True,
    reader: str = "binary_mask",
    ndim: int = 2,
    **more: Any,
) -> Entry:
    """Write a dataset of a user's own files and return its entry.

    files: role, name, content (an array becomes PNG; None: it is there), and case, a group each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = {**FACTS, "ndim": ndim, "axes": ["a", "b", "c"][:ndim], "reader": reader}
    origin = {"kind": "local", "folder": "."}
    (folder / "toy.yaml").write_text(yaml.safe_dump({**facts, "origin": origin, **more}))
    rows = []
    for role, name, content, case in files:
        if content is not None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else _png(content))
        digest = sha256_of(folder / name) if hashed else ""
        size = (folder / name).stat().st_size
        rows.append((name, size, digest, role, f"p{case}", f"g{case}"))
    with (folder / "toy.files.csv").open("w", newline="") as stream:
        header = ("path", "bytes", "sha256", "role", "case", "group")
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return read_entry(folder / "toy.yaml")


def _archived(folder: Path, name: str, reader: str, ndim: int, **more: Any) -> Entry:
    origin = {"kind": "archive", "url": f"http://h/{name}", "md5": "0" * 32, "page": "http://h"}
    facts = {**FACTS, "ndim": ndim, "axes": ["a", "b", "c"][:ndim], "reader": reader}
    (folder / "toy.yaml").write_text(yaml.safe_dump({**facts, "origin": origin, **more}))
    return read_entry(folder / "toy.yaml")


def _cases(entry: Entry, path: Path, hashed: bool) -> Target:
    def read() -> list[Any]:
        return [(one.case, one.image.tobytes()) for one in read_cases(entry, path.parent)]

    return Target(path, read, tied=hashed)


def _pictures() -> dict[str, bytes]:
    found = {}
    for name, form in (
        ("a.png", "PNG"), ("a.tif", "TIFF"), ("a.jpg", "JPEG"), ("a.bmp", "BMP"), ("a.gif", "GIF"),
        ("a.pgm", "PPM"),
    ):  # fmt: skip
        stream = io.BytesIO()
        Image.fromarray(IMAGE).save(stream, form)
        found[name] = stream.getvalue()
    stream = io.BytesIO()
    tifffile.imwrite(stream, IMAGE, compression="zlib", tile=(16, 16))
    return found | {"packed.tif": stream.getvalue()}


def _png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def _write_volume(path: Path, array: np.ndarray) -> None:
    if ".nii" in path.name:
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(path))
