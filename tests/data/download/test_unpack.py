"""No archive, whatever its members are called or are, writes anything but the listed files with
the listed bytes.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attnbench.data.download.unpack import ArchiveError, unpack
from attnbench.data.download.wanted import Wanted

LISTED = {"a.png": b"picture a", "masks/b.png": b"mask b"}
WANTED = [
    Wanted(path, len(data), "sha256", hashlib.sha256(data).hexdigest())
    for path, data in LISTED.items()
]

pieces = st.sampled_from(
    ["a.png", "b.png", "masks", "repo", "..", ".", "", "/", "outside", "\\", "é\n"]
)
names = st.lists(pieces, min_size=1, max_size=5).map("/".join) | st.sampled_from(
    ["repo/a.png", "repo/masks/b.png"]
)
kinds = st.sampled_from(
    [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
)
contents = st.sampled_from([*LISTED.values(), b"", b"evil data"])
members = st.tuples(
    names, kinds, contents, st.sampled_from(["../../outside", "/etc/hostname", "repo/a.png"])
)


def write_archive(path: Path, content: list[tuple[str, bytes, bytes, str]]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, data, target in content:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            member.size = len(data) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(data))


def unpack_into(folder: Path, archive: Path) -> dict[str, str]:
    raw = folder / "raw"
    raw.mkdir()

    def place(item: Wanted, staged: Path) -> None:
        (raw / item.path).parent.mkdir(exist_ok=True)
        staged.replace(raw / item.path)

    return unpack(archive, WANTED, folder / "staging", place)


@settings(max_examples=100, deadline=None)
@given(content=st.lists(members, max_size=6))
@example(content=[("/repo/a.png", tarfile.REGTYPE, LISTED["a.png"], "")])
@example(
    content=[
        ("repo/masks", tarfile.SYMTYPE, b"", "../../outside"),
        ("repo/masks/b.png", b"0", b"mask b", ""),
    ]
)
@example(content=[("repo/a.png", tarfile.LNKTYPE, b"", "repo/masks/b.png")])
def test_only_listed_files_are_written(content):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "outside").write_text("untouched")
        write_archive(folder / "archive", content)
        refused = False
        try:
            missing = unpack_into(folder, folder / "archive")
        except ArchiveError:
            refused, missing = True, {}
        files = {path for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
        written = {
            str(path.relative_to(folder / "raw")): path
            for path in files
            if folder / "raw" in path.parents
        }
        assert files - set(written.values()) == {folder / "outside", folder / "archive"}
        assert (folder / "outside").read_text() == "untouched"
        assert {path: file.read_bytes() for path, file in written.items()}.items() <= LISTED.items()
        assert not any(path.is_symlink() for path in files)
        if not refused:
            assert written.keys() | missing.keys() == LISTED.keys()
            assert not written.keys() & missing.keys()


@pytest.mark.parametrize(
    "name", ["../a.png", "repo/../../a.png", "/repo/a.png", "repo/masks/../../../x"]
)
def test_a_name_that_leads_out_refuses_the_archive(tmp_path, name):
    write_archive(tmp_path / "archive", [(name, tarfile.REGTYPE, b"evil", "")])
    with pytest.raises(ArchiveError, match="leads out of its folder"):
        unpack_into(tmp_path, tmp_path / "archive")


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0, 0.99), flip=st.none() | st.floats(0, 0.999))
def test_damaged_archive_gives_right_files_or_an_error(cut, flip):
    """Cut anywhere, one byte inverted anywhere: a file that comes out is right, and what did not
    is said.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_archive(
            folder / "whole", [(f"repo/{path}", b"0", data, "") for path, data in LISTED.items()]
        )
        data = bytearray((folder / "whole").read_bytes())
        if flip is None:
            data = data[: int(len(data) * cut)]
        else:
            data[int(len(data) * flip)] ^= 0xFF
        (folder / "archive").write_bytes(data)
        try:
            missing = unpack_into(folder, folder / "archive").keys()
        except ArchiveError:
            missing = LISTED.keys()
        for path in LISTED.keys() - missing:
            assert (folder / "raw" / path).read_bytes() == LISTED[path]
