"""What was compared on what, and how: the datasets and the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.catalog import load_entry
from attnbench.files import read_json
from attnbench.reporting.format import NOTHING, count
from attnbench.reporting.tables.render import Block, Cell, Column, Row, Table, plain_row
from attnbench.reporting.words import dataset_label, display_unit
from attnbench.scoring.definitions import METRICS, EmptyValue

if TYPE_CHECKING:
    from attnbench.reporting.results import Results
    from attnbench.study.settings import Study

_DATASET_COLUMNS = (
    "dataset", "title", "task", "modality", "ndim", "channels", "classes", "cases", "groups", "groups_inferred",
    "spacing", "size", "spacing_unit", "licence", "citation", "content_hash",
)  # fmt: skip


def tabulate_datasets(results: Results) -> Table:
    """Every dataset with classes, cases, groups, grid and licence; citations in the notes."""
    study = results.study
    facts = [_facts(study, part.name) for part in study.datasets]
    frame = pd.DataFrame(facts, columns=list(_DATASET_COLUMNS))
    return Table(
        name="datasets",
        caption="Datasets: what they show, how many cases, and under which licence",
        columns=(
            *(Column(heading, r"p{0.13\linewidth}") for heading in ("Dataset", "Modality", "Classes")),
            *map(Column, ("Cases", "Groups")),
            Column("Grid", r"p{0.13\linewidth}"), Column("Licence", r"p{0.24\linewidth}"),
        ),
        blocks=(Block("", tuple(_dataset_row(row) for row in facts)),),
        notes=(
            "Groups (patients, animals, slides) are never split across folds; * inferred from the "
            "images, not stated "
            "by the authors.",
            *(f"{dataset_label(row['dataset'])}: {row['citation']}" for row in facts),
            *(
                f"{dataset_label(row['dataset'])}: not prepared yet, cases are not counted"
                for row in facts
                if not row["cases"]
            ),
        ),
        frame=frame,
    )  # fmt: skip


def _facts(study: Study, dataset: str) -> dict[str, Any]:
    """What is known of a dataset: from its prepared store, before that from its catalog entry."""
    path = study.layout.prepared(dataset) / "dataset.json"
    if path.exists():
        known = read_json(path)
    else:
        entry = load_entry(dataset)
        known = {key: getattr(entry, key, None) for key in _DATASET_COLUMNS}
    classes = ", ".join(str(name) for name in known["classes"].values())
    lists = {
        key: "x".join(f"{side:g}" for side in known.get(key) or ()) for key in ("spacing", "size")
    }
    return {
        **{key: known.get(key) for key in _DATASET_COLUMNS},
        "dataset": dataset,
        "classes": classes,
        **lists,
    }


def _dataset_row(row: dict[str, Any]) -> Row:
    unit = display_unit(row["spacing_unit"] or "")
    grid = f"{row['spacing'].replace('x', ' × ')} {unit}" if row["spacing"] else "as acquired"
    if row["size"]:
        grid = f"{row['size'].replace('x', ' × ')} pixels"
    return plain_row(
        dataset_label(row["dataset"]),
        f"{row['modality']}, {row['ndim']}-D",
        row["classes"],
        count(row["cases"]) if row["cases"] else NOTHING,
        Cell(
            count(row["groups"]) if row["groups"] else NOTHING,
            mark="*" if row["groups_inferred"] else "",
        ),
        grid,
        row["licence"],
    )


def tabulate_protocol(results: Results) -> Table:
    """The recipe that all models share, the folds, the metrics' rules and the statistics."""
    rows = tuple(_protocol(results))
    return Table(
        name="protocol",
        caption="Protocol, the same for every model",
        columns=(Column("Setting", r"p{0.24\linewidth}"), Column("Value", r"p{0.72\linewidth}")),
        blocks=(Block("", tuple(plain_row(*row) for row in rows)),),
        notes=(),
        frame=pd.DataFrame(rows, columns=["setting", "value"]),
    )


def _protocol(results: Results) -> list[tuple[str, str]]:
    study = results.study
    training, folds = study.training, study.folds
    optimisers = {"adamw": "AdamW", "sgd": "SGD with Nesterov momentum 0.99"}
    changes = ", ".join(
        f"{key} {value:g}" if not isinstance(value, bool) else key
        for key, value in training.augmentation.model_dump().items()
        if value
    )
    return [
        ("Models", ", ".join(map(results.label, results.models))),
        ("Baseline", results.baseline_label),
        ("Backbone", f"widths {_list(study.backbone.widths)}; {study.backbone.blocks_per_level} "
                     "convolutions per "
                     f"level; {study.backbone.norm} norm"),
        ("Folds", f"{folds.outer} outer folds by group, {len(study.folds_to_run())} of them run; "
                  f"1/{folds.inner} of "
                  f"the training groups for inner validation; split seed {folds.seed}"),
        ("Seeds", _list(study.seeds)),
        ("Steps", f"{training.steps} optimiser steps of {training.batch} "
                  f"patches{_exceptions(study)}"),
        ("Patch", f"{_shape(training.patch_2d)} (2-D), {_shape(training.patch_3d)} "
                  f"(3-D){_patches(study)}"),
        ("Sampling", f"{training.foreground:.0%} of the patches centred on a foreground voxel"),
        ("Loss", "Dice + cross-entropy, equal weights"),
        ("Optimiser", f"{optimisers[training.optimiser]}, learning rate "
                      f"{training.learning_rate:g} decaying with power "
                      f"{training.power:g}, weight decay {training.weight_decay:g}"),
        ("Augmentation", changes or "none"),
        ("Precision", "bfloat16 autocast on CUDA, float32 elsewhere" if study.compute.precision == "auto" else
                      study.compute.precision),
        *((f"Metric: {METRICS[name].label}", METRICS[name].rule + _empty(name)) for name in study.metrics),
        ("Statistics", f"{study.analysis.confidence:.0%} intervals from "
                       f"{study.analysis.bootstrap} bootstrap resamples "
                       "over groups; Wilcoxon signed-rank test over groups; Holm's correction"),
    ]  # fmt: skip


def _list(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))


def _shape(sides: tuple[int, ...]) -> str:
    return " × ".join(map(str, sides))


def _patches(study: Study) -> str:
    other = [
        f"{dataset_label(part.name)}: {_shape(part.patch)}" for part in study.datasets if part.patch
    ]
    return f" ({'; '.join(other)})" if other else ""


def _exceptions(study: Study) -> str:
    other = [
        f"{dataset_label(part.name)}: {part.steps or study.training.steps} of "
        f"{part.batch or study.training.batch}"
        for part in study.datasets
        if part.steps or part.batch
    ]
    return f" ({'; '.join(other)})" if other else ""


def _empty(metric: str) -> str:
    """What a metric is worth when a mask has no voxel of the class."""
    known = METRICS[metric]
    worth = {
        "Both masks empty": known.both_empty,
        "only the prediction empty": known.prediction_empty,
        "only the reference empty": known.reference_empty,
    }
    if set(worth.values()) == {"computed"}:
        return " Empty masks change nothing."
    return f" {'; '.join(f'{case}: {_worth(value)}' for case, value in worth.items())}."


def _worth(value: EmptyValue) -> str:
    if value == "diagonal":
        return "the image's diagonal"
    return "undefined" if value != value else f"{value:g}"
