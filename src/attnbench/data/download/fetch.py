"""Verified originals of a dataset in its raw folder, and the receipt that they are all there."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from attnbench.addresses import without_secrets
from attnbench.catalog import EmbeddedOrigin, Entry, LocalOrigin
from attnbench.data.download.http import Patience
from attnbench.data.download.mirror import Source, sources
from attnbench.data.download.parallel import Download, Failure
from attnbench.data.download.progress import show_progress
from attnbench.data.download.receipt import read_receipt, write_receipt
from attnbench.data.download.staged import STAGING, VERSIONS, own_disk, refuse_links
from attnbench.data.download.wanted import (
    LOCK,
    RECEIPT,
    Wanted,
    has_size,
    mismatch,
    most_bytes,
    wanted_files,
)
from attnbench.errors import FetchError
from attnbench.files import sha256_of
from attnbench.locks import exclusive

SHOWN_FAILURES = 3
SHOWN_LOCAL = 10
KEPT = "kept from an earlier download"
_PATIENCE = Patience()
_log = logging.getLogger(__name__)


def fetch_dataset(
    entry: Entry,
    raw: Path,
    mirror: str | None = None,
    offline: bool = False,
    mirrors: Mapping[str, str] | None = None,
    patience: Patience = _PATIENCE,
) -> None:
    """Bring a dataset's files to `raw`, each verified before it gets its name; the receipt last.

    Files that are already there and right are kept, partial ones resumed where the server allows
    it. Of several processes with the same `raw` one works, and the others take what it has got.

    Args:
        entry: the dataset's catalog entry.
        raw: folder of the originals and of `receipt.json`.
        mirror: URL or folder that is tried before the origin; else the environment's
            ATTNBENCH_MIRROR.
        offline: never go to the origin, nor to another host than a mirror's.
        mirrors: URL or folder by dataset or family; this dataset's is tried before all others.
        patience: how often and how long to try.

    Raises:
        FetchError: a file is missing still; what was verified until then stays.
    """
    wanted = wanted_files(entry)
    # A user's own files may change at any time: they are verified whenever they are asked for.
    own = isinstance(entry.origin, LocalOrigin)
    if not own and _complete(raw / RECEIPT, wanted):
        return _still_complete(entry, raw, wanted)
    with own_disk(raw):
        raw.mkdir(parents=True, exist_ok=True)
        with exclusive(raw / LOCK, f"fetch {entry.name}"):
            if not own and _complete(raw / RECEIPT, wanted):
                return _still_complete(entry, raw, wanted)
            (raw / RECEIPT).unlink(missing_ok=True)
            if isinstance(entry.origin, EmbeddedOrigin):
                source, rows = "embedded", []
            elif isinstance(entry.origin, LocalOrigin):
                _verify_local(entry.name, entry.origin.folder, wanted)
                source = entry.origin.page
                rows = [_receipt_row(entry.origin.folder, item, "local") for item in wanted]
            else:
                refuse_links(raw, (item.path for item in wanted))
                refuse_links(raw / STAGING, (item.path for item in wanted))
                refuse_links(raw, (f"{STAGING}/{VERSIONS}/any",))
                came_from = {item.path: KEPT for item in wanted if _keep(raw, item)}
                if len(came_from) < len(wanted):
                    tried = sources(entry, mirror, offline, mirrors or {})
                    _download(entry, wanted, raw, tried, patience, came_from)
                source = without_secrets(entry.origin.page)
                rows = [_receipt_row(raw, item, came_from[item.path]) for item in wanted]
                shutil.rmtree(raw / STAGING, ignore_errors=True)
            write_receipt(raw / RECEIPT, entry.name, source, rows)
    _log.info("%s: %d files verified", entry.name, len(rows))


def _still_complete(entry: Entry, raw: Path, wanted: Sequence[Wanted]) -> None:
    """Say so, and when: a receipt older than a changed entry would be asked for for ever."""
    # A folder that others share may not be ours to write to.
    with suppress(OSError):
        os.utime(raw / RECEIPT)
    _log.info("%s: complete, %d files", entry.name, len(wanted))


def _verify_local(name: str, folder: Path, wanted: Sequence[Wanted]) -> None:
    """Compare a user's files with their list; `FetchError` names those that differ."""
    if not folder.is_dir():
        raise FetchError(
            f"{name}: {folder}: no such folder, where the dataset was added from; if its files "
            f"were moved, write the new place as `folder` under `origin` in {name}.yaml"
        )
    problems = []
    for item in wanted:
        file = folder / item.path
        problem = mismatch(file, item) if file.is_file() else "no such file"
        if problem:
            problems.append(f"{item.path}: expected {item}, found {problem}")
    if problems:
        shown = problems[:SHOWN_LOCAL]
        if len(problems) > SHOWN_LOCAL:
            shown.append(f"and {len(problems) - SHOWN_LOCAL} more")
        lines = "\n  ".join(shown)
        raise FetchError(
            f"{name}: {len(problems)} of {len(wanted)} files in {folder} are not as they were when "
            f"the dataset was added:\n  {lines}\n"
            "if that is meant, add the dataset again (`attnbench dataset add ... --replace`); "
            "files that came with the package come back when it is installed again"
        )


