"""Fetch against a real HTTP server on the loopback that can resume, break off, answer wrongly or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import socket
import tarfile
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.catalog import Entry, load_entry, read_entry
from attnbench.data.fetch import fetch_dataset
from attnbench.data.transfer import Patience
from attnbench.errors import FetchError

HASTY = Patience(attempts=2, backoff_s=0.001, connect_s=2, read_s=2)
FILES = {
    "images/a 1%#ü.png": bytes(range(256)) * 1000,
    "images/b.png": b"picture b" * 50,
    "masks/b.png": b"mask of b" * 20,
    "LICENSE": b"free",
}
LONG = "images/a 1%#ü.png"


@dataclass
class Served:
    """What a server has, and what it was asked for."""

    content: dict[str, bytes]
    ranges: bool = True
    break_after: dict[str, int] = field(default_factory=dict)
    status: dict[str, list[int]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self) -> Counter[str]:
        return Counter(path for path, _ in self.asked)


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path).lstrip("/")
            wanted_range = self.headers.get("Range")
            served.asked.append((path, wanted_range))
            status = served.status.get(path, [])
            if status or path not in served.content:
                self.send_error(status.pop(0) if status else 404)
                return
            content, start = served.content[path], 0
            if wanted_range and served.ranges:
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted_range)[1])
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : served.break_after.pop(path, len(content))])

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Starts servers; `serve(content)` returns one that can be given faults while it runs."""
    servers = []

    def start(content: dict[str, bytes], **faults: object) -> Served:
        served = Served(dict(content), **faults)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
        served.port = server.server_port
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return served

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_mirror_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTNBENCH_MIRROR", raising=False)


def write_entry(folder: Path, origin: dict[str, str], files: dict[str, bytes]) -> Entry:
    """A catalog entry `tiny` whose listing holds `files`."""
    folder.mkdir(exist_ok=True)
    facts = {"title": "t", "task": "t", "modality": "m", "ndim": 2, "channels": 1, "classes": {1: "blob"}}
    facts |= {"cases": 1, "groups": 1, "groups_inferred": False, "licence": "l", "citation": "c", "reader": "r"}
    content = {"name": "tiny", **facts, "origin": {"page": "http://127.0.0.1/tiny", **origin}}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    if files:
        rows = [f'"{path}",{len(data)},{hashlib.sha256(data).hexdigest()},image,c,g' for path, data in files.items()]
        listing = "\n".join(["path,bytes,sha256,role,case,group", *rows, ""])
        (folder / "tiny.files.csv").write_text(listing, encoding="utf-8")
    return read_entry(folder / "tiny.yaml")


def files_entry(folder: Path, served: Served) -> Entry:
    return write_entry(folder, {"kind": "files", "url": f"{served.url}/{{path}}"}, FILES)


