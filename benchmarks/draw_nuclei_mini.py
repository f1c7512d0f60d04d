"""`python -m benchmarks.draw_nuclei_mini ORIGINALS`: draw the files of `nuclei_mini` again.

ORIGINALS is the folder of nuclei_dsb2018 as `attnbench fetch` leaves it; every file read is
verified first. What is drawn is a function of the originals alone: the same pixels always, the same
bytes with the Pillow of constraints.txt.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter

from attnbench.catalog import Entry, load_entry
from attnbench.data.read import read_cases
from attnbench.files import sha256_of

ENTRIES = Path(__file__).parents[1] / "src/attnbench/catalog/entries"
SIZE = 256
STEP = 8  # of the places at which a larger image may be cut
MOST_BYTES = 1_300_000
DRAWN = {"fluorescence": 32, "fluorescence, cropped": 10, "stained": 14}  # images per kind
# Two images with no more bits apart, or correlated as much at some shift, are near duplicates.
BITS, CORRELATION, SHIFT = 6, 0.4, 32


@dataclass(frozen=True)
class Candidate:
    """A grey image and mask (SIZE, SIZE), and where in which original it lies."""

    original: str
    kind: str
    top: int
    left: int
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]

    @property
    def case(self) -> str:
        return f"dsb_{self.original[:8]}"  # never digits alone, which readers take for a number

    @property
    def contrast(self) -> float:
        """How far nuclei and background lie apart, in grey values."""
        inside, outside = self.image[self.mask], self.image[~self.mask]
        return float(abs(inside.mean() - outside.mean()))


def candidates(entry: Entry, originals: Path) -> list[Candidate]:
    """Return one candidate per original, sorted by foreground share."""
    for row in entry.files():
        if sha256_of(originals / row.path) != row.sha256:
            raise SystemExit(f"{originals / row.path}: not the file of the catalog's {entry.name}")
    found = []
    for case in read_cases(entry, originals):
        colours = np.moveaxis(case.image, 0, -1).astype(np.uint8)
        grey = np.asarray(Image.fromarray(colours).convert("L"))
        top, left = middling_place(case.mask > 0)
        kind = "stained" if np.ptp(colours.astype(int), axis=-1).mean() > 1 else "fluorescence"
        if kind == "fluorescence" and grey.shape != (SIZE, SIZE):
            kind += ", cropped"
        place = np.s_[top : top + SIZE, left : left + SIZE]
        found.append(Candidate(case.case, kind, top, left, grey[place], case.mask[place] > 0))
    return sorted(found, key=lambda one: (one.mask.mean(), one.original))


def middling_place(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the top left corner of the square with the median foreground of all places."""
    rows, columns = (range(0, side - SIZE + 1, STEP) for side in mask.shape)
    places = sorted(
        (int(mask[top : top + SIZE, left : left + SIZE].sum()), top, left)
        for top in rows
        for left in columns
    )
    _, top, left = places[(len(places) - 1) // 2]
    return top, left


def draw(found: Sequence[Candidate]) -> list[Candidate]:
    """Return the drawn images by case name: strata of foreground share within each kind.

    A kind's candidates are cut into as many blocks of neighbouring shares as images are wanted.
    A block gives its faintest image, the next its most contrasted, and so on: faint and bright,
    sparse and crowded come in equal measure. Near duplicates of what is drawn are passed over.
    """
    drawn: list[Candidate] = []
    for kind, wanted in DRAWN.items():
        of_kind = [one for one in found if one.kind == kind and one.mask.any()]
        for number in range(wanted):
            block = of_kind[number * len(of_kind) // wanted : (number + 1) * len(of_kind) // wanted]
            block.sort(key=lambda one: one.contrast, reverse=number % 2 == 1)
            fresh = (one for one in block if not any(near(one, other) for other in drawn))
            drawn.append(next(fresh))
    return sorted(drawn, key=lambda one: one.case)


def near(one: Candidate, other: Candidate) -> bool:
    """Return whether two images are near duplicates, by perceptual hash or by correlation."""
    hashes = (imagehash.phash(Image.fromarray(each.image)) for each in (one, other))
    if next(hashes) - next(hashes) <= BITS:
        return True
    spectra = [rfft2(_detail(each.image)) for each in (one, other)]
    correlation = irfft2(spectra[0] * np.conj(spectra[1]))
    shifts = np.r_[-SHIFT : SHIFT + 1]
    return bool(correlation[np.ix_(shifts, shifts)].max() >= CORRELATION)


def _detail(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what is finer than a nucleus and coarser than noise, of length 1."""
    light = np.log1p(image.astype(np.float64))
    fine = gaussian_filter(light, 1) - gaussian_filter(light, 4)
    fine -= fine.mean()
    return fine / np.linalg.norm(fine)


def files_of(drawn: Sequence[Candidate]) -> Iterator[tuple[str, bytes, str, str]]:
    """Yield path, content, role and case of every file."""
    for one in drawn:
        yield f"images/{one.case}.png", _png(Image.fromarray(one.image)), "image", one.case
        mask = Image.fromarray(one.mask.astype(np.uint8) * 255).convert("1")
        yield f"masks/{one.case}.png", _png(mask), "mask", one.case


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def write(drawn: Sequence[Candidate], folder: Path) -> str:
    """Write files, list of files and labels of cases beside the entry; return the digest."""
    place = folder / "nuclei_mini"
    content = list(files_of(drawn))
    total = sum(len(data) for _, data, _, _ in content)
    if total > MOST_BYTES:
        raise SystemExit(f"{total} bytes; at most {MOST_BYTES} go into the package")
    rows = []
    for path, data, role, case in content:
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(data)
        rows.append((path, len(data), hashlib.sha256(data).hexdigest(), role, case, case))
    _table(
        folder / "nuclei_mini.files.csv", ["path", "bytes", "sha256", "role", "case", "group"], rows
    )
    cases = [
        (one.case, one.kind.split(",")[0], one.original, f"{one.top}+{one.left}") for one in drawn
    ]
    _table(folder / "nuclei_mini.cases.csv", ["case", "kind", "original", "crop"], cases)
    lines = "".join(f"{sha256}  {path}\n" for path, _, sha256, *_ in sorted(rows))
    print(f"{len(drawn)} images, {total} bytes")
    return hashlib.sha256(lines.encode()).hexdigest()


def _table(path: Path, header: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.draw_nuclei_mini", description=__doc__.splitlines()[0]
    )
    parser.add_argument("originals", type=Path, help="folder that holds stage1_train")
    parser.add_argument("--into", type=Path, default=ENTRIES, help="the catalog's entries")
    arguments = parser.parse_args()
    found = candidates(load_entry("nuclei_dsb2018"), arguments.originals)
    print(f"digest: {write(draw(found), arguments.into)}")


if __name__ == "__main__":
    main()
