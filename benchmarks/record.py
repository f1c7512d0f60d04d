"""Records of the benchmark, and the file in which those of a machine are kept."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.timing import Spread, paired_ratio, spread

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "snakemake",
    "monai",
    "nnunetv2",
    "segmentation-models-pytorch",
    "medpy",
    "surface-distance",
    "scikit-image",
)


@dataclass(frozen=True)
class Record:
    """One comparison: `ratio` with its quartiles `low` and `high` has the sense of its `goal`.

    A goal of `>= 1.5` says how many times better than the peer, one of `<= 1.3` how many times
    the peer's cost; an empty goal is a number to state. `theirs` and `ratio` are None where
    there is no peer.
    """

    row: int
    work: str
    peer: str
    ours: float | None
    theirs: float | None
    unit: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    goal: str = ""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """True where the ratio reaches the goal; None where there is no goal or no ratio."""
        if not self.goal or self.ratio is None:
            return None
        sense, bound = self.goal.split()
        return self.ratio >= float(bound) if sense == ">=" else self.ratio <= float(bound)


def compare(
    row: int,
    work: str,
    peer: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    goal: str,
    note: str = "",
    amount: float | None = None,
    unit: str = "s",
) -> Record:
    """Return the record of paired seconds.

    Args:
        row: number of the row.
        work: name of what is timed.
        peer: name of whom it is compared with.
        ours: seconds here, one per round.
        theirs: seconds of the peer in the same rounds.
        goal: `>= x` for a speed-up, `<= x` for a share of the peer's cost, or empty.
        note: words beside the numbers.
        amount: work per call (images, say), shown as `unit` per second; without it seconds.
        unit: that of the values or of `amount`.
    """
    ratio: Spread = (
        paired_ratio(theirs, ours) if not goal.startswith("<=") else paired_ratio(ours, theirs)
    )
    mine, other = spread(ours).median, spread(theirs).median
    if amount:
        mine, other, unit = amount / mine, amount / other, f"{unit}/s"
    return Record(row, work, peer, mine, other, unit, *ratio, goal=goal, note=note)


def machine(device: str) -> dict[str, Any]:
    """Facts that the numbers depend on; neither host nor path."""
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return {
        "machine": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": date.today().isoformat(),
        "versions": {package: number for package in PACKAGES if (number := _version(package))},
    }


def results_file(facts: dict[str, Any], device: str) -> Path:
    """`benchmarks/results/<machine>.json`, for a processor with its number of cores."""
    name = facts["machine"] + ("" if device == "cuda" else f" {facts['cores']} cores")
    return RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.json"


def keep(path: Path, facts: dict[str, Any], row: int, records: Sequence[Record]) -> None:
    """Put the records of one row where its former ones were.

    Args:
        path: the machine's file of results.
        facts: those of `machine`.
        row: number of the row.
        records: all of that row.
    """
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": {}}
    content["rows"][str(row)] = {
        "measured": facts,
        "records": [{**asdict(one), "met": one.met} for one in records],
    }
    content["rows"] = dict(sorted(content["rows"].items(), key=lambda item: int(item[0])))
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def kept(path: Path) -> dict[int, tuple[dict[str, Any], list[Record]]]:
    """Facts and records of every row in a file; none in a file of another benchmark."""
    rows = json.loads(path.read_text(encoding="utf-8")).get("rows", {})
    fields = Record.__dataclass_fields__
    return {
        int(row): (
            kept_row["measured"],
            [Record(**{key: one[key] for key in fields}) for one in kept_row["records"]],
        )
        for row, kept_row in rows.items()
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's model, as the system names it."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
