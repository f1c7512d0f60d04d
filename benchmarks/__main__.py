"""`python -m benchmarks [ROW ...]`: measure rows of docs/performance.md; print and keep them.

`--render` writes the tables of docs/performance.md from the kept results instead.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from importlib import import_module

from rich.console import Console
from rich.table import Table

from benchmarks.record import Record, keep, machine, results_file
from benchmarks.render import cells, render

# Row: the module whose function `row_<number>(device)` yields its records, and the devices that it
# is measured on.
ROWS = {
    1: ("training", ("cpu", "cuda")),
    2: ("training", ("cpu", "cuda")),
    3: ("training", ("cpu", "cuda")),
    4: ("self_attention", ("cpu", "cuda")),
    5: ("mechanisms", ("cpu", "cuda")),
    6: ("scoring", ("cpu",)),
    7: ("start", ("cpu",)),
    8: ("dag", ("cpu",)),
    9: ("overhead", ("cpu", "cuda")),
    10: ("inference", ("cpu", "cuda")),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", type=_row, metavar="ROW", help="all by default")
    parser.add_argument(
        "--render", action="store_true", help="write docs/performance.md from benchmarks/results"
    )
    arguments = parser.parse_args()
    if arguments.render:
        render()
        return
    import torch

    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        rows = [row for row in arguments.rows or ROWS if device in ROWS[row][1]]
        _measure(device, rows)


def _row(text: str) -> int:
    if not text.isdecimal() or int(text) not in ROWS:
        raise argparse.ArgumentTypeError(f"no row {text!r}; rows are {', '.join(map(str, ROWS))}")
    return int(text)


def _measure(device: str, rows: list[int]) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    facts = machine(device)
    path = results_file(facts, device)
    for row in rows:
        started = time.perf_counter()
        measure: Callable[[str], Iterator[Record]] = getattr(
            import_module(f"benchmarks.{ROWS[row][0]}"), f"row_{row}"
        )
        records = list(measure(device))
        keep(path, facts, row, records)
        title = f"row {row}: {facts['machine']}, {time.perf_counter() - started:.0f} s"
        table = Table("work", "peer", "here", "peer's", "ratio", "goal", "", "note", title=title)
        for record in records:
            table.add_row(*cells(record))
        console.print(table)


if __name__ == "__main__":
    main()
