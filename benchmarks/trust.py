"""What the statistics promise, and what they do in simulated studies whose truth is known.

Drives the functions that make the page, in the worlds of `unkind.py`. A row says how often a claim
was made that should not be (promise: at most 5 %), or how often one was found. `FAILED` rows end
the run with status 1; `shown` rows promise nothing, or fall short in a way that the docs state.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from platform import python_version
from time import perf_counter
from zlib import crc32

import numpy as np
import pandas as pd
import scipy
from scipy import stats

from benchmarks.trust_claims import Cell, Claim, Outcome, Row
from benchmarks.trust_phantoms import CLAIM, phantoms
from benchmarks.trust_rows import make_cells
from benchmarks.trust_study import Analysis
from benchmarks.unkind import simulate

CHUNK = 25
"""Studies that one process simulates at a time."""
CHANCE = 0.001
"""A kept promise of exactly 5 % fails its row with this probability: there are hundreds of rows."""
HEADER = ("claim", "world", "groups", "trainings", "promise", "found [95 % interval]", "verdict")

_cells: list[Cell] = []


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trust", description=__doc__)
    parser.add_argument("--studies", type=int, default=500, help="studies per row (default 500)")
    parser.add_argument("--rows", default="*", help="claims wanted, as a shell pattern")
    parser.add_argument("--full", action="store_true", help="every number of groups in every row")
    parser.add_argument("--minutes", type=float, default=np.inf, help="stop then, at fewer studies")
    parser.add_argument("--write", type=Path, help="write the table to this Markdown file")
    parser.add_argument("--processes", type=int, default=2, help="default 2")
    options = parser.parse_args()
    start = perf_counter()
    rows = run(options)
    if fnmatch(CLAIM, options.rows):
        rows += phantoms()
    rows += pooled(rows)
    sections, claims = ([key(row) for row in rows] for key in (section, lambda row: row.claim))
    rows.sort(key=lambda row: (sections.index(section(row)), claims.index(row.claim)))
    minutes = (perf_counter() - start) / 60
    for row in rows:
        print(f"{row.claim:58} {row.world:34} {row.groups:>3} {row.trainings:16} ", end="")
        print(f"{row.promise:8} {row.found:34} {row.verdict}")
    print(f"{minutes:.1f} minutes; {summary(rows)}")
    if options.write:
        options.write.write_text(markdown(rows, minutes), encoding="utf-8")
    return int(any(row.verdict == "FAILED" for row in rows))


def run(options: argparse.Namespace) -> list[Row]:
    """The rows of all claims that `options.rows` names."""
    start = perf_counter()
    for cell in make_cells():
        claims = tuple(claim for claim in cell.claims if fnmatch(claim.name, options.rows))
        if claims and (options.full or not cell.extra):
            _cells.append(replace(cell, claims=claims))
    # All cells go forward together, so that a run that is stopped has some studies of each.
    chunks = sorted(
        (start, index, min(CHUNK, number - start))
        for index, cell in enumerate(_cells)
        for number in [max(1, round(options.studies * cell.share))]
        for start in range(0, number, CHUNK)
    )
    found: list[list[list[Outcome]]] = [[[] for _ in cell.claims] for cell in _cells]
    # Forked, so that the processes have the cells, whose claims are functions.
    with multiprocessing.get_context("fork").Pool(options.processes) as pool:
        for index, outcomes in pool.imap_unordered(_chunk, chunks):
            for claim, some in zip(found[index], outcomes, strict=True):
                claim += some
            if perf_counter() - start > 60 * options.minutes:
                break
    return [
        to_row(cell, claim, outcomes)
        for cell, per_claim in zip(_cells, found, strict=True)
        for claim, outcomes in zip(cell.claims, per_claim, strict=True)
    ]


def _chunk(task: tuple[int, int, int]) -> tuple[int, list[list[Outcome]]]:
    """Outcomes of every claim of a cell in some studies, which depend on their numbers alone."""
    start, index, number = task
    cell = _cells[index]
    outcomes: list[list[Outcome]] = [[] for _ in cell.claims]
    key = crc32(f"{cell.world_name} {cell.design}".encode())
    for first in range(start, start + number, cell.together):
        worlds, studies = [], []
        for study in range(first, min(first + cell.together, start + number)):
            random = np.random.default_rng([key, study])
            world = cell.design.of(cell.draw(random), cell.external)
            names = [f"s{study:05d}-{dataset}" for dataset in range(cell.datasets)]
            worlds.append(world)
            studies += [simulate(world, random, name) for name in names]
        analysis = Analysis(worlds, studies, cell.design, cell.metrics, cell.external)
        for claim, some in zip(cell.claims, outcomes, strict=True):
            some += claim.read(analysis)
    return index, outcomes


def to_row(cell: Cell, claim: Claim, outcomes: Sequence[Outcome]) -> Row:
    """The rate of a claim; a word instead of an outcome says why nothing was claimed."""
    silent = [one for one in outcomes if isinstance(one, str)]
    # Nothing said is nothing wrong: silent studies count, and are named.
    told = np.array([0.0 if isinstance(one, str) else one for one in outcomes if one is not None])
    found, verdict = "no such case", "shown"
    if told.size and len(silent) == told.size:
        found = f"says “{silent[0]}”"
        verdict = "shown" if claim.promise is None else "ok"
    elif told.size:
        found = _found(told)
        if silent:
            found += f"; {100 * len(silent) / told.size:.0f} % “{silent[0]}”"
        verdict = _judged(told.sum(), told.size, claim.promise)
    promise = "" if claim.promise is None else f"≤ {100 * claim.promise:g} %"
    return Row(
        claim.name,
        cell.world_name + (f" ({claim.note})" if claim.note else ""),
        str(cell.design.groups),
        cell.design.trainings,
        promise,
        found,
        verdict,
        claim.promise,
        float(told.sum()),
        told.size if len(silent) < told.size else 0,
    )


def pooled(rows: Sequence[Row]) -> list[Row]:
    """Each promise over all its worlds and designs, where less than 5 % more is seen."""
    result = []
    for claim in dict.fromkeys(row.claim for row in rows if row.limit is not None):
        own = [row for row in rows if row.claim == claim and row.limit is not None and row.studies]
        studies, counted = sum(row.studies for row in own), round(sum(row.counted for row in own))
        if len(own) > 1:
            outcomes = np.arange(studies) < counted
            verdict = _judged(counted, studies, own[0].limit)
            words = ("all with a promise", "all", "all", own[0].promise)
            result.append(Row(claim, *words, _found(outcomes), verdict))
    return result


def _judged(counted: float, studies: int, promise: float | None) -> str:
    if promise is None:
        return "shown"
    return "ok" if counted <= stats.binom.ppf(1 - CHANCE, studies, promise) else "FAILED"


def _found(told: np.ndarray) -> str:
    low, high = _interval(told)
    return f"{100 * told.mean():.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {told.size}"


def section(row: Row) -> str:
    return row.claim.split(":")[0]


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Wilson's interval of a rate; of a mean of other values the normal one."""
    if np.isin(values, (0, 1)).all():
        test = stats.binomtest(int(values.sum()), values.size)
        interval = test.proportion_ci(method="wilson")
        return float(interval.low), float(interval.high)
    half = 1.96 * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


