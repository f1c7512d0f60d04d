"""What an inspection of the originals found: copies of images, and what is odd about a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from attnbench.reporting.format import count
from attnbench.reporting.results import records
from attnbench.reporting.tables.render import Block, Column, Row, Table, plain_row
from attnbench.reporting.units import groups_cell

if TYPE_CHECKING:
    from attnbench.reporting.results import Results

_SHOWN = 5
_DONE = {"stop": "stops the study", "keep": "groups kept apart", "merge": "none to merge"}


def tabulate_quality(results: Results) -> Table:
    """Show copies across and within groups, empty and equal masks, and outliers of each dataset."""
    frame = results.frame("inspected")
    rows = records(frame)
    return Table(
        name="quality",
        caption="Quality of the data: copies of images, and what stands out",
        columns=(
            Column("Dataset", r"p{0.16\linewidth}"),
            *map(Column, ("Cases", "Groups", "Copies across groups", "within groups")),
            Column("A copy across groups", r"p{0.16\linewidth}"),
            *map(Column, ("Empty masks", "Equal masks", "Constant images", "Outliers")),
        ),
        blocks=(Block("", tuple(_row(results, row) for row in rows)),),
        notes=(
            "Copies: the same image but for its coding, a small shift or scale, mirroring or "
            "rotation by 90 degrees (in brackets: of these with all pixels equal); how they are "
            "found: docs/decisions/duplicates.md. Within a group they are no leak. Before groups "
            "were merged.",
            *(note for row in rows for note in _notes(results, row)),
            *(
                f"{results.dataset_label(name)}: generated, or not inspected yet"
                for name in results.datasets
                if name not in set(frame["dataset"])
            ),
        ),
        frame=frame,
    )


def _row(results: Results, row: dict[str, Any]) -> Row:
    done = _DONE[row["duplicates"]]
    if row["merged"]:
        done = f"{count(row['merged'])} groups became {count(row['merged_into'])}"
    return plain_row(
        results.dataset_label(row["dataset"]),
        count(row["cases"]),
        groups_cell(results.study, row["dataset"], row["groups"]),
        *(
            f"{count(row[f'exact_{where}'] + row[f'near_{where}'])} "
            f"({count(row[f'exact_{where}'])})"
            for where in ("across", "within")
        ),
        done,
        *(
            count(row[column])
            for column in ("empty_masks", "equal_masks", "constant_images", "outliers")
        ),
    )


def _notes(results: Results, row: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence per kind of finding of a dataset, with the first of them."""
    label, findings = results.dataset_label(row["dataset"]), results.frame("findings")
    own = records(findings[findings["dataset"] == row["dataset"]])
    for kind in dict.fromkeys(finding["kind"] for finding in own):
        said = [
            f"{finding['case']}: {finding['text']}"
            if isinstance(finding["case"], str)
            else finding["text"]
            for finding in own
            if finding["kind"] == kind
        ]
        more = f"; and {count(len(said) - _SHOWN)} more" if len(said) > _SHOWN else ""
        yield f"{label}, {kind}: {'; '.join(said[:_SHOWN])}{more}."
    if not row["complete"]:
        yield (
            f"{label}: so many images are alike that only the nearest were compared (hashes that "
            f"differ in up to {row['reach']:.1f} of 64 bits): copies with a larger shift or scale "
            "may be missing."
        )
