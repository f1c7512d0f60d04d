"""A full disk is named as such by everything that writes; what was there stays as it was."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from attnbench.data.download.staged import own_disk
from attnbench.errors import DataError, DiskError
from attnbench.files import whole_file, write_csv
from attnbench.full_disk import said_of

SIZE = 2**20


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A file system of a megabyte; where one may not be mounted, there is nothing to try."""
    folder = tmp_path_factory.mktemp("small")
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("no small file system may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def write_archive(path):
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.npy", "w") as stream:
        for _ in range(64):
            stream.write(os.urandom(2**16))


def write_picture(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (1200, 1200, 3), np.uint8)).save(path)


def write_figure(path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 12), dpi=200)
    figure.subplots().imshow(np.random.default_rng(0).random((900, 900)), interpolation="none")
    figure.savefig(path)


numbers = np.random.default_rng(0).random(2**19)
WRITERS = {
    "weights.pt": lambda path: torch.save({"weights": torch.from_numpy(numbers)}, path),
    "array.npy": lambda path: np.save(path, numbers),
    "archive.npz": lambda path: np.savez(path, numbers=numbers),
    "zipped.npz": write_archive,
    "table.csv": lambda path: pd.DataFrame({"value": numbers}).to_csv(path, index=False),
    "table.parquet": lambda path: pd.DataFrame({"value": numbers}).to_parquet(path),
    "text.json": lambda path: path.write_text("x" * 2**22),
    "picture.png": write_picture,
    "figure.png": write_figure,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_library_is_understood(small, name):
    path = small / name
    with whole_file(path) as temporary:
        temporary.write_bytes(b"as it was")
    with pytest.raises(DiskError) as raised, whole_file(path) as temporary:
        WRITERS[name](temporary)
    said = str(raised.value)
    assert "the disk is full" in said and str(path) in said
    assert f"file system at {small})" in said and "MB free" in said
    assert path.read_bytes() == b"as it was"
    path.unlink()
    # No temporary file takes the space that would be needed to go on.
    assert list(small.iterdir()) == []


def test_the_free_space_is_that_of_the_file_system(small):
    (small / "other").write_bytes(b"x" * (SIZE // 2))
    free = os.statvfs(small).f_bavail * os.statvfs(small).f_frsize
    error = OSError(errno.ENOSPC, "No space left on device", str(small / "file"))
    (small / "other").unlink()
    assert f"{(free + SIZE // 2) / 1e6:,.1f} MB free" in said_of(error)


@pytest.mark.parametrize(
    ("number", "said"), [(errno.EDQUOT, "quota is used up"), (errno.EFBIG, "ulimit -f")]
)
def test_other_limits_have_their_own_words(tmp_path, number, said):
    with pytest.raises(DiskError, match=said), whole_file(tmp_path / "file.csv"):
        raise OSError(number, os.strerror(number))
    assert list(tmp_path.iterdir()) == []


def test_an_error_behind_another_is_found(tmp_path):
    with pytest.raises(DiskError, match="the disk is full"), whole_file(tmp_path / "file"):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise ValueError("cannot close a file that is written to") from error


@pytest.mark.parametrize(
    "error", [RuntimeError("unexpected pos 4800 vs 4704"), PermissionError(13, "no"), KeyError("x")]
)
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error)) as raised, whole_file(tmp_path / "file"):
        raise error
    assert raised.value is error
    with pytest.raises(DataError, match="mine"), whole_file(tmp_path / "file"):
        raise DataError("mine")
    assert said_of(error) is None


def test_a_limit_on_files_is_met_by_torch_without_a_word_of_it(tmp_path):
    """As on a disk whose quota torch runs into: its own message names a position."""

    def lower():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, 2**19))

    script = (
        "import sys, torch; from pathlib import Path; from attnbench.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as path: torch.save(torch.zeros(2**19), path)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "model.pt")],
        preexec_fn=lower,
        capture_output=True,
        text=True,
    )
    assert "ulimit -f" in ran.stderr.splitlines()[-1] and "DiskError" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_does_not_fit_leaves_the_old_one(small):
    path = small / "scores.csv"
    write_csv(path, pd.DataFrame({"value": [1.5]}))
    with pytest.raises(DiskError):
        write_csv(path, pd.DataFrame({"value": numbers}))
    assert path.read_text() == "value\n1.5\n"
    path.unlink()


def test_a_download_that_does_not_fit_is_no_failure_of_its_source(small):
    place = small / "image.tif"
    try:
        with pytest.raises(DiskError, match=r"the disk is full.*image\.tif"), own_disk(place):
            place.write_bytes(b"x" * 2 * SIZE)
    finally:
        place.unlink()


def test_what_no_file_is_named_in_is_looked_for_where_the_study_lies(small):
    """As of a log, or of a download: the command line says the fullest of the study's places."""
    from attnbench.full_disk import look_in

    (small / "filler").write_bytes(b"x" * (SIZE - 2**13))
    look_in(Path("/"), small)
    try:
        assert f"file system at {small})" in said_of(OSError(errno.ENOSPC, "No space left"))
    finally:
        look_in()
        (small / "filler").unlink()