def summary(rows: Sequence[Row]) -> str:
    judged = [row for row in rows if row.verdict != "shown"]
    failed = sum(row.verdict == "FAILED" for row in judged)
    above = sum(
        "[" in row.found and "%" in row.promise and _low(row.found) > _limit(row.promise)
        for row in judged
    )
    return (
        f"{len(rows)} rows, {len(judged)} with a promise, {failed} FAILED (more than chance gives "
        f"once in {1 / CHANCE:.0f}); the 95 % interval lies above the promise in {above}, in up to "
        f"{0.025 * len(judged):.0f} of them by chance"
    )


def _low(found: str) -> float:
    return float(found.split("[")[1].split(",")[0])


def _limit(promise: str) -> float:
    return float(promise.removeprefix("≤ ").removesuffix(" %"))


def markdown(rows: Sequence[Row], minutes: float) -> str:
    """The table as a page of the docs."""
    lines = [
        "# What the statistics promise, and what they do",
        "",
        f"`python -m benchmarks.trust {' '.join(sys.argv[1:])}`: {minutes:.0f} minutes on two "
        "virtual x86-64 cores; the number of simulated studies stands behind “of”. "
        f"Python {python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"pandas {pd.__version__}.",
        "",
        f"{summary(rows)}.",
        "",
        "Worlds are those of `benchmarks/unkind.py`; trainings are folds x seeds. Without luck all "
        "trainings of a model are alike, which is what claims about models *as trained* speak of. "
        "“ok”: no more than the promise, as far as chance allows; “shown”: nothing is promised. "
        "Where the tool withholds an answer, its word for that stands in quotes. No analysis of "
        "one dataset sees luck that is common to all folds (“correlated”): such rows are shown. "
        "Slopes over corruptions are tested as scores are: “as trained” and “trained again” speak "
        "for them too.",
    ]
    title = ""
    for row in rows:
        if section(row) != title:
            title = section(row)
            lines += ["", f"## {title[:1].upper()}{title[1:]}", ""]
            lines += [f"| {' | '.join(HEADER)} |", "|---|---|--:|---|---|---|---|"]
        claim = row.claim.removeprefix(f"{title}: ")
        cells = (claim, row.world, row.groups, row.trainings, row.promise, row.found, row.verdict)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
