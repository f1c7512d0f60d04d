"""Peak memory and images per second of preparing and training on large data, of made files.

Two sets: `volumes`, a few of 512 x 512 x 300 voxels (int16 NIfTI), and `pictures`, 100,000 grey
images of 256 x 256 (8-bit PNG, hard links to some hundred different ones; the store has them all).
Every step is a process of its own, as in a study. `RssAnon` is memory that has to be there, `RSS`
counts the parts of memory-mapped files that happen to be in memory too, which a system takes back
when it needs to.

    python -m benchmarks.large_data --cases 100000 --volumes 3
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from attnbench.files import write_rows

RESULTS = Path(__file__).parent / "results" / "large_data.csv"
COLUMNS = ("set", "cases", "step", "seconds", "cases_per_second", "anon_gib", "rss_gib")
DIFFERENT = 256
SHAPE = (512, 512, 300)


def listing(folder: Path, name: str, rows: Sequence[tuple[Path, str, str]], base: Path) -> None:
    """Write the list of a dataset's files: path, role and case of each."""
    known: dict[int, tuple[int, str]] = {}
    with (folder / f"{name}.files.csv").open("w", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("path", "bytes", "sha256", "role", "case", "group"))
        for path, role, case in rows:
            node = path.stat().st_ino
            if node not in known:
                content = path.read_bytes()
                known[node] = len(content), hashlib.sha256(content).hexdigest()
            table.writerow((path.relative_to(base), *known[node], role, case, case))


def entry(folder: Path, name: str, ndim: int, cases: int, reader: str) -> None:
    content = {
        "name": name, "short": name, "title": name, "task": "blobs", "modality": "made",
        "ndim": ndim, "channels": 1, "classes": {1: "blob"}, "axes": ["a", "b", "c"][:ndim],
        "mirror": {"axes": [], "reason": "made"}, "cases": cases, "groups": cases,
        "groups_inferred": False, "licence": "none", "citation": "none", "reader": reader,
        "origin": {"kind": "local", "folder": f"files_{name}"},
    }  # fmt: skip
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def make_pictures(folder: Path, count: int) -> None:
    from PIL import Image

    base, rng = folder / "files_pictures", np.random.default_rng(0)
    base.mkdir()
    y, x = np.ogrid[:256, :256]
    rows = []
    for number in range(count):
        for role in ("image", "mask"):
            path = base / f"{number:06d}_{role}.png"
            source = base / f"{number % DIFFERENT:06d}_{role}.png"
            if number >= DIFFERENT:
                os.link(source, path)
            elif role == "mask":
                blob = (y - 60 - number % 130) ** 2 + (x - 128) ** 2 < (20 + number % 30) ** 2
                Image.fromarray(blob).save(path)
            else:
                noise = rng.normal(90, 25, (256, 256)) + 60 * (
                    (y - 60 - number % 130) ** 2 + (x - 128) ** 2 < (20 + number % 30) ** 2
                )
                Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(path)
            rows.append((path, role, f"{number:06d}"))
    listing(folder, "pictures", rows, base)
    entry(folder, "pictures", 2, count, "binary_mask")


def make_volumes(folder: Path, count: int) -> None:
    import nibabel

    base, rows = folder / "files_volumes", []
    base.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        image = rng.normal(40, 60, SHAPE).astype(np.int16)
        mask = np.zeros(SHAPE, np.uint8)
        mask[100:300, 150 : 350 - 10 * number, 80:200] = 1
        image += 150 * mask
        for role, array in (("image", image), ("mask", mask)):
            path = base / f"{number}_{role}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(array, np.diag([0.8, 0.8, 1.0, 1.0])), path)
            rows.append((path, role, str(number)))
    listing(folder, "volumes", rows, base)
    entry(folder, "volumes", 3, count, "nifti")


def watched(command: Sequence[str], folder: Path) -> tuple[float, float, float]:
    """Seconds, and the largest RssAnon and RSS in GiB of a command with all its children."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    anon = rss = 0.0
    while process.poll() is None:
        now = [_memory(pid) for pid in _family(process.pid)]
        anon, rss = max(anon, sum(a for a, _ in now)), max(rss, sum(r for _, r in now))
        time.sleep(0.05)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, anon / 2**20, rss / 2**20


def _family(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        for task in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            try:
                waiting += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def _memory(pid: int) -> tuple[int, int]:
    """RssAnon and VmRSS in KiB; zero for a process that has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {
        line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("Rss", "VmR"))
    }
    return int(sizes.get("RssAnon", 0)), int(sizes.get("VmRSS", 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--volumes", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", action="store_true", help=f"to {RESULTS.name}")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "catalog").mkdir()
        make_pictures(folder / "catalog", given.cases)
        make_volumes(folder / "catalog", given.volumes)
        study = {
            "name": "large", "catalog": ["catalog"], "models": ["unet"],
            "datasets": [
                {"name": "pictures", "patch": [128, 128], "batch": 8, "duplicates": "keep"},
                {"name": "volumes", "patch": [64, 64, 64], "batch": 2, "steps": 20,
                 "duplicates": "keep"},
            ],
            "backbone": {"widths": [8, 16, 32, 64]},
            "folds": {"outer": min(3, given.volumes), "inner": 2},
            "training": {"steps": 100, "validate_every": 50}, "compute": {"memory_mb": 4000},
        }  # fmt: skip
        (folder / "study.yaml").write_text(yaml.safe_dump(study))
        for name, cases in (("pictures", given.cases), ("volumes", given.volumes)):
            for step, options in (
                ("fetch", []),
                ("prepare", ["--workers", str(given.workers)]),
                ("folds", []),
                ("train", ["--model", "unet", "--fold", "0", "--seed", "0"]),
            ):
                command = ["attnbench", step, "--study", "study.yaml", "--dataset", name, *options]
                seconds, anon, rss = watched(command, folder)
                numbers = (f"{seconds:.1f}", f"{cases / seconds:.3g}", f"{anon:.2f}", f"{rss:.2f}")
                rows.append(dict(zip(COLUMNS, (name, cases, step, *numbers), strict=True)))
                print(*rows[-1].values(), flush=True)
    if given.write:
        write_rows(RESULTS, COLUMNS, rows)


if __name__ == "__main__":
    main()