def tarball(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def in_repository(files: dict[str, bytes]) -> dict[str, bytes]:
    return {"repo-0123abc/README": b"not listed"} | {f"repo-0123abc/{path}": data for path, data in files.items()}


def there(raw: Path) -> dict[str, bytes]:
    """Every file under a final name, the receipt apart."""
    found = (path.relative_to(raw) for path in raw.rglob("*") if path.is_file())
    return {str(path): (raw / path).read_bytes() for path in found if path.parts[0] not in (".partial", "receipt.json")}


def receipt_of(raw: Path) -> dict:
    return json.loads((raw / "receipt.json").read_text(encoding="utf-8"))


def dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- what a fetch leaves -----------------------------------------------------------------------------------------


def test_files_and_receipt(serve, tmp_path):
    origin, raw = serve(FILES), tmp_path / "raw"
    fetch_dataset(files_entry(tmp_path, origin), raw)
    assert there(raw) == FILES
    receipt = receipt_of(raw)
    assert (receipt["dataset"], receipt["source"]) == ("tiny", "http://127.0.0.1/tiny")
    for row in receipt["files"]:
        data = FILES[row["path"]]
        assert (row["bytes"], row["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert row["source"].startswith(origin.url)
    assert not (raw / ".partial").exists()


def test_second_fetch_asks_nothing(serve, tmp_path):
    origin, raw = serve(FILES), tmp_path / "raw"
    entry = files_entry(tmp_path, origin)
    fetch_dataset(entry, raw)
    origin.asked.clear()
    fetch_dataset(entry, raw)
    (raw / "receipt.json").unlink()
    fetch_dataset(entry, raw)
    assert not origin.asked
    assert len(receipt_of(raw)["files"]) == len(FILES)


@pytest.mark.parametrize("remains", [b"", b"mask of b" * 19 + b"MASK OF B"], ids=["truncated", "changed"])
def test_only_the_wrong_file_is_fetched_again(serve, tmp_path, remains):
    origin, raw = serve(FILES), tmp_path / "raw"
    entry = files_entry(tmp_path, origin)
    fetch_dataset(entry, raw)
    origin.asked.clear()
    (raw / "masks/b.png").write_bytes(remains)
    (raw / "receipt.json").unlink()
    fetch_dataset(entry, raw)
    assert origin.count() == {"masks/b.png": 1}
    assert there(raw) == FILES


def test_a_receipt_does_not_hide_a_lost_file(serve, tmp_path):
    origin, raw = serve(FILES), tmp_path / "raw"
    entry = files_entry(tmp_path, origin)
    fetch_dataset(entry, raw)
    (raw / "LICENSE").unlink()
    fetch_dataset(entry, raw)
    assert there(raw) == FILES


def test_wrong_file_loses_its_name_even_when_it_cannot_be_fetched_again(serve, tmp_path):
    origin, raw = serve(FILES), tmp_path / "raw"
    entry = files_entry(tmp_path, origin)
    fetch_dataset(entry, raw)
    (raw / "LICENSE").write_bytes(b"cut")
    del origin.content["LICENSE"]
    with pytest.raises(FetchError, match="LICENSE"):
        fetch_dataset(entry, raw, patience=HASTY)
    assert there(raw) == {path: data for path, data in FILES.items() if path != "LICENSE"}
    assert not (raw / "receipt.json").exists()


def test_embedded_dataset_has_a_receipt_and_no_files(tmp_path):
    fetch_dataset(load_entry("phantom2d"), tmp_path, offline=True)
    assert receipt_of(tmp_path) == {"dataset": "phantom2d", "source": "embedded", "files": []}
    assert there(tmp_path) == {}


# --- trouble that passes -----------------------------------------------------------------------------------------


def test_broken_connection_is_resumed_where_it_broke(serve, tmp_path):
    origin, raw = serve(FILES, break_after={LONG: 150_000}), tmp_path / "raw"
    fetch_dataset(files_entry(tmp_path, origin), raw, patience=HASTY)
    first, second = (wanted for path, wanted in origin.asked if path == LONG)
    assert first is None
    assert 50_000 < int(second.removeprefix("bytes=").removesuffix("-")) <= 150_000
    assert there(raw) == FILES


def test_server_without_ranges_starts_over(serve, tmp_path):
    origin, raw = serve(FILES, ranges=False, break_after={LONG: 150_000}), tmp_path / "raw"
    fetch_dataset(files_entry(tmp_path, origin), raw, patience=HASTY)
    assert there(raw) == FILES


@pytest.mark.parametrize("status", [429, 503])
def test_busy_server_is_asked_again(serve, tmp_path, status):
    origin, raw = serve(FILES, status={"LICENSE": [status]}), tmp_path / "raw"
    fetch_dataset(files_entry(tmp_path, origin), raw, patience=HASTY)
    assert there(raw) == FILES


@settings(max_examples=20, deadline=None)
@given(
    length=st.integers(0, 2 * len(FILES[LONG])),
    honest=st.booleans(),
    ranges=st.booleans(),
)
def test_whatever_an_interrupted_fetch_left(module_server, length, honest, ranges):
    """A partial file of any length, with the right bytes or others, never decides what arrives."""
    module_server.ranges = ranges
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder) / "raw/.partial" / LONG
        partial.parent.mkdir(parents=True)
        partial.write_bytes((FILES[LONG] * 2)[:length] if honest else b"x" * length)
        fetch_dataset(files_entry(Path(folder), module_server), Path(folder) / "raw", patience=HASTY)
        assert there(Path(folder) / "raw") == FILES


@pytest.fixture(scope="module")
def module_server() -> Iterator[Served]:
    served = Served(dict(FILES))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    served.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield served
    server.shutdown()
    server.server_close()


# --- trouble that stays ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bytes_served", "status", "found"),
    [
        (FILES["masks/b.png"][:-7], [], "173 bytes"),
        (b"M" + FILES["masks/b.png"][1:], [], hashlib.sha256(b"M" + FILES["masks/b.png"][1:]).hexdigest()),
        (FILES["masks/b.png"], [404], "404"),
        (FILES["masks/b.png"], [503] * 2, "503"),
    ],
    ids=["truncated", "wrong bytes", "gone", "broken server"],
)
def test_error_says_what_where_and_a_rerun_continues(serve, tmp_path, bytes_served, status, found):
    origin, raw = serve(FILES | {"masks/b.png": bytes_served}, status={"masks/b.png": status}), tmp_path / "raw"
    entry = files_entry(tmp_path, origin)
    with pytest.raises(FetchError) as caught:
        fetch_dataset(entry, raw, patience=HASTY)
    digest = hashlib.sha256(FILES["masks/b.png"]).hexdigest()
    for part in ("masks/b.png", "180 bytes", digest, found, f"{origin.url}/masks/b.png", "data.mirror"):
        assert part in str(caught.value)
    assert there(raw) == {path: data for path, data in FILES.items() if path != "masks/b.png"}
    assert not (raw / "receipt.json").exists()

    origin.content["masks/b.png"] = FILES["masks/b.png"]
    origin.asked.clear()
    fetch_dataset(entry, raw, patience=HASTY)
    assert origin.count() == {"masks/b.png": 1}
    assert there(raw) == FILES


def test_dead_host_is_named(tmp_path):
    origin = Served(FILES, port=dead_port())
    with pytest.raises(FetchError, match=r"(?s)4 of 4 files.*no answer.*refused.*check the network") as caught:
        fetch_dataset(files_entry(tmp_path, origin), tmp_path / "raw", patience=HASTY)
    assert origin.url in str(caught.value)
    assert there(tmp_path / "raw") == {}


def test_source_that_fails_again_and_again_is_left_alone(serve, tmp_path):
    many = {f"{number}.png": b"%d" % number for number in range(200)}
    origin = serve({})
    entry = write_entry(tmp_path, {"kind": "files", "url": f"{origin.url}/{{path}}"}, many)
    with pytest.raises(FetchError, match="200 of 200"):
        fetch_dataset(entry, tmp_path / "raw", patience=HASTY)
    assert len(origin.asked) < 50


# --- mirror ------------------------------------------------------------------------------------------------------


def in_mirror(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"tiny/files/{path}": data for path, data in files.items()}


def write_mirror(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in in_mirror(files).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def test_mirror_comes_first(serve, tmp_path):
    origin, mirror = serve(FILES), serve(in_mirror(FILES))
    fetch_dataset(files_entry(tmp_path, origin), tmp_path / "raw", mirror=mirror.url + "/")
    assert there(tmp_path / "raw") == FILES
    assert not origin.asked


def test_mirror_folder_and_environment(serve, tmp_path, monkeypatch):
    origin = serve(FILES)
    monkeypatch.setenv("ATTNBENCH_MIRROR", str(write_mirror(tmp_path / "mirror", FILES)))
    fetch_dataset(files_entry(tmp_path, origin), tmp_path / "raw", offline=True)
    assert there(tmp_path / "raw") == FILES
    assert not origin.asked


def test_mirror_of_the_study_beats_the_environment(serve, tmp_path, monkeypatch):
    mirror, other = serve(in_mirror(FILES)), serve(in_mirror(FILES))
    monkeypatch.setenv("ATTNBENCH_MIRROR", other.url)
    fetch_dataset(files_entry(tmp_path, serve({})), tmp_path / "raw", mirror=mirror.url)
    assert not other.asked


def test_what_the_mirror_lacks_or_has_wrong_comes_from_the_origin(serve, tmp_path, caplog):
    held = in_mirror(FILES) | {"tiny/files/LICENSE": b"evil"}
    del held["tiny/files/images/b.png"]
    origin, mirror = serve(FILES), serve(held)
    with caplog.at_level(logging.WARNING):
        fetch_dataset(files_entry(tmp_path, origin), tmp_path / "raw", mirror=mirror.url)
    assert there(tmp_path / "raw") == FILES
    assert origin.count() == {"LICENSE": 1, "images/b.png": 1}
    assert mirror.url in caplog.text


def test_dead_mirror_gives_way_to_the_origin(serve, tmp_path):
    mirror = f"http://127.0.0.1:{dead_port()}"
    fetch_dataset(files_entry(tmp_path, serve(FILES)), tmp_path / "raw", mirror=mirror, patience=HASTY)
    assert there(tmp_path / "raw") == FILES


def test_offline_never_leaves_the_mirror(serve, tmp_path):
    origin, mirror = serve(FILES), serve({})
    with pytest.raises(FetchError, match="404"):
        fetch_dataset(files_entry(tmp_path, origin), tmp_path / "raw", mirror.url, offline=True, patience=HASTY)
    assert not origin.asked


def test_offline_without_mirror_says_what_to_set(serve, tmp_path):
    origin = serve(FILES)
    with pytest.raises(FetchError, match=r"data\.offline.*data\.mirror.*ATTNBENCH_MIRROR"):
        fetch_dataset(files_entry(tmp_path, origin), tmp_path / "raw", offline=True)
    assert not origin.asked


def test_mirror_that_is_no_address_is_refused(serve, tmp_path):
    with pytest.raises(FetchError, match="ftp://host"):
        fetch_dataset(files_entry(tmp_path, serve(FILES)), tmp_path / "raw", mirror="ftp://host")


# --- archives ----------------------------------------------------------------------------------------------------


def tarball_entry(folder: Path, served: Served) -> Entry:
    return write_entry(folder, {"kind": "tarball", "url": f"{served.url}/archive"}, FILES)


def test_tarball_members_without_their_top_folder(serve, tmp_path):
    origin, raw = serve({"archive": tarball(in_repository(FILES))}), tmp_path / "raw"
    fetch_dataset(tarball_entry(tmp_path, origin), raw)
    assert there(raw) == FILES
    assert {row["source"] for row in receipt_of(raw)["files"]} == {f"{origin.url}/archive"}


def test_tarball_from_a_mirror_folder(tmp_path):
    (tmp_path / "mirror/tiny").mkdir(parents=True)
    (tmp_path / "mirror/tiny/archive.tar.gz").write_bytes(tarball(in_repository(FILES)))
    entry = tarball_entry(tmp_path, Served({}, port=dead_port()))
    fetch_dataset(entry, tmp_path / "raw", str(tmp_path / "mirror"), offline=True)
    assert there(tmp_path / "raw") == FILES


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_tarball_download_goes_on(serve, tmp_path, ranges):
    content = {"archive": tarball(in_repository(FILES))}
    origin = serve(content, ranges=ranges, break_after={"archive": 60})
    fetch_dataset(tarball_entry(tmp_path, origin), tmp_path / "raw", patience=HASTY)
    assert there(tmp_path / "raw") == FILES


@pytest.mark.parametrize(
    ("archive", "found"),
    [
        (tarball(in_repository(FILES))[:200], "cannot be read"),
        (b"<html>not an archive</html>", "cannot be read"),
        (tarball(in_repository({"LICENSE": b"evil"} | {k: v for k, v in FILES.items() if k != "LICENSE"})), "LICENSE"),
        (tarball(in_repository({k: v for k, v in FILES.items() if k != "LICENSE"})), "no such member"),
        (tarball({"../LICENSE": b"free"} | in_repository(FILES)), "leads out of its folder"),
    ],
    ids=["cut short", "no archive", "wrong member", "missing member", "traversal"],
)
def test_bad_tarball_is_named_and_a_rerun_continues(serve, tmp_path, archive, found):
    origin, raw = serve({"archive": archive}), tmp_path / "raw"
    entry = tarball_entry(tmp_path, origin)
    with pytest.raises(FetchError, match=found) as caught:
        fetch_dataset(entry, raw, patience=HASTY)
    assert f"{origin.url}/archive" in str(caught.value)
    assert there(raw).items() <= FILES.items()
    assert not (raw / "receipt.json").exists()
    origin.content["archive"] = tarball(in_repository(FILES))
    fetch_dataset(entry, raw, patience=HASTY)
    assert there(raw) == FILES


def test_packed_archive_is_verified_by_md5_and_kept_packed(serve, tmp_path):
    packed = b"a packed dataset" * 100
    origin, raw = serve({"d/set_128.npz": packed}), tmp_path / "raw"
    md5 = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    entry = write_entry(tmp_path, {"kind": "archive", "url": f"{origin.url}/d/set_128.npz", "md5": md5}, {})
    fetch_dataset(entry, raw)
    assert there(raw) == {"set_128.npz": packed}
    assert receipt_of(raw)["files"][0]["sha256"] == hashlib.sha256(packed).hexdigest()
    origin.asked.clear()
    fetch_dataset(entry, raw)
    assert not origin.asked

    origin.content["d/set_128.npz"] = b"another" * 100
    with pytest.raises(FetchError, match=f"(?s)expected: md5 {md5}.*found: *md5 "):
        fetch_dataset(entry, tmp_path / "again", patience=HASTY)
