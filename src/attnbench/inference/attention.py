"""Attention maps of trained networks, for the cases that figures show."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter
from torch import Tensor

from attnbench.errors import DataError, ModelError
from attnbench.files import whole_file, write_csv
from attnbench.inference.sliding import on_own_grid, slide
from attnbench.inference.trained import Trained, trained_network
from attnbench.models.attention_maps import attention_maps, mechanisms_with_map
from attnbench.models.names import has_map
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.diverged import divergence_of

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float32]
COLUMNS = (
    "dataset",
    "model",
    "case",
    "fold",
    "seed",
    "place",
    "mean",
    "inside",
    "boundary",
    "background",
)
_BAND = 2  # voxels beside a boundary
_LARGEST = float(np.finfo(np.float16).max)
log = logging.getLogger("attnbench")


def attend_model(study: Study, dataset: str, model: str) -> None:
    """Write a model's attention maps on the cases of `analysis/cases.csv`, by its first seed.

    `attention/<dataset>/<model>.npz` has one array per case, (maps, *spatial) float16 on the
    case's own grid: each map divided by its mean over the field of view, so that 1 is a position
    weighted as the average one. The table beside it has a row per case and map, in the order
    of the arrays: that `mean`, and the map's averages `inside` the reference, at its `boundary`
    and in the `background` (see `regions`).

    Raises:
        ModelError: the model weights no positions.
    """
    import pandas as pd

    if not has_map(study.model(model)):
        raise ModelError(f"{model} has no attention map: no mechanism of it weights positions")
    maps: dict[str, NDArray[np.float16]] = {}
    rows: list[dict[str, Any]] = []
    shown = _shown_cases(study, dataset)
    for fold in shown["fold"].unique().tolist():
        run = Run(dataset, model, fold, study.seeds[0])
        if divergence_of(study.layout, run):
            log.warning("%s  diverged in training: no map of its cases", run)
            continue
        with trained_network(study, run) as trained:
            store = trained.inputs.store
            for case, own in maps_of_cases(trained, shown.loc[shown["fold"] == fold, "case"]):
                index = store.index(case)
                maps[case], averages = relative_to_mean(
                    own, store.reference(index), store.fov(index)
                )
                named = {
                    "dataset": dataset,
                    "model": model,
                    "case": case,
                    "fold": run.fold,
                    "seed": run.seed,
                }
                rows += [{**named, **row} for row in averages]
    target = study.layout.attention(dataset, model)
    with whole_file(target) as temporary:
        np.savez_compressed(temporary, **maps)  # type: ignore[arg-type]
    write_csv(target.with_suffix(".csv"), pd.DataFrame(rows, columns=list(COLUMNS)))
    log.info("%s/%s  attention on %d cases", dataset, model, len(maps))


def _shown_cases(study: Study, dataset: str) -> pd.DataFrame:
    import pandas as pd

    path = study.layout.analysis / "cases.csv"
    if not path.exists():
        raise DataError(f"{path}: not there; choose the cases with `attnbench analyse`")
    table = pd.read_csv(path, dtype={"case": "str"}, keep_default_na=False)
    return table[table["dataset"] == dataset]


def maps_of_cases(
    trained: Trained, cases: Iterable[str]
) -> Iterator[tuple[str, dict[str, Floats]]]:
    """Yield each case's attention maps on its own grid, blended as predictions are.

    They are named by slot and level, as in `encoder0`.
    """
    store = trained.inputs.store
    names = [name for name, _ in mechanisms_with_map(trained.network)]

    def evaluate(batch: Tensor) -> Tensor:
        return torch.cat(
            [weights.float() for weights in attention_maps(trained.network, batch).values()], dim=1
        )

    cases = list(cases)
    images = (
        torch.from_numpy(trained.image(store, store.index(case))).to(trained.device)
        for case in cases
    )
    slid = slide(evaluate, images, trained.inputs.patch)
    with trained.naming_memory("attention maps"):
        for case, weights in zip(cases, slid, strict=True):
            own = on_own_grid(weights, store.original_shape(store.index(case))).cpu().numpy()
            yield case, dict(zip(names, own, strict=True))


def regions(reference: NDArray[np.uint8], seen: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """Split the voxels `seen` into `inside` the reference, at its `boundary` and `background`.

    At the boundary are those that have another class within 2 voxels along axes and diagonals.
    """
    size = 2 * _BAND + 1
    boundary = maximum_filter(reference, size) != minimum_filter(reference, size)
    rest = seen & ~boundary
    return {
        "inside": rest & (reference > 0),
        "boundary": seen & boundary,
        "background": rest & (reference == 0),
    }


def relative_to_mean(
    maps: dict[str, Floats], reference: NDArray[np.uint8], fov: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float16], list[dict[str, Any]]]:
    """Divide maps by their means over the field of view: (maps, *spatial), and a row for each.

    A map that is zero everywhere stays zero.
    """
    seen = np.ones(reference.shape, np.bool_) if fov is None else fov
    masks = regions(reference, seen)
    means = {name: _mean(weights[seen]) for name, weights in maps.items()}
    relative = {name: weights / (means[name] or 1.0) for name, weights in maps.items()}
    rows = [
        {
            "place": name,
            "mean": means[name],
            **{region: _mean(values[where]) for region, where in masks.items()},
        }
        for name, values in relative.items()
    ]
    return np.stack(list(relative.values())).clip(max=_LARGEST).astype(np.float16), rows


def _mean(values: Floats) -> float:
    return float(values.mean(dtype=np.float64)) if values.size else float("nan")
