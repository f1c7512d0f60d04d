"""Space taken by predictions, freed; what was freed is not filled again by the next run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.errors import LockError, StudyError
from attnbench.files import read_json, write_json
from attnbench.locks import exclusive, holder_of

if TYPE_CHECKING:
    from attnbench.study.paths import Run
    from attnbench.study.settings import Study


@dataclass(frozen=True)
class Freed:
    """Runs without their predictions from now on, the bytes freed, and runs left as they are.

    `seconds`: what predicting took, as far as it was noted; `kept`: runs that are not scored yet,
    and runs whose weights are gone, so that their predictions could not come back.
    """

    runs: tuple[Run, ...]
    bytes: int
    kept: tuple[tuple[Run, str], ...]


def clean_predictions(study: Study) -> Freed:
    """Remove the predictions of every scored run; leave `predictions.removed` in their place.

    The marker says when, and how many bytes; `attnbench status` names such runs, and neither the
    report nor a study with new models fills them again. Predicting a run again removes it.

    Raises:
        StudyError: no run of the study has been predicted.
        LockError: somebody works on the study, or on one of its runs.
    """
    with exclusive(study.layout.lock, f"clean {study.name}", wait=False):
        for run in [*study.trainings(), *study.data_efficiency_runs()]:
            found = holder_of(study.layout.lock_of(run))
            if found and found[1]:
                raise LockError(f"{run} is in use by {found[0]}; let it end, or end it, first")
        return _clean(study)


def _clean(study: Study) -> Freed:
    freed: list[Run] = []
    kept: list[tuple[Run, str]] = []
    total = 0
    for run in [*study.trainings(), *study.data_efficiency_runs()]:
        folder = study.layout.run(run)
        path = folder / "predictions.npz"
        if not path.is_file():
            continue
        if not (folder / "scores.csv").is_file():
            kept.append((run, "not scored yet"))
        elif not (folder / "model.pt").is_file():
            kept.append((run, "its weights are gone, so it could not be predicted again"))
        else:
            with exclusive(study.layout.lock_of(run), f"clean {run}", wait=False):
                size = path.stat().st_size
                # First the marker: a study that is stopped between the two knows what was meant.
                write_json(
                    study.layout.removed(run),
                    {"removed": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "bytes": size},
                )
                path.unlink()
            freed.append(run)
            total += size
    if not freed and not kept:
        raise StudyError(f"{study.name}: no run has predictions in {study.layout.output / 'runs'}")
    return Freed(tuple(freed), total, tuple(kept))


def removed_line(study: Study, source: str) -> list[str]:
    """Return a line on the predictions that were removed, and how they come back; or nothing."""
    removed = removed_runs(study)
    if not removed:
        return []
    size = sum(removed.values()) / 1e6
    return [
        f"removed by `attnbench clean`: predictions of {len(removed)} run(s), {size:,.1f} MB; "
        f"`attnbench rerun {source} --from predict --model M` predicts again"
    ]


def removed_runs(study: Study) -> dict[Run, int]:
    """Runs whose predictions were removed, with the bytes that they had."""
    found: dict[Run, int] = {}
    for run in [*study.trainings(), *study.data_efficiency_runs()]:
        marker = study.layout.removed(run)
        if marker.is_file() and not (study.layout.run(run) / "predictions.npz").is_file():
            found[run] = int(read_json(marker)["bytes"])
    return found
