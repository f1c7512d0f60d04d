"""The real images in the package: whole, small, no near duplicates, and drawn from the originals.

With ATTNBENCH_NUCLEI naming the folder of nuclei_dsb2018's originals, they are drawn again.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import zipfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.fft import irfft2, rfft2
from skimage.filters import difference_of_gaussians
from skimage.io import imread

from attnbench.catalog import load_entry, read_entry
from attnbench.data.download.fetch import fetch_dataset
from attnbench.data.read import read_cases
from attnbench.errors import FetchError

ROOT = Path(__file__).parents[2]
ENTRIES = ROOT / "src/attnbench/catalog/entries"
FOLDER = ENTRIES / "nuclei_mini"
ENTRY = load_entry("nuclei_mini")
LABELS = ENTRY.labels()
ORIGINALS = os.environ.get("ATTNBENCH_NUCLEI")
with_originals = pytest.mark.skipif(
    not ORIGINALS, reason="ATTNBENCH_NUCLEI does not name the folder of the originals"
)


@pytest.fixture(scope="module")
def images() -> dict[str, np.ndarray]:
    return {case: imread(FOLDER / f"images/{case}.png") for case in LABELS}


@pytest.fixture(scope="module")
def masks() -> dict[str, np.ndarray]:
    return {case: imread(FOLDER / f"masks/{case}.png") > 0 for case in LABELS}


def test_files_verify_and_a_changed_pixel_does_not(tmp_path):
    fetch_dataset(ENTRY, tmp_path, offline=True)
    assert (tmp_path / "receipt.json").is_file()
    copy = tmp_path / "copy"
    shutil.copytree(FOLDER, copy)
    file = copy / ENTRY.files()[0].path
    picture = Image.open(file)
    picture.putpixel((0, 0), 255 - picture.getpixel((0, 0)))
    picture.save(file)
    moved = ENTRY.model_copy(update={"origin": ENTRY.origin.model_copy(update={"folder": copy})})
    with pytest.raises(FetchError, match=ENTRY.files()[0].path):
        fetch_dataset(moved, tmp_path / "again")


def test_every_file_is_listed_and_small():
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()}
    assert files == {row.path for row in ENTRY.files()} | {"LICENCE.txt"}
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.png")) <= 1_300_000


def test_the_licence_and_its_source_come_with_the_files():
    text = (FOLDER / "LICENCE.txt").read_text(encoding="utf-8")
    origin = load_entry("nuclei_dsb2018").origin
    assert origin.page in text
    assert origin.url.rpartition("/")[2] in text, "the commit"
    assert "BBBC038" in text and "10.1038/s41592-019-0612-7" in text
    assert "CC0 1.0 Universal" in text and "Public License Fallback" in text


def test_pictures_are_grey_and_square_masks_have_one_bit(images, masks):
    assert 48 <= len(images) <= 64
    assert {image.shape for image in images.values()} == {(256, 256)}
    assert {image.dtype for image in images.values()} == {np.dtype("uint8")}
    assert {Image.open(path).mode for path in (FOLDER / "masks").iterdir()} == {"1"}
    assert {Image.open(path).mode for path in (FOLDER / "images").iterdir()} == {"L"}
    assert all(mask.any() and not mask.all() for mask in masks.values())


def test_the_reader_yields_what_the_files_hold(images, masks, tmp_path):
    cases = list(read_cases(ENTRY, tmp_path))
    assert {case.case for case in cases} == set(images)
    for case in cases:
        assert np.array_equal(case.image, images[case.case][None])
        assert np.array_equal(case.mask, masks[case.case])


def test_strata_are_spread(images, masks):
    """Both kinds; sparse and crowded; faint and bright; nuclei brighter or darker by kind."""
    shares = np.array([mask.mean() for mask in masks.values()])
    counts, _ = np.histogram(shares, [0, 0.02, 0.05, 0.1, 0.2, 1])
    assert counts.min() >= 6
    kinds = [labels["kind"] for labels in LABELS.values()]
    assert kinds.count("stained") >= 12 and kinds.count("fluorescence") >= 36
    contrast = {
        case: image[masks[case]].mean() - image[~masks[case]].mean()
        for case, image in images.items()
    }
    for case, labels in LABELS.items():
        assert (contrast[case] > 0) == (labels["kind"] == "fluorescence")
    sizes = np.abs(list(contrast.values()))
    assert (sizes < 25).sum() >= 4 and (sizes > 80).sum() >= 4


def test_no_image_holds_much_of_another(images):
    """Correlation of detail at every shift; planted copies, darker and noisy, exceed it."""
    rng = np.random.default_rng(0)
    detail = {case: detail_of(image) for case, image in images.items()}
    highest = max(correlation(detail[a], detail[b]) for a, b in combinations(detail, 2))
    for case, image in images.items():
        copy = 0.7 * np.roll(image, (20, -30), axis=(0, 1)) + rng.normal(0, 1, image.shape)
        planted = detail_of(copy.clip(0, 255).round())
        assert correlation(detail[case], planted) > 0.4 > highest


def detail_of(image: np.ndarray) -> np.ndarray:
    """Transform of what is finer than a nucleus and coarser than noise, of length 1."""
    fine = difference_of_gaussians(np.log1p(image.astype(float)), 1, 4)
    fine -= fine.mean()
    return rfft2(fine / np.linalg.norm(fine))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return irfft2(first * np.conj(second)).max()


def test_a_wheel_carries_the_files(tmp_path):
    """What is installed is whole: the wheel's files verify where they are unpacked."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "import setuptools.build_meta as b, sys; print(b.build_wheel(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "installed")
    entries = tmp_path / "installed/attnbench/catalog/entries"
    assert (entries / "nuclei_mini/LICENCE.txt").is_file()
    entry = read_entry(entries / "nuclei_mini.yaml")
    fetch_dataset(entry, tmp_path / "raw", offline=True)
    assert entry.labels() == LABELS


@with_originals
def test_masks_are_the_unions_and_images_the_luminance_of_the_originals(images, masks):
    listed: dict[str, list[Path]] = {}
    for row in load_entry("nuclei_dsb2018").files():
        listed.setdefault(f"{row.case} {row.role}", []).append(Path(ORIGINALS) / row.path)
    for case, labels in LABELS.items():
        top, left = map(int, labels["crop"].split("+"))
        place = np.s_[top : top + 256, left : left + 256]
        colours = imread(listed[f"{labels['original']} image"][0]).astype(float)
        grey = colours[..., :3] @ [0.299, 0.587, 0.114]
        assert np.abs(grey[place] - images[case]).max() <= 1
        instances = [imread(path) for path in listed[f"{labels['original']} mask_instance"]]
        assert np.array_equal(np.max(instances, axis=0)[place] > 127, masks[case])


@with_originals
def test_drawn_again_the_files_are_the_same(tmp_path):
    command = ("-m", "benchmarks.draw_nuclei_mini", ORIGINALS, "--into", str(tmp_path))
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert ENTRY.digest in done.stdout
    for name in ("nuclei_mini.files.csv", "nuclei_mini.cases.csv"):
        assert filecmp.cmp(ENTRIES / name, tmp_path / name, shallow=False)
    for row in ENTRY.files():
        here, again = FOLDER / row.path, tmp_path / "nuclei_mini" / row.path
        assert filecmp.cmp(here, again, shallow=False)
