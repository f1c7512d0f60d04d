"""Progress of a run while it trains: its history so far, as CSV and for TensorBoard."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from attnbench.full_disk import naming_full_disk
from attnbench.training.loop import HISTORY

Row = Mapping[str, float]


@contextmanager
def record_progress(path: Path, rows: Iterable[Row] = ()) -> Iterator[Callable[[Row], None]]:
    """Write `rows` to the CSV at `path` and yield what adds a row of the history; NaN is empty.

    Every row is written whole and at once. Where TensorBoard is installed, the same numbers
    become the points of its curves, in event files beside the CSV.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Buffered by line: who reads the file while the run trains never sees half a row.
    with (
        path.open("w", encoding="utf-8", newline="", buffering=1) as stream,
        _curves(path.parent) as draw,
    ):
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(HISTORY)

        def record(row: Row) -> None:
            with naming_full_disk(path):
                table.writerow(["" if math.isnan(row[name]) else row[name] for name in HISTORY])
            draw(row)

        for row in rows:
            record(row)
        yield record


@contextmanager
def _curves(folder: Path) -> Iterator[Callable[[Row], None]]:
    """Yield what adds a row to TensorBoard's event file in `folder`, or does nothing without it."""
    # The rows of a former process are drawn again, and those that were lost with it are not.
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    if not find_spec("tensorboard"):
        yield lambda row: None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:

        def draw(row: Row) -> None:
            for name in set(row) - {"step"}:
                if not math.isnan(row[name]):
                    writer.add_scalar(name, row[name], int(row["step"]))
            writer.flush()  # the curves are watched while the run trains

        yield draw
