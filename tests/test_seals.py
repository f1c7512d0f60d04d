"""A sealed file that changes in any way is refused, and so is a seal that does."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench import seals
from attnbench.errors import SealError
from attnbench.seals import problem_of, read_seal, refuse_changed, write_seal


def sealed(folder: Path, content: bytes) -> tuple[Path, Path]:
    """A file with its seal below an output folder."""
    file, seal = folder / "runs" / "a.bin", folder / "seals" / "a.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    write_seal(seal, folder, [file], {"fold": 1})
    return file, seal


def flip(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_what_is_as_it_was_is_taken_with_its_stamp(tmp_path):
    file, seal = sealed(tmp_path, b"abc")
    assert refuse_changed(seal, tmp_path, [file], "run it again").stamp == {"fold": 1}
    entry = json.loads(seal.read_text())["files"]["runs/a.bin"]
    assert entry["sha256"] == hashlib.sha256(b"abc").hexdigest()


@given(content=st.binary(min_size=1, max_size=200), data=st.data())
def test_any_single_bit_of_a_file_is_found(content, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flip")
    file, seal = sealed(folder, content)
    file.write_bytes(flip(content, data.draw(st.integers(0, 8 * len(content) - 1))))
    with pytest.raises(SealError, match=r"a\.bin.*has changed.*; run it again"):
        refuse_changed(seal, folder, [file], "run it again")


def test_any_single_bit_of_a_seal_that_means_something_is_found(tmp_path):
    _, seal = sealed(tmp_path, b"abc")
    original, content = read_seal(seal), seal.read_bytes()
    for bit in range(8 * len(content)):
        seal.write_bytes(flip(content, bit))
        try:
            read = read_seal(seal)
        except SealError:
            continue
        # Such as a blank that became a tab's neighbour: the content is the same.
        assert (read.stamp, read.files) == (original.stamp, original.files)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[]", "damaged"),
        (b"null", "damaged"),
        (b"{}", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b'{"seal_sha256": "", "files": 3, "stamp": {}}', "damaged"),
    ],
)
def test_what_is_no_seal_is_refused(tmp_path, content, says):
    file, seal = sealed(tmp_path, b"abc")
    seal.write_bytes(content)
    with pytest.raises(SealError, match=says):
        refuse_changed(seal, tmp_path, [file], "run it again")


def test_missing_files_and_seals_are_named(tmp_path):
    file, seal = sealed(tmp_path, b"abc")
    other = file.with_name("b.bin")
    other.write_bytes(b"abc")
    with pytest.raises(SealError, match=r"b\.bin: is not among the files"):
        refuse_changed(seal, tmp_path, [other], "run it again")
    file.unlink()
    with pytest.raises(SealError, match=r"a\.bin: is missing"):
        refuse_changed(seal, tmp_path, [file], "run it again")
    seal.unlink()
    with pytest.raises(SealError, match=r"a\.json: no such seal.*; run it again"):
        refuse_changed(seal, tmp_path, [file], "run it again")


def test_a_large_file_is_hashed_where_its_time_changed_and_by_verify(tmp_path, monkeypatch):
    monkeypatch.setattr(seals, "LARGE", 3)
    file, path = sealed(tmp_path, b"abc")
    seal, when = read_seal(path), file.stat()
    file.write_bytes(b"abd")
    assert "has changed" in problem_of(seal, tmp_path, file)
    os.utime(file, ns=(when.st_atime_ns, when.st_mtime_ns))
    assert problem_of(seal, tmp_path, file) == ""
    assert "has changed" in problem_of(seal, tmp_path, file, thorough=True)


def test_a_results_folder_that_was_moved_or_copied_is_as_good(tmp_path):
    sealed(tmp_path / "before", b"abc")
    (tmp_path / "before").rename(tmp_path / "after")
    after = tmp_path / "after"
    os.utime(after / "runs" / "a.bin", ns=(0, 0))
    refuse_changed(after / "seals" / "a.json", after, [after / "runs" / "a.bin"], "run it again")
