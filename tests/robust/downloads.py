"""What holds for a download whatever it meets; each function is a test of one hostile thing."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import re
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import yaml
from hostile_archives import LISTED, MEBI, everything_in
from hostile_servers import CONTENT, Fault, running, whole

from attnbench.catalog import Entry, read_entry
from attnbench.data.download.fetch import fetch_dataset
from attnbench.data.download.http import Patience
from attnbench.data.download.unpack import unpack
from attnbench.data.download.wanted import Wanted
from attnbench.errors import AttnBenchError

HASTY = Patience(
    attempts=2,
    backoff_s=0.001,
    connect_s=2,
    read_s=0.3,
    window_s=0.3,
    grace_s=3,
    slow_bytes_s=1_000_000,
)
GUARD_S = 60
FACTS = {
    "title": "t",
    "short": "t",
    "task": "t",
    "modality": "m",
    "ndim": 2,
    "channels": 1,
    "classes": {1: "blob"},
    "cases": 1,
    "groups": 1,
    "groups_inferred": False,
    "licence": "l",
    "citation": "c",
    "reader": "r",
    "axes": ["a", "b"],
    "mirror": {"axes": [], "reason": "e"},
    "download_mb": 0.001,
}


def entry_of(folder: Path, origin: dict[str, str], files: dict[str, bytes]) -> Entry:
    """An entry `tiny` with a list of `files`."""
    content = {"name": "tiny", **FACTS, "origin": {"page": "http://127.0.0.1/tiny", **origin}}
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    if files:
        table = io.StringIO()
        rows = csv.writer(table)
        rows.writerow(["path", "bytes", "sha256", "role", "case", "group"])
        for path, data in files.items():
            rows.writerow([path, len(data), hashlib.sha256(data).hexdigest(), "image", "c", "g"])
        text = table.getvalue().encode("utf-8", "surrogateescape")
        (folder / "tiny.files.csv").write_bytes(text)
    return read_entry(folder / "tiny.yaml")


def outcome(work: Callable[[], object]) -> AttnBenchError | None:
    """The error that `work` ends in, of those for a person; any other, or no end, is a failure."""
    ended: list[BaseException | None] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            ended.append(error)
        else:
            ended.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(GUARD_S)
    assert ended, "it does not end"
    if ended[0] is not None and not isinstance(ended[0], AttnBenchError):
        raise ended[0]
    return ended[0]


def fault_is_survived(folder: Path, fault: Fault, kind: str) -> None:
    """Alone the server gives the right bytes or an error that names it; else the next one does.

    Neither memory, disk nor time are what it decides.
    """

    def entry(name: str, url: str) -> Entry:
        if kind == "files":
            return entry_of(folder / name, {"kind": "files", "url": f"{url}/{{path}}"}, GOOD)
        md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
        return entry_of(folder / name, {"kind": "archive", "url": f"{url}/a.png", "md5": md5}, {})

    good, raw = {"a.png": CONTENT}, folder / "out" / "raw"
    with running(fault) as bad, running(whole) as origin:
        tiny = entry("alone", bad.url)
        tracemalloc.start()
        error = outcome(lambda: fetch_dataset(tiny, raw, patience=HASTY))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        left = everything_in(raw)
        if error is None:
            assert left.pop("receipt.json") and left == good
        else:
            assert "a.png" in str(error) and bad.url in str(error)
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", str(error))
            # A part that may be resumed is all that stays, no longer than what is wanted.
            assert "a.png" not in left and "receipt.json" not in left
        most = 1_100_000 if kind == "archive" else len(CONTENT)
        assert sum(len(data) for data in left.values()) <= most + 1000
        # The system buffers some megabytes of every connection.
        assert bad.sent[0] < 200 * MEBI and peak < 16 * MEBI

        tiny = entry("with another", origin.url)
        other = folder / "out" / "other"
        assert outcome(lambda: fetch_dataset(tiny, other, bad.url, patience=HASTY)) is None
        assert (other / "a.png").read_bytes() == CONTENT
        assert set(everything_in(other)) <= {"a.png", "receipt.json"}


GOOD = {"a.png": CONTENT}


def archive_is_safe(folder: Path, archive: bytes) -> None:
    """Of an archive only what is listed is taken, and neither memory nor disk are what it says."""
    wanted = [
        Wanted(path, len(data), "sha256", hashlib.sha256(data).hexdigest())
        for path, data in LISTED.items()
    ]
    inner = folder / "a" / "b" / "c"
    (inner / "raw").mkdir(parents=True)
    (folder / "archive").write_bytes(archive)
    del archive
    largest = 0

    def keep(item: Wanted, staged: Path) -> None:
        nonlocal largest
        largest = max(largest, *(path.stat().st_size for path in inner.rglob("*")))
        (inner / "raw" / item.path).parent.mkdir(exist_ok=True)
        staged.replace(inner / "raw" / item.path)

    missing: dict[str, str] = {}

    def work() -> None:
        missing.update(
            unpack(
                *(folder / "archive", wanted, inner / "staging", keep),
                most_members=10_000,
                slack_bytes=10 * MEBI,
            )
        )

    tracemalloc.start()
    error = outcome(work)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    left = everything_in(inner)
    taken = {path.removeprefix("raw/"): data for path, data in left.items()}
    assert taken.items() <= LISTED.items(), "nothing wrong, and nothing staged"
    assert error is not None or taken.keys() | missing.keys() == LISTED.keys()
    assert not taken.keys() & missing.keys()
    assert set(everything_in(folder)) == {"archive", *(f"a/b/c/{path}" for path in left)}
    assert peak < 16 * MEBI and largest < MEBI


def mirror_is_survived(folder: Path, mirror: str, offline: bool, caplog: object) -> None:
    """A mirror that cannot be gives way to the origin, or is named, and never by its password."""
    with running(whole) as origin, caplog.at_level(logging.DEBUG):
        tiny = entry_of(folder / "in", {"kind": "files", "url": f"{origin.url}/{{path}}"}, GOOD)
        raw = folder / "out"
        error = outcome(lambda: fetch_dataset(tiny, raw, mirror, offline, patience=HASTY))
        no_place = "://" in mirror and not mirror.lower().startswith("http")
        assert (error is None) == (not offline and not no_place)
        assert (len(origin.heads) > 0) == (error is None)
        said = f"{caplog.text}{error}"
        if error is None:
            assert (raw / "a.png").read_bytes() == CONTENT
            said += json.dumps(json.loads((raw / "receipt.json").read_text()))
        assert "hidden-word" not in said
        assert set(everything_in(folder / "in")) == {"tiny.yaml", "tiny.files.csv"}


def name_is_safe(folder: Path, names: list[str]) -> None:
    """A name stays in the folder, or the list of files is refused."""
    (folder / "beside").write_text("untouched")
    raw = folder / "out" / "raw"
    with running(whole) as origin:
        url = f"{origin.url}/{{path}}"

        def work() -> None:
            tiny = entry_of(
                folder / "in", {"kind": "files", "url": url}, dict.fromkeys(names, CONTENT)
            )
            fetch_dataset(tiny, raw, patience=HASTY)

        error = outcome(work)
    left = everything_in(folder / "out")
    if error is None:
        assert left.pop("raw/receipt.json")
        assert left == {f"raw/{name}": CONTENT for name in names}
    else:
        assert "tiny" in str(error) and not any(data == CONTENT for data in left.values())
    outside = {path for path in everything_in(folder) if not path.startswith(("in/", "out/raw/"))}
    assert outside == {"beside"}
