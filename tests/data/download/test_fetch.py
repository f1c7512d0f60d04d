"""Fetch against a real HTTP server on the loopback that can resume, break off, answer wrongly or
not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnbench.catalog import Entry, load_entry
from attnbench.data.download.fetch import fetch_dataset
from attnbench.data.download.http import Patience
from attnbench.errors import FetchError

HASTY = Patience(attempts=2, backoff_s=0.001, connect_s=2, read_s=2)
FILES = {
    "images/a 1%#ü.png": bytes(range(256)) * 1000,
    "images/b.png": b"picture b" * 50,
    "masks/b.png": b"mask of b" * 20,
    "LICENSE": b"free",
}
LONG = "images/a 1%#ü.png"


@pytest.fixture
def files_entry(write_entry) -> Callable[..., Entry]:
    """An entry whose files each have an address below `url`."""
    return lambda folder, url: write_entry(
        folder, {"kind": "files", "url": f"{url}/{{path}}"}, FILES
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


def dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- what a fetch leaves
# -----------------------------------------------------------------------------------------


def test_files_and_receipt(serve, tmp_path, files_entry):
    origin, raw = serve(FILES), tmp_path / "raw"
    fetch_dataset(files_entry(tmp_path, origin.url), raw)
    assert there(raw) == FILES
    receipt = receipt_of(raw)
    assert (receipt["dataset"], receipt["source"]) == ("tiny", "http://127.0.0.1/tiny")
    for row in receipt["files"]:
        data = FILES[row["path"]]
        assert (row["bytes"], row["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert row["source"].startswith(origin.url)
    assert not (raw / ".partial").exists()


def test_second_fetch_asks_nothing(serve, tmp_path, files_entry):
    origin, raw = serve(FILES), tmp_path / "raw"
    entry = files_entry(tmp_path, origin.url)
    fetch_dataset(entry, raw)
    origin.asked.clear()
    fetch_dataset(entry, raw)
    (raw / "receipt.json").unlink()
    fetch_dataset(entry, raw)
    assert not origin.asked
    assert len(receipt_of(raw)["files"]) == len(FILES)


@pytest.mark.parametrize(
    "remains", [b"", b"mask of b" * 19 + b"MASK OF B"], ids=["truncated", "changed"]
)
def test_only_the_wrong_file_is_fetched_again(serve, tmp_path, remains, files_entry):
    origin, raw = serve(FILES), tmp_path / "raw"
    entry = files_entry(tmp_path, origin.url)
    fetch_dataset(entry, raw)
    origin.asked.clear()
    (raw / "masks/b.png").write_bytes(remains)
    (raw / "receipt.json").unlink()
    fetch_dataset(entry, raw)
    assert origin.count() == {"masks/b.png": 1}
    assert there(raw) == FILES


def test_a_receipt_does_not_hide_a_lost_file(serve, tmp_path, files_entry):
    origin, raw = serve(FILES), tmp_path / "raw"
    entry = files_entry(tmp_path, origin.url)
    fetch_dataset(entry, raw)
    (raw / "LICENSE").unlink()
    fetch_dataset(entry, raw)
    assert there(raw) == FILES


def test_wrong_file_loses_its_name_even_when_it_cannot_be_fetched_again(
    serve, tmp_path, files_entry
):
    origin, raw = serve(FILES), tmp_path / "raw"
    entry = files_entry(tmp_path, origin.url)
    fetch_dataset(entry, raw)
    (raw / "LICENSE").write_bytes(b"cut")
    del origin.content["LICENSE"]
    with pytest.raises(FetchError, match="LICENSE"):
        fetch_dataset(entry, raw, patience=HASTY)
    assert there(raw) == {path: data for path, data in FILES.items() if path != "LICENSE"}
    assert not (raw / "receipt.json").exists()


def test_embedded_dataset_has_a_receipt_and_no_files(tmp_path):
    fetch_dataset(load_entry("phantom2d"), tmp_path, offline=True)
    stated = {"dataset": "phantom2d", "source": "embedded", "files": []}
    assert receipt_of(tmp_path).items() >= stated.items()
    assert there(tmp_path) == {}


# --- trouble that passes
# -----------------------------------------------------------------------------------------


def test_broken_connection_is_resumed_where_it_broke(serve, tmp_path, files_entry):
    origin, raw = serve(FILES, break_after={LONG: 150_000}), tmp_path / "raw"
    fetch_dataset(files_entry(tmp_path, origin.url), raw, patience=HASTY)
    first, second = (wanted for path, wanted in origin.asked if path == LONG)
    assert first is None
    assert 50_000 < int(second.removeprefix("bytes=").removesuffix("-")) <= 150_000
    assert there(raw) == FILES


def test_server_without_ranges_starts_over(serve, tmp_path, files_entry):
    origin, raw = serve(FILES, ranges=False, break_after={LONG: 150_000}), tmp_path / "raw"
    fetch_dataset(files_entry(tmp_path, origin.url), raw, patience=HASTY)
    assert there(raw) == FILES


@pytest.mark.parametrize("status", [429, 503])
def test_busy_server_is_asked_again(serve, tmp_path, status, files_entry):
    origin, raw = serve(FILES, status={"LICENSE": [status]}), tmp_path / "raw"
    fetch_dataset(files_entry(tmp_path, origin.url), raw, patience=HASTY)
    assert there(raw) == FILES


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    length=st.integers(0, 2 * len(FILES[LONG])),
    honest=st.booleans(),
    ranges=st.booleans(),
)
def test_whatever_an_interrupted_fetch_left(serve, files_entry, length, honest, ranges):
    """A partial file of any length, with the right bytes or others, never decides what arrives."""
    origin = serve(FILES, ranges=ranges)
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder) / "raw/.partial" / LONG
        partial.parent.mkdir(parents=True)
        partial.write_bytes((FILES[LONG] * 2)[:length] if honest else b"x" * length)
        fetch_dataset(files_entry(Path(folder), origin.url), Path(folder) / "raw", patience=HASTY)
        assert there(Path(folder) / "raw") == FILES


# --- trouble that stays
# ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bytes_served", "status", "found"),
    [
        (FILES["masks/b.png"][:-7], [], "173 bytes"),
        (
            b"M" + FILES["masks/b.png"][1:],
            [],
            hashlib.sha256(b"M" + FILES["masks/b.png"][1:]).hexdigest(),
        ),
        (FILES["masks/b.png"], [404], "404"),
        (FILES["masks/b.png"], [503] * 2, "503"),
    ],
    ids=["truncated", "wrong bytes", "gone", "broken server"],
)
def test_error_says_what_where_and_a_rerun_continues(
    serve, tmp_path, bytes_served, status, found, files_entry
):
    origin, raw = (
        serve(FILES | {"masks/b.png": bytes_served}, status={"masks/b.png": status}),
        tmp_path / "raw",
    )
    entry = files_entry(tmp_path, origin.url)
    with pytest.raises(FetchError) as caught:
        fetch_dataset(entry, raw, patience=HASTY)
    digest = hashlib.sha256(FILES["masks/b.png"]).hexdigest()
    for part in (
        "masks/b.png",
        "180 bytes",
        digest,
        found,
        f"{origin.url}/masks/b.png",
        "data.mirror",
    ):
        assert part in str(caught.value)
    assert there(raw) == {path: data for path, data in FILES.items() if path != "masks/b.png"}
    assert not (raw / "receipt.json").exists()

    origin.content["masks/b.png"] = FILES["masks/b.png"]
    origin.asked.clear()
    fetch_dataset(entry, raw, patience=HASTY)
    assert origin.count() == {"masks/b.png": 1}
    assert there(raw) == FILES


def test_dead_host_is_named(tmp_path, files_entry):
    origin = f"http://127.0.0.1:{dead_port()}"
    with pytest.raises(
        FetchError, match=r"(?s)4 of 4 files.*no answer.*refused.*check the network"
    ) as caught:
        fetch_dataset(files_entry(tmp_path, origin), tmp_path / "raw", patience=HASTY)
    assert origin in str(caught.value)
    assert there(tmp_path / "raw") == {}


def test_source_that_fails_again_and_again_is_left_alone(serve, tmp_path, write_entry):
    many = {f"{number}.png": b"%d" % number for number in range(200)}
    origin = serve({})
    entry = write_entry(tmp_path, {"kind": "files", "url": f"{origin.url}/{{path}}"}, many)
    with pytest.raises(FetchError, match="200 of 200"):
        fetch_dataset(entry, tmp_path / "raw", patience=HASTY)
    assert len(origin.asked) < 50


# --- mirror ---------------------------------------------------------------------------------------


def in_mirror(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"tiny/files/{path}": data for path, data in files.items()}


def write_mirror(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in in_mirror(files).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def test_mirror_comes_first(serve, tmp_path, files_entry):
    origin, mirror = serve(FILES), serve(in_mirror(FILES))
    fetch_dataset(files_entry(tmp_path, origin.url), tmp_path / "raw", mirror=mirror.url + "/")
    assert there(tmp_path / "raw") == FILES
    assert not origin.asked


def test_mirror_folder_and_environment(serve, tmp_path, monkeypatch, files_entry):
    origin = serve(FILES)
    monkeypatch.setenv("ATTNBENCH_MIRROR", str(write_mirror(tmp_path / "mirror", FILES)))
    fetch_dataset(files_entry(tmp_path, origin.url), tmp_path / "raw", offline=True)
    assert there(tmp_path / "raw") == FILES
    assert not origin.asked


def test_mirror_of_the_study_beats_the_environment(serve, tmp_path, monkeypatch, files_entry):
    mirror, other = serve(in_mirror(FILES)), serve(in_mirror(FILES))
    monkeypatch.setenv("ATTNBENCH_MIRROR", other.url)
    fetch_dataset(files_entry(tmp_path, serve({}).url), tmp_path / "raw", mirror=mirror.url)
    assert not other.asked


def test_what_the_mirror_lacks_or_has_wrong_comes_from_the_origin(
    serve, tmp_path, caplog, files_entry
):
    held = in_mirror(FILES) | {"tiny/files/LICENSE": b"evil"}
    del held["tiny/files/images/b.png"]
    origin, mirror = serve(FILES), serve(held)
    with caplog.at_level(logging.WARNING):
        fetch_dataset(files_entry(tmp_path, origin.url), tmp_path / "raw", mirror=mirror.url)
    assert there(tmp_path / "raw") == FILES
    assert origin.count() == {"LICENSE": 1, "images/b.png": 1}
    assert mirror.url in caplog.text


@pytest.mark.parametrize("at", ["folder", "url"])
def test_a_datasets_own_mirror_holds_its_paths_and_comes_before_all(
    serve, tmp_path, files_entry, at
):
    """Of several sources each is asked for what those before it lack."""
    held = {LONG: FILES[LONG], "LICENSE": b"evil"}
    common, origin = serve(in_mirror({"images/b.png": FILES["images/b.png"]})), serve(FILES)
    for path, data in held.items():
        (tmp_path / "own" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / path).write_bytes(data)
    own = str(tmp_path / "own") if at == "folder" else serve(held).url
    entry = files_entry(tmp_path, origin.url)
    fetch_dataset(entry, tmp_path / "raw", common.url, mirrors={"tiny": own, "other": "nowhere"})
    assert there(tmp_path / "raw") == FILES
    assert LONG not in origin.count() and f"tiny/files/{LONG}" not in common.count()
    assert {*origin.count()} == {"masks/b.png", "LICENSE"}


def test_an_own_mirror_that_is_no_address_is_refused(tmp_path, files_entry):
    with pytest.raises(FetchError, match=r"data\.mirrors: 'ftp://a' is neither"):
        fetch_dataset(
            files_entry(tmp_path, "http://127.0.0.1"), tmp_path / "raw", mirrors={"tiny": "ftp://a"}
        )


def test_dead_mirror_gives_way_to_the_origin(serve, tmp_path, files_entry):
    mirror = f"http://127.0.0.1:{dead_port()}"
    fetch_dataset(
        files_entry(tmp_path, serve(FILES).url), tmp_path / "raw", mirror=mirror, patience=HASTY
    )
    assert there(tmp_path / "raw") == FILES


def test_offline_never_leaves_the_mirror(serve, tmp_path, files_entry):
    origin, mirror = serve(FILES), serve({})
    with pytest.raises(FetchError, match="404"):
        fetch_dataset(
            files_entry(tmp_path, origin.url),
            tmp_path / "raw",
            mirror.url,
            offline=True,
            patience=HASTY,
        )
    assert not origin.asked


def test_offline_without_mirror_says_what_to_set(serve, tmp_path, files_entry):
    origin = serve(FILES)
    with pytest.raises(FetchError, match=r"data\.offline.*data\.mirror.*ATTNBENCH_MIRROR"):
        fetch_dataset(files_entry(tmp_path, origin.url), tmp_path / "raw", offline=True)
    assert not origin.asked


def test_mirror_that_is_no_address_is_refused(serve, tmp_path, files_entry):
    with pytest.raises(FetchError, match="ftp://host"):
        fetch_dataset(
            files_entry(tmp_path, serve(FILES).url), tmp_path / "raw", mirror="ftp://host"
        )
