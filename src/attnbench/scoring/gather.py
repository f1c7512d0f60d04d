"""The scores of all runs in one table."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from attnbench.errors import DataError, listed
from attnbench.files import read_json, whole_file
from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.study.paths import Run
from attnbench.study.settings import Study

log = logging.getLogger(__name__)


def gather_scores(study: Study) -> tuple[Run, ...]:
    """Join the `scores.csv` of all finished runs into one table; return the missing runs."""
    layout = study.layout
    return join_scores(
        layout.scores,
        SCORE_COLUMNS,
        ((run, layout.run(run) / "scores.csv") for run in study.runs()),
    )


def join_scores(
    table: Path,
    columns: Sequence[str],
    files: Iterable[tuple[Run, Path]],
    facts: Sequence[str] = (),
) -> tuple[Run, ...]:
    """Join the runs' files of scores into `table`; return the runs that are missing.

    Files are copied byte for byte in their order, so memory does not grow with the study.
    Missing runs are named in the log.

    Args:
        table: the file to write.
        columns: header of every file.
        files: the runs, each with its file of scores.
        facts: keys of the `run.json` beside the scores that every row gets at its end.

    Raises:
        DataError: no run is finished, or a file has other columns.
    """
    missing: list[Run] = []
    finished = 0
    with whole_file(table) as temporary, temporary.open("wb") as joined:
        joined.write(",".join((*columns, *facts)).encode() + b"\n")
        for run, path in files:
            try:
                with path.open("rb") as scores:
                    _refuse_other_columns(scores, columns)
                    of_run = read_json(path.with_name("run.json")) if facts else {}
                    end = "".join(f",{of_run[name]}" for name in facts)
                    _append(scores, joined, end.encode())
                finished += 1
            except FileNotFoundError:
                missing.append(run)
        if not finished:
            raise DataError(
                f"{table.name}: none of the {len(missing)} runs has scores; the first would be "
                f"{missing[0]}"
            )
    if missing:
        log.warning(
            "%s: %d of %d runs have no scores yet: %s",
            table.name,
            len(missing),
            finished + len(missing),
            listed(missing),
        )
    log.info("%s: the scores of %d runs", table, finished)
    return tuple(missing)


def _refuse_other_columns(scores: IO[bytes], columns: Sequence[str]) -> None:
    header = scores.readline().decode(errors="replace").strip()
    if header != ",".join(columns):
        raise DataError(
            f"{scores.name}: has columns {header!r}, expected {','.join(columns)!r}; score the run "
            "again"
        )


def _append(scores: IO[bytes], joined: IO[bytes], end: bytes) -> None:
    if not end:
        shutil.copyfileobj(scores, joined)
        return
    joined.writelines(line.rstrip(b"\r\n") + end + b"\n" for line in scores)
