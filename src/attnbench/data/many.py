"""All cases of a dataset prepared in order, by several processes where that is worth it."""

from __future__ import annotations

import logging
import math
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from attnbench.catalog import Entry
from attnbench.data.case import PreparedCase, RawCase
from attnbench.data.read import cases_of, unread_cases
from attnbench.errors import DataError

if TYPE_CHECKING:
    from attnbench.data.readers import CaseFiles

Item = TypeVar("Item")
Result = TypeVar("Result")
Prepare = Callable[[RawCase], PreparedCase]

WORTH_S = 8.0  # of work left: starting a process takes about one second
BYTES_PER_VOXEL = 48  # that preparing a case of one channel takes at its peak
LINE_EVERY_S = 10.0
MOST_PROBLEMS = 20
_log = logging.getLogger("attnbench")


def prepared_cases(
    entry: Entry,
    raw: Path,
    prepare: Prepare,
    workers: int,
    memory_mb: int,
    worth_s: float = WORTH_S,
) -> Iterator[PreparedCase]:
    """Yield every case of a dataset, read, checked and prepared, in the order of `read_cases`.

    The first case is prepared here; it says how long the others take and how much memory. Only
    where more than `worth_s` seconds of work are left, up to `workers` processes share it, fewer
    where `memory_mb` does not hold so many cases at once. Which process prepared a case changes
    nothing.

    Args:
        entry: the dataset's catalog entry.
        raw: folder of the verified originals.
        prepare: what makes a prepared case of a raw one; it is sent to the processes.
        workers: the most processes.
        memory_mb: the most memory that all of them may take.
        worth_s: seconds of work that are worth starting processes.

    Raises:
        DataError: one or more cases cannot be read or break their contract; names up to twenty.
    """
    work = partial(_prepared, prepare)
    results = _results(unread_cases(entry, raw), work, entry, workers, memory_mb, worth_s)
    last = time.perf_counter()
    for count, case in enumerate(or_problems(results), start=1):
        yield case
        if time.perf_counter() - last > LINE_EVERY_S:
            last = time.perf_counter()
            _log.info("%s: %d of %d cases prepared", entry.name, count, entry.cases)


def _results(
    unread: Iterator[CaseFiles | RawCase],
    work: Callable[[CaseFiles | RawCase], list[PreparedCase] | DataError],
    entry: Entry,
    workers: int,
    memory_mb: int,
    worth_s: float,
) -> Iterator[list[PreparedCase] | DataError]:
    start = time.perf_counter()
    for first in islice(unread, 1):
        done = work(first)
        left = (time.perf_counter() - start) * (entry.cases - 1)
        yield done
        processes = min(workers, _at_once(done, memory_mb)) if left > worth_s else 1
        del first, done
        yield from in_order(work, unread, processes)


def _at_once(done: list[PreparedCase] | DataError, memory_mb: int) -> int:
    """How many cases like the first one fit into memory."""
    if isinstance(done, DataError):
        return 1
    voxels = max(max(math.prod(case.reference.shape), case.image.size) for case in done)
    return max(1, int(memory_mb * 1e6 / (voxels * BYTES_PER_VOXEL)))


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], processes: int
) -> Iterator[Result]:
    """Yield `work(item)` of every item in order, at most one more than `processes` at once."""
    if processes < 2:
        yield from map(work, items)
        return
    # Not forked: a process with threads may hang in its child.
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _prepared(prepare: Prepare, files: CaseFiles | RawCase) -> list[PreparedCase] | DataError:
    """Prepare what one case's files hold, or return what is wrong: others are read all the same."""
    try:
        cases = [files] if isinstance(files, RawCase) else cases_of(files)
        return [prepare(case) for case in cases]
    except DataError as error:
        return error


def or_problems(results: Iterable[list[Result] | DataError]) -> Iterator[Result]:
    """Yield cases until the first problem; then collect more of these, and raise them together."""
    problems: list[str] = []
    for result in results:
        if isinstance(result, DataError):
            problems.append(str(result))
            if len(problems) == MOST_PROBLEMS:
                break
        elif not problems:
            yield from result
    if len(problems) == 1:
        raise DataError(problems[0])
    if problems:
        more = " (there may be more)" if len(problems) == MOST_PROBLEMS else ""
        listed = "\n  ".join(problems)
        raise DataError(f"{len(problems)} cases cannot be read or prepared{more}:\n  {listed}")
