"""Inspection of a dataset: its cases in; tables of copies and oddities, and a picture, out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.data.scan.tables import Finding, Pair, Summary, write_inspection

if TYPE_CHECKING:
    from attnbench.catalog import Entry
    from attnbench.data.scan.pairs import Near
    from attnbench.data.scan.seen import Seen

SHOWN_PAIRS = 40
PICTURE = "pairs.png"


@dataclass(frozen=True)
class Inspection:
    """What was found in a dataset: pairs of copies, those across groups first, and oddities."""

    pairs: tuple[Pair, ...]
    findings: tuple[Finding, ...]
    summary: Summary

    @property
    def leaks(self) -> tuple[Pair, ...]:
        """The pairs whose cases are in different groups."""
        return tuple(pair for pair in self.pairs if pair.across_groups)


def inspect_dataset(
    entry: Entry, raw: Path, folder: Path, workers: int = 1, memory_mb: int = 4000
) -> Inspection:
    """Inspect the originals in `raw`; write tables and a picture of pairs to `folder`.

    About 12 KB of each picture are kept, 170 KB of each volume.

    Args:
        entry: the dataset's catalog entry.
        raw: folder of the verified originals.
        folder: of the inspection.
        workers: the most processes that read cases at once.
        memory_mb: the most memory that they take together.

    Raises:
        DataError: cases cannot be read, or contradict their catalog entry; names up to twenty.
    """
    from attnbench.data.read import refuse_changed_archive
    from attnbench.data.scan.picture import draw_pairs
    from attnbench.data.scan.seen import see_all
    from attnbench.files import whole_file

    refuse_changed_archive(entry, raw)
    seen = see_all(entry, raw, workers, memory_mb)
    inspection = inspect_cases(entry.name, seen, entry.classes)
    thumbnails = {one.case: one.thumbnail for one in seen}
    with whole_file(folder / PICTURE) as path:
        draw_pairs(inspection.pairs[:SHOWN_PAIRS], thumbnails).save(path)
    write_inspection(folder, inspection.pairs, inspection.findings, inspection.summary)
    return inspection


def inspect_cases(dataset: str, seen: Sequence[Seen], classes: Mapping[int, str]) -> Inspection:
    """Return copies and oddities of the cases; constant images are odd, and no copies."""
    import numpy as np

    from attnbench.data.scan.findings import find_oddities
    from attnbench.data.scan.pairs import LEAST, exact_copies, near_copies

    # In the order of their names: what is found does not depend on that of the files.
    seen = sorted((one for one in seen), key=lambda one: one.case)
    varied = [one for one in seen if not one.constant]
    exact = list(exact_copies([one.pixels for one in varied]))
    again = {near.second for near in exact}
    unique = [position for position in range(len(varied)) if position not in again]
    near, candidates = near_copies(
        np.array([varied[position].thumbnail for position in unique]),
        np.array([varied[position].hashes for position in unique]),
    )
    pairs = [
        *(_pair(varied[one.first], varied[one.second], one) for one in exact),
        *(_pair(varied[unique[one.first]], varied[unique[one.second]], one) for one in near),
    ]
    pairs.sort(key=lambda pair: (not pair.across_groups, -pair.correlation, pair.case_a))
    summary = Summary(
        dataset=dataset,
        cases=len(seen),
        groups=len({one.group for one in seen}),
        views=len(candidates),
        reach=candidates.reach,
        complete=candidates.complete,
        least=LEAST,
    )
    return Inspection(tuple(pairs), tuple(find_oddities(seen, classes)), summary)


def _pair(first: Seen, second: Seen, near: Near) -> Pair:
    return Pair(
        case_a=first.case,
        group_a=first.group,
        case_b=second.case,
        group_b=second.group,
        across_groups=first.group != second.group,
        kind="exact" if near.exact else "near",
        correlation=near.overlay.correlation,
        distance=near.distance,
        turn=near.turn,
        scale=max(near.overlay.scale, key=lambda scale: abs(scale - 1)),
        shift=max(near.overlay.shift, key=abs),
    )