def _download(
    entry: Entry,
    wanted: Sequence[Wanted],
    raw: Path,
    tried: Sequence[Source],
    patience: Patience,
    came_from: dict[str, str],
) -> None:
    """Go through the sources until nothing is missing; `FetchError` if something still is."""
    name, failures = entry.name, list[Failure]()
    with show_progress(name, len(wanted), len(came_from)) as progress:
        download = Download(raw, patience, progress, came_from, most_bytes(entry))
        for source in tried:
            missing = [item for item in wanted if item.path not in came_from]
            failed = download.take(source, missing) if missing else []
            if failed and source is not tried[-1]:
                _log.warning(
                    "%s: the %s failed, going on with the next source: %s",
                    name,
                    source.name,
                    failed[0],
                )
            failures += failed
    missing = [item for item in wanted if item.path not in came_from]
    if missing:
        raise FetchError(_report(name, missing, failures, len(came_from)))


def _report(name: str, missing: Sequence[Wanted], failures: Sequence[Failure], kept: int) -> str:
    """Tell a person what is needed; a dead source is named once, not for every file."""
    paths = {item.path for item in missing}
    by_cause = {
        failure.error.found if failure.error.dead else str(failure): failure for failure in failures
    }
    relevant = [failure for failure in by_cause.values() if failure.item.path in paths] or list(
        failures
    )
    shown = "\n  ".join(map(str, relevant[:SHOWN_FAILURES]))
    return (
        f"{name}: {len(missing)} of {len(missing) + kept} files could not be fetched, among "
        f"them\n  {shown}\n"
        f"then run again: the {kept} verified files are kept"
    )


def _keep(raw: Path, item: Wanted) -> bool:
    """Return whether an earlier download left the right file; remove a wrong one."""
    file = raw / item.path
    if not file.exists():
        return False
    if file.is_dir():
        raise FetchError(f"{file}: a folder is where a file is to be; remove it")
    problem = mismatch(file, item) if file.is_file() else "a pipe or device"
    if problem:
        _log.warning("%s: expected %s, found %s; removed, to be fetched again", file, item, problem)
        file.unlink()
    return not problem


def _receipt_row(raw: Path, item: Wanted, source: str) -> dict[str, Any]:
    file = raw / item.path
    digests = {
        "sha256": item.digest if item.algorithm == "sha256" else sha256_of(file),
        item.algorithm: item.digest,
    }
    return {"path": item.path, "bytes": file.stat().st_size, **digests, "source": source}


def _complete(receipt: Path, wanted: Sequence[Wanted]) -> bool:
    """Return whether the receipt lists just the wanted files, and all are there in its sizes and
    were not written since; what cannot be read is no receipt.
    """
    try:
        written = receipt.stat().st_mtime_ns
        rows = read_receipt(receipt)
    except OSError:
        return False
    except FetchError as error:
        _log.warning("%s; verified anew", error)
        return False
    return rows.keys() == {item.path for item in wanted} and all(
        rows[item.path].get(item.algorithm) == item.digest
        and has_size(receipt.parent / item.path, rows[item.path]["bytes"])
        and (receipt.parent / item.path).stat().st_mtime_ns <= written
        for item in wanted
    )
