"""Fetch from archives: a tarball whose members are verified, and one that stays packed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from attnbench.data.download.fetch import fetch_dataset
from attnbench.data.download.http import Patience
from attnbench.errors import FetchError

HASTY = Patience(attempts=2, backoff_s=0.001, connect_s=2, read_s=2)
FILES = {
    "images/a.png": bytes(range(256)) * 8,
    "masks/a.png": b"mask of a" * 20,
    "LICENSE": b"free",
}


def tarball(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def in_repository(files: dict[str, bytes]) -> dict[str, bytes]:
    return {"repo-0123abc/README": b"not listed"} | {
        f"repo-0123abc/{path}": data for path, data in files.items()
    }


@pytest.fixture
def tarball_entry(write_entry):
    """An entry whose files all come from the archive at `url`."""
    return lambda folder, url: write_entry(
        folder, {"kind": "tarball", "url": f"{url}/archive"}, FILES
    )


def there(raw: Path) -> dict[str, bytes]:
    """Every file under a final name, the receipt apart."""
    found = (path.relative_to(raw) for path in raw.rglob("*") if path.is_file())
    return {
        str(path): (raw / path).read_bytes()
        for path in found
        if path.parts[0] not in (".partial", "receipt.json")
    }


def receipt_of(raw: Path) -> dict:
    return json.loads((raw / "receipt.json").read_text(encoding="utf-8"))


def test_tarball_members_without_their_top_folder(serve, tmp_path, tarball_entry):
    origin, raw = serve({"archive": tarball(in_repository(FILES))}), tmp_path / "raw"
    fetch_dataset(tarball_entry(tmp_path, origin.url), raw)
    assert there(raw) == FILES
    assert {row["source"] for row in receipt_of(raw)["files"]} == {f"{origin.url}/archive"}


def test_tarball_from_a_mirror_folder(tmp_path, tarball_entry):
    (tmp_path / "mirror/tiny").mkdir(parents=True)
    (tmp_path / "mirror/tiny/archive.tar.gz").write_bytes(tarball(in_repository(FILES)))
    entry = tarball_entry(tmp_path, "http://127.0.0.1:9")
    fetch_dataset(entry, tmp_path / "raw", str(tmp_path / "mirror"), offline=True)
    assert there(tmp_path / "raw") == FILES


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_tarball_download_goes_on(serve, tmp_path, ranges, tarball_entry):
    content = {"archive": tarball(in_repository(FILES))}
    origin = serve(content, ranges=ranges, break_after={"archive": 60})
    fetch_dataset(tarball_entry(tmp_path, origin.url), tmp_path / "raw", patience=HASTY)
    assert there(tmp_path / "raw") == FILES


@pytest.mark.parametrize(
    ("archive", "found"),
    [
        (tarball(in_repository(FILES))[:200], "cannot be read"),
        (b"<html>not an archive</html>", "cannot be read"),
        (
            tarball(
                in_repository(
                    {"LICENSE": b"evil"} | {k: v for k, v in FILES.items() if k != "LICENSE"}
                )
            ),
            "LICENSE",
        ),
        (
            tarball(in_repository({k: v for k, v in FILES.items() if k != "LICENSE"})),
            "no such member",
        ),
        (tarball({"../LICENSE": b"free"} | in_repository(FILES)), "leads out of its folder"),
    ],
    ids=["cut short", "no archive", "wrong member", "missing member", "traversal"],
)
def test_bad_tarball_is_named_and_a_rerun_continues(serve, tmp_path, archive, found, tarball_entry):
    origin, raw = serve({"archive": archive}), tmp_path / "raw"
    entry = tarball_entry(tmp_path, origin.url)
    with pytest.raises(FetchError, match=found) as caught:
        fetch_dataset(entry, raw, patience=HASTY)
    assert f"{origin.url}/archive" in str(caught.value)
    assert there(raw).items() <= FILES.items()
    assert not (raw / "receipt.json").exists()
    origin.content["archive"] = tarball(in_repository(FILES))
    fetch_dataset(entry, raw, patience=HASTY)
    assert there(raw) == FILES


def test_packed_archive_is_verified_by_md5_and_kept_packed(serve, tmp_path, write_entry):
    packed = b"a packed dataset" * 100
    origin, raw = serve({"d/set_128.npz": packed}), tmp_path / "raw"
    md5 = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    entry = write_entry(
        tmp_path, {"kind": "archive", "url": f"{origin.url}/d/set_128.npz", "md5": md5}, {}
    )
    fetch_dataset(entry, raw)
    assert there(raw) == {"set_128.npz": packed}
    assert receipt_of(raw)["files"][0]["sha256"] == hashlib.sha256(packed).hexdigest()
    origin.asked.clear()
    fetch_dataset(entry, raw)
    assert not origin.asked

    origin.content["d/set_128.npz"] = b"another" * 100
    with pytest.raises(FetchError, match=f"(?s)expected: md5 {md5}.*found: *md5 "):
        fetch_dataset(entry, tmp_path / "again", patience=HASTY)


def test_a_datasets_own_mirror_holds_its_archive(serve, tmp_path, tarball_entry):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/archive.tar.gz").write_bytes(tarball(in_repository(FILES)))
    origin = serve({})
    entry = tarball_entry(tmp_path, origin.url)
    fetch_dataset(entry, tmp_path / "raw", mirrors={"tiny": str(tmp_path / "own")})
    assert there(tmp_path / "raw") == FILES and origin.asked == []
