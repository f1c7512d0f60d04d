"""The scores of all runs in one table."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO

from attnbench.errors import DataError, listed
from attnbench.files import hash_of, whole_file
from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.scoring.rows import Tested, part_of_run, refuse_wrong_rows
from attnbench.seals import Seal, write_seal
from attnbench.study.paths import STAGES, Run
from attnbench.study.settings import Study
from attnbench.training.sealed import job_of, remedy_of, sealed_files, settings_of
from attnbench.training.stamp import identities, read_facts, refuse_other

log = logging.getLogger(__name__)


def gather_scores(study: Study) -> tuple[Run, ...]:
    """Join the `scores.csv` of all finished runs into one table, and seal it; return the missing
    runs.

    Raises:
        DataError: no run is finished, or a file has not exactly the rows that it should have.
        SealError: a file is not as its job left it, or that of another run, recipe or data.
    """
    layout, tested = study.layout, Tested(study)
    missing = join_scores(
        layout.scores,
        SCORE_COLUMNS,
        ((run, layout.run(run) / "scores.csv") for run in study.runs()),
        lambda run, path: check_scores(tested, run, path),
    )
    write_seal(layout.seal("gather"), layout.output, [layout.scores], table_stamp(study))
    return missing


def check_scores(tested: Tested, run: Run, path: Path) -> None:
    """Refuse a run's `scores.csv` that is another's, of other data or weights, or not whole.

    Raises:
        DataError: as `refuse_wrong_rows`.
        SealError: as `sealed_files`.
    """
    seal = sealed_files(tested.study, run, path.name, expected=tested.hashes(run))
    remedy = remedy_of(run, job_of(tested.study, run, path.name))
    refuse_other_weights(tested.study, run, seal)
    refuse_wrong_rows(path, SCORE_COLUMNS, [part_of_run(tested, run)], remedy)


def refuse_other_weights(study: Study, run: Run, seal: Seal) -> None:
    """Refuse what was made with other weights than those that the run has, where it has some."""
    facts = study.layout.run(run) / STAGES["train"]
    if "weights_sha256" in seal.stamp and facts.is_file():
        sealed_files(study, run, facts.name)
        stated = {"weights_sha256": read_facts(facts).get("weights_sha256")}
        (file, *_) = seal.files
        refuse_other(seal.stamp, stated, study.layout.output / file, remedy_of(run, "predict"))


def table_stamp(study: Study, runs: Iterable[Run] | None = None) -> dict[str, str]:
    """What a table of scores belongs to: its planned runs with their recipes, and how they are
    predicted and scored.

    Args:
        study: that of the table.
        runs: by default all runs that `scores.csv` has.
    """
    planned = identities(study, study.runs() if runs is None else runs)
    recipes = {str(run): {**of_run} for run, of_run in planned.items()}
    return {"runs_hash": hash_of(recipes), **settings_of(study, "score")}


def join_scores(
    table: Path,
    columns: Sequence[str],
    files: Iterable[tuple[Run, Path]],
    check: Callable[[Run, Path], None],
    facts: Sequence[str] = (),
) -> tuple[Run, ...]:
    """Join the runs' files of scores into `table`; return the runs that are missing.

    Files are copied byte for byte in their order, so memory does not grow with the study.
    Missing runs are named in the log.

    Args:
        table: the file to write.
        columns: header of every file.
        files: the runs, each with its file of scores.
        check: raises where such a file is not what it should be.
        facts: keys of the `run.json` beside the scores that every row gets at its end.

    Raises:
        DataError: no run is finished, or as `check`.
    """
    missing: list[Run] = []
    finished = 0
    with whole_file(table) as temporary, temporary.open("wb") as joined:
        joined.write(",".join((*columns, *facts)).encode() + b"\n")
        for run, path in files:
            if not path.is_file():
                missing.append(run)
                continue
            check(run, path)
            of_run = read_facts(path.with_name("run.json")) if facts else {}
            end = "".join(f",{of_run[name]}" for name in facts)
            with path.open("rb") as scores:
                scores.readline()
                _append(scores, joined, end.encode())
            finished += 1
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


def _append(scores: IO[bytes], joined: IO[bytes], end: bytes) -> None:
    if not end:
        shutil.copyfileobj(scores, joined)
        return
    joined.writelines(line.rstrip(b"\r\n") + end + b"\n" for line in scores)
