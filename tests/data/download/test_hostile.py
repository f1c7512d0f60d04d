"""A share of what `tests/robust/test_downloads.py` has in full, and what holds whoever asks."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import time
from pathlib import Path

import pytest
from downloads import (
    GOOD,
    HASTY,
    archive_is_safe,
    entry_of,
    fault_is_survived,
    mirror_is_survived,
    name_is_safe,
    outcome,
)
from hostile_archives import ADDRESSES, ARCHIVES, NAMES, everything_in, member, packed
from hostile_servers import CONTENT, FAULTS, OTHER, Link, running, whole
from hypothesis import given
from hypothesis import strategies as st

from attnbench.addresses import hide_secrets, without_secrets
from attnbench.catalog import ArchiveOrigin, TarballOrigin, load_entry
from attnbench.catalog.listing import list_families
from attnbench.data.download.fetch import fetch_dataset
from attnbench.data.download.http import LONGEST_WAIT_S, asked_wait
from attnbench.data.download.progress import show_progress
from attnbench.data.download.unpack import unpack
from attnbench.data.download.wanted import UNLISTED, Wanted, most_bytes
from attnbench.errors import FetchError

FEW_FAULTS = (
    *("silent within the body", "a byte of the head at a time", "a byte of the trailer at a time"),
    *("endless body without length", "endless body of a redirect", "less than announced"),
    *("packed bomb without length", "a redirect to half an address", "a wait in other digits"),
    *("another version at each try", "nothing more is to be had", "reset within the body"),
)
FEW_ARCHIVES = (
    *("out of the folder", "holes of 8 GB", "attributes of 30 MB", "a negative size"),
    *("a size by attributes", "noise that looks packed", "cut", "wrong, then right"),
)


def files_at(url: str, folder: Path) -> object:
    return entry_of(folder, {"kind": "files", "url": f"{url}/{{path}}"}, GOOD)


@pytest.mark.parametrize("name", FEW_FAULTS)
def test_a_fault_of_a_server(tmp_path, name):
    fault_is_survived(tmp_path, FAULTS[name], "files")


def test_a_fault_where_no_size_is_listed(tmp_path):
    fault_is_survived(tmp_path, FAULTS["endless body in chunks"], "archive")


@pytest.mark.parametrize("name", FEW_ARCHIVES)
def test_an_archive(tmp_path, name):
    archive_is_safe(tmp_path, ARCHIVES[name]())


@pytest.mark.parametrize("address", ADDRESSES[::3], ids=ascii)
def test_an_address(tmp_path, address, caplog):
    mirror_is_survived(tmp_path, address, False, caplog)


@pytest.mark.parametrize("names", NAMES[::2], ids=ascii)
def test_a_name_in_a_list_of_files(tmp_path, names):
    name_is_safe(tmp_path, names.split("|"))


def test_a_member_of_another_size_is_not_written(tmp_path):
    wanted = [Wanted("a.png", 450, "sha256", "0" * 64)]
    (tmp_path / "archive").write_bytes(packed(member("repo/a.png", b"x" * 5000)))
    missing = unpack(tmp_path / "archive", wanted, tmp_path / "staging", lambda *_: None)
    assert missing == {"a.png": "5000 bytes"} and not (tmp_path / "staging").exists()


@pytest.mark.parametrize(
    "names", ["a|A", "d/a|D/b|d", "\u00e4|a\u0308", "stra\u00dfe|STRASSE", "Receipt.json", "a|a/b"]
)
def test_names_that_are_one_file_somewhere_are_refused(tmp_path, names):
    files = dict.fromkeys(names.split("|"), CONTENT)
    entry = entry_of(tmp_path / "in", {"kind": "files", "url": "http://127.0.0.1:9/{path}"}, files)
    with pytest.raises(FetchError, match=r"one file on systems|both a file and a folder|of ours"):
        fetch_dataset(entry, tmp_path / "raw", patience=HASTY)


# --- secrets


def test_password_and_token_reach_the_server_and_nothing_else(tmp_path, caplog, monkeypatch):
    with running(whole) as mirror, caplog.at_level(logging.DEBUG, "attnbench"):
        place = f"http://me:hidden%2Fword@127.0.0.1:{mirror.port}/a?key=hidden-key"
        monkeypatch.setenv("ATTNBENCH_MIRROR", place)
        fetch_dataset(files_at("http://127.0.0.1:9", tmp_path / "in"), tmp_path / "raw")
        (head,) = mirror.heads
    assert head.startswith("GET /a/tiny/files/a.png?key=hidden-key HTTP/1.1")
    assert "Authorization: Basic bWU6aGlkZGVuL3dvcmQ=" in head  # me:hidden/word
    receipt = (tmp_path / "raw/receipt.json").read_text()
    source = json.loads(receipt)["files"][0]["source"]
    assert source == f"http://127.0.0.1:{mirror.port}/a/tiny/files/a.png?..."
    assert "hidden" not in receipt + caplog.text


def test_an_error_has_no_secrets(tmp_path):
    with running(FAULTS["reset at once"]) as mirror:
        place = f"http://me:hidden-word@127.0.0.1:{mirror.port}/a?key=hidden-key"
        error = outcome(
            lambda: fetch_dataset(
                files_at("http://127.0.0.1:9", tmp_path / "in"),
                *(tmp_path / "raw", place, True),
                patience=HASTY,
            )
        )
    assert f"http://127.0.0.1:{mirror.port}/a/tiny/files/a.png?..." in str(error)
    assert "hidden" not in str(error)


def to(place: str):
    return lambda link: link.say("302 Found", Location=place, Content_Length=0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_password_is_not_sent_on_to_another_host(tmp_path, host):
    """By the address it is another host; on the same, another port is another server, too."""
    with running(whole) as other, running(to(f"http://{host}:{other.port}/x")) as mirror:
        place = f"http://me:hidden-word@127.0.0.1:{mirror.port}"
        fetch_dataset(files_at("http://127.0.0.1:9", tmp_path / "in"), tmp_path / "raw", place)
    assert "Authorization" in mirror.heads[0] and "Authorization" not in other.heads[0]


def test_a_redirect_on_the_same_server_keeps_the_password(tmp_path):
    def moved(link: Link) -> None:
        whole(link) if link.number else to("/elsewhere")(link)

    with running(moved) as mirror:
        place = f"http://me:hidden-word@127.0.0.1:{mirror.port}"
        fetch_dataset(files_at("http://127.0.0.1:9", tmp_path / "in"), tmp_path / "raw", place)
    assert all("Authorization" in head for head in mirror.heads) and len(mirror.heads) == 2


@pytest.mark.parametrize("key", ["mirror", "mirrors"])
def test_offline_follows_no_redirect_to_another_host(tmp_path, key):
    with running(whole) as other, running(to(f"http://localhost:{other.port}/x")) as mirror:
        given = {"mirror": mirror.url} if key == "mirror" else {"mirrors": {"tiny": mirror.url}}
        entry = files_at(other.url, tmp_path / "in")
        with pytest.raises(FetchError, match=r"another host \(localhost\)"):
            fetch_dataset(entry, tmp_path / "raw", offline=True, patience=HASTY, **given)
        assert not other.heads
        fetch_dataset(entry, tmp_path / "raw", patience=HASTY, **given)
        assert len(other.heads) == 1, "with the network allowed it does"


users = st.text(st.characters(codec="ascii", exclude_characters="/?#@:"), max_size=8)


@given(user=users, word=st.from_regex(r"[a-z0-9]{6,12}", fullmatch=True), kind=st.integers(0, 3))
def test_no_form_of_address_shows_its_secret(user, word, kind):
    address = (
        f"https://{user}:{word}-x@example/a",
        f"HTTP://{user}:{word}-x@example:80/a?b={word}-x#{word}-x",
        f"https://example/a?key={word}-x&b",
        f"https://{user}:{word}-x/y@example/a",
    )[kind]
    assert f"{word}-x" not in without_secrets(address)
    assert f"{word}-x" not in hide_secrets(f"no answer from {address} (/a?key={word}-x)", address)


# --- bounds


def test_a_bound_is_what_the_entry_says_and_a_quarter():
    """Every shipped dataset whose archive has no listed size says how large it is."""
    assert 400e6 < most_bytes(load_entry("msd_heart")) < 1.3 * 435e6
    families = [family[0] for family in list_families()]
    packed = [one for one in families if isinstance(one.origin, ArchiveOrigin | TarballOrigin)]
    assert len(packed) > 40 and all(most_bytes(entry) < 1.3 * 28e9 for entry in packed)
    assert most_bytes(load_entry("phantom2d")) == UNLISTED


@given(st.text() | st.from_regex(r"-?[0-9]{1,40}", fullmatch=True) | st.datetimes().map(str))
def test_whatever_a_server_asks_to_wait(said):
    assert 0 <= asked_wait(said) <= LONGEST_WAIT_S


def test_a_wait_by_number_or_date():
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    assert asked_wait("7") == 7 and 25 < asked_wait(soon) <= 30


def test_what_is_waited_for_is_said(caplog):
    with caplog.at_level(logging.INFO), show_progress("tiny", 1, 0, 0.05) as progress:
        with progress.waiting_for("example/a.png") as count:
            count(17)
            time.sleep(0.3)
        assert "tiny: no byte from example/a.png for 0 s, 17 until then" in caplog.text
        caplog.clear()
        time.sleep(0.2)
        assert caplog.text == "", "what is over is not waited for"


# --- resuming


def test_a_small_file_is_resumed_on_the_same_version_only(tmp_path):
    """1,000 of 3,000 bytes, then the rest: with the name of the version that they are of."""

    def halves(link: Link) -> None:
        start = link.start or 0
        status = "206 Partial Content" if start else "200 OK"
        said = {"Content_Range": f"bytes {start}-2999/3000"} if start else {}
        link.say(status, ETag='"v1"', Content_Length=3000 - start, **said)
        link.send(CONTENT[start : start + 1000])

    with running(halves) as origin:
        fetch_dataset(files_at(origin.url, tmp_path / "in"), tmp_path / "raw", patience=HASTY)
    assert (tmp_path / "raw/a.png").read_bytes() == CONTENT
    asked = [head for head in origin.heads if "Range: bytes=" in head]
    assert len(origin.heads) == 3 and len(asked) == 2
    assert "Range: bytes=1000-" in asked[0] and 'If-Range: "v1"' in asked[0]


def test_a_changed_file_is_not_glued_across_runs(tmp_path, caplog):
    """The first run has half of an old version; the server does not look at `If-Range`."""

    def old(link: Link) -> None:
        link.say(ETag='"old"', Content_Length=3000)
        link.send(OTHER[:1000])

    def new(link: Link) -> None:
        start = link.start or 0
        status = "206 Partial Content" if start else "200 OK"
        said = {"Content_Range": f"bytes {start}-2999/3000"} if start else {}
        link.say(status, ETag='"new"', Content_Length=3000 - start, **said)
        link.send(CONTENT[start:])

    served = [old]
    with running(lambda link: served[0](link)) as origin:
        entry = files_at(origin.url, tmp_path / "in")
        with pytest.raises(FetchError):
            fetch_dataset(entry, tmp_path / "raw", patience=HASTY)
        assert (tmp_path / "raw/.partial/a.png").read_bytes() == OTHER[:1000]
        served[0], before = new, len(origin.heads)
        with caplog.at_level(logging.INFO, "attnbench"):
            fetch_dataset(entry, tmp_path / "raw", patience=HASTY)
        assert "another version of the file than its first part is of" in caplog.text
        asked = origin.heads[before:]
    assert (tmp_path / "raw/a.png").read_bytes() == CONTENT
    assert 'If-Range: "old"' in asked[0] and "Range" not in asked[1] and len(asked) == 2


def test_a_file_that_is_there_but_for_its_name_is_not_asked_for(tmp_path):
    with running(whole) as origin:
        (tmp_path / "raw/.partial").mkdir(parents=True)
        (tmp_path / "raw/.partial/a.png").write_bytes(CONTENT)
        fetch_dataset(files_at(origin.url, tmp_path / "in"), tmp_path / "raw", patience=HASTY)
        assert origin.heads == []


def test_a_file_written_to_since_the_receipt_is_looked_at_again(tmp_path):
    with running(whole) as origin:
        entry, raw = files_at(origin.url, tmp_path / "in"), tmp_path / "raw"
        fetch_dataset(entry, raw)
        (raw / "a.png").write_bytes(OTHER)
        later = (raw / "receipt.json").stat().st_mtime_ns + 10**9
        os.utime(raw / "a.png", ns=(later, later))
        fetch_dataset(entry, raw)
        assert (raw / "a.png").read_bytes() == CONTENT and len(origin.heads) == 2


@pytest.mark.parametrize("receipt", ["", "{", "[]", '{"files": [3]}', '{"files": 3}', "\udcff"])
def test_a_receipt_that_is_none_is_written_anew(tmp_path, receipt):
    with running(whole) as origin:
        entry, raw = files_at(origin.url, tmp_path / "in"), tmp_path / "raw"
        fetch_dataset(entry, raw)
        kept = (raw / "receipt.json").read_bytes()
        (raw / "receipt.json").write_bytes(receipt.encode("utf-8", "surrogateescape"))
        fetch_dataset(entry, raw)
        again = json.loads((raw / "receipt.json").read_bytes())
        expected = json.loads(kept)
        expected["files"][0]["source"] = "kept from an earlier download"
        assert again.pop("receipt_sha256") != expected.pop("receipt_sha256")
        assert again == expected and len(origin.heads) == 1


# --- what lies in the folder already


@pytest.mark.parametrize("place", ["a.png", ".partial/a.png", "hard"])
def test_a_link_in_a_files_place_is_replaced_not_written_through(tmp_path, place):
    raw, outside = tmp_path / "raw", tmp_path / "outside"
    outside.write_bytes(OTHER[:500])
    (raw / ".partial").mkdir(parents=True)
    if place == "hard":
        os.link(outside, raw / ".partial/a.png")
    else:
        (raw / place).symlink_to(outside)
    with running(whole) as origin:
        fetch_dataset(files_at(origin.url, tmp_path / "in"), raw, patience=HASTY)
    assert outside.read_bytes() == OTHER[:500]
    assert everything_in(raw)["a.png"] == CONTENT and not (raw / "a.png").is_symlink()


@pytest.mark.parametrize("place", ["d", ".partial", ".partial/d", ".partial/.versions"])
@pytest.mark.parametrize("there", ["link", "file"])
def test_a_link_or_file_in_a_folders_place_is_named(tmp_path, place, there):
    raw = tmp_path / "raw"
    (tmp_path / "outside").mkdir()
    (raw / place).parent.mkdir(parents=True)
    if there == "link":
        (raw / place).symlink_to(tmp_path / "outside")
    else:
        (raw / place).write_bytes(b"mine")
    with running(whole) as origin:
        entry = entry_of(
            tmp_path / "in", {"kind": "files", "url": f"{origin.url}/{{path}}"}, {"d/a": CONTENT}
        )
        with pytest.raises(FetchError, match=f"{place}: a {there}"):
            fetch_dataset(entry, raw, patience=HASTY)
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("place", ["a.png", ".partial/a.png"])
def test_a_folder_in_a_files_place_is_named(tmp_path, place):
    (tmp_path / "raw" / place).mkdir(parents=True)
    with running(whole) as origin, pytest.raises(FetchError, match="a folder is where a file"):
        fetch_dataset(files_at(origin.url, tmp_path / "in"), tmp_path / "raw", patience=HASTY)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_mirrors_pipe_or_device_is_not_read(tmp_path, kind):
    (tmp_path / "mirror/tiny/files").mkdir(parents=True)
    place = tmp_path / "mirror/tiny/files/a.png"
    os.mkfifo(place) if kind == "pipe" else place.symlink_to("/dev/zero")
    with running(whole) as origin:
        entry = files_at(origin.url, tmp_path / "in")
        raw, mirror = tmp_path / "raw", str(tmp_path / "mirror")
        assert outcome(lambda: fetch_dataset(entry, raw, mirror, patience=HASTY)) is None
    assert (tmp_path / "raw/a.png").read_bytes() == CONTENT


def test_a_full_or_closed_disk_is_not_taken_for_a_fault_of_the_source(tmp_path, monkeypatch):
    if os.geteuid() == 0:
        raw = Path("/proc/attnbench")  # where nobody may make a folder
    else:
        (tmp_path / "closed").mkdir(mode=0o500)
        raw = tmp_path / "closed/raw"
    with running(whole) as origin, pytest.raises(FetchError, match="can be written to"):
        fetch_dataset(files_at(origin.url, tmp_path / "in"), raw, patience=HASTY)
    assert origin.heads == []


# --- several processes


def _fetch(folder: Path, raw: Path, url: str, results: multiprocessing.Queue) -> None:
    try:
        fetch_dataset(files_at(url, folder), raw)
        results.put(None)
    except BaseException as error:
        results.put(repr(error))


def test_several_processes_share_a_folder(tmp_path):
    def slow(link: Link) -> None:
        link.wait_a_little(0.5)
        whole(link)

    results: multiprocessing.Queue = multiprocessing.get_context("fork").Queue()
    with running(slow) as origin:
        work = [
            multiprocessing.get_context("fork").Process(
                target=_fetch,
                args=(tmp_path / f"in{number}", tmp_path / "raw", origin.url, results),
            )
            for number in range(4)
        ]
        for process in work:
            process.start()
        assert [results.get(timeout=60) for _ in work] == [None] * 4
        for process in work:
            process.join()
        assert len(origin.heads) == 1, "one works, the others take what it has got"
    assert set(everything_in(tmp_path / "raw")) == {"a.png", "receipt.json"}
