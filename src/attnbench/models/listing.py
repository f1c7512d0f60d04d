"""Every model at one width and input: slot, paper, size and cost, for the terminal, for programs
and for the page.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from attnbench.models.build import build_network, reference_patch, slots_of
from attnbench.models.cost import count_activation_bytes, count_flops, count_parameters
from attnbench.models.names import mechanisms_of, model_names
from attnbench.models.registry import Paper, get_mechanism
from attnbench.study.models import BackboneSettings, ModelSettings

CLASSES = 2
_UNET = Paper(
    "Ronneberger, Fischer, Brox",
    2015,
    "U-Net: Convolutional Networks for Biomedical Image Segmentation",
    "MICCAI 2015, arXiv:1505.04597",
)


@dataclass(frozen=True)
class Row:
    """One model on an input of one channel and two classes; activations are of one training
    step, batch 1.
    """

    model: str
    ndim: int
    slots: tuple[str, ...]
    year: int
    paper: str
    source: str
    parameters: int
    flops: int
    activation_bytes: int
    input: tuple[int, ...]
    widths: tuple[int, ...]


def list_models(ndims: tuple[int, ...] = (2, 3)) -> Iterator[Row]:
    """A row for every model and number of axes it has a form for, with the widths of the default
    backbone.
    """
    backbone = BackboneSettings()
    for word in model_names():
        part = ModelSettings(name=word)
        papers = [get_mechanism(name).paper for name in mechanisms_of(part)] or [_UNET]
        for ndim in ndims:
            if ndim not in axes_of(part):
                continue
            patch = reference_patch(ndim)
            network = build_network(part, backbone, ndim, 1, CLASSES, patch)
            yield Row(
                word,
                ndim,
                tuple(slots_of(part)),
                papers[0].year,
                f"{papers[0].authors}: {papers[0].title}",
                papers[0].source,
                count_parameters(network),
                count_flops(network, (1, 1, *patch)),
                count_activation_bytes(network, (1, 1, *patch)),
                (1, *patch),
                backbone.widths,
            )


def axes_of(part: ModelSettings) -> tuple[int, ...]:
    """Numbers of spatial axes that all mechanisms of a model have a form for."""
    return tuple(
        ndim
        for ndim in (2, 3)
        if all(ndim in get_mechanism(name).ndims for name in mechanisms_of(part))
    )


def as_json(rows: list[Row]) -> str:
    """The rows for programs: a list of objects with the fields of `Row`."""
    return json.dumps([asdict(row) for row in rows], indent=2)


def as_table(rows: list[Row]) -> str:
    """The rows for the terminal, in columns, with what they were measured on above."""
    cells = [("model", "slots", "year", "axes", "parameters", "MFLOPs", "activations MB", "source")]
    cells += [
        (
            row.model,
            ", ".join(row.slots) or "-",
            str(row.year),
            f"{row.ndim}-D",
            f"{row.parameters:,}",
            f"{row.flops / 1e6:,.1f}",
            f"{row.activation_bytes / 1e6:,.1f}",
            row.source,
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    right = {4, 5, 6}
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    inputs = " or ".join(sorted({"x".join(map(str, row.input)) for row in rows}))
    widths_text = ", ".join(map(str, rows[0].widths)) if rows else ""
    about = f"One input of {inputs}, widths {widths_text}, {CLASSES} classes; activations of one training step."
    return "\n".join([about, "", *lines])


def as_markdown() -> str:
    """The page `docs/models.md`, from the registry and the rows in 2-D."""
    rows = {row.model: row for row in list_models((2,))}
    base = rows["unet"]
    parts = [_HEAD.format(widths=", ".join(map(str, base.widths)))]
    for word, row in rows.items():
        axes = ", ".join(f"{ndim}-D" for ndim in axes_of(ModelSettings(name=word)))
        cost = f"{row.flops / base.flops:.2f} | {row.activation_bytes / base.activation_bytes:.2f}"
        extra = f"{row.parameters - base.parameters:+,}"
        slots = ", ".join(row.slots) or "-"
        parts.append(f"| [{word}](#{word}) | {slots} | {row.year} | {axes} | {extra} | {cost} |\n")
    return "".join([*parts, *map(_section, rows)])


_HEAD = """# Models

Written by `make docs` from the registry. Every word below is a model of a study; a mechanism may also be placed in any
of its slots (`slots: {{decoder: {{name: self_attention, levels: [1]}}}}`).

Where the slots of the U-Net are, here with three levels:

```
level 0   [block]-(encoder)---------(skip)---------[block]-(decoder)-> head
level 1      [block]-(encoder)------(skip)------[block]-(decoder)
level 2                  [block]-(bottleneck)
```

Cost on one input of 64 x 64 pixels, widths {widths}, two classes: parameters beside those of the plain
U-Net; FLOPs of a forward pass and bytes kept for the backward pass (activations) as multiples of the plain U-Net's.

| model | slots | year | axes | parameters | FLOPs | activations |
|---|---|---|---|---:|---:|---:|
"""


def _section(word: str) -> str:
    part = ModelSettings(name=word)
    lines = [f"\n## {word}\n\n"]
    if word == "unet":
        return f"{lines[0]}The plain U-Net: every slot is empty.\n\n{_citation(_UNET)}"
    placed = {slot: [item.name for item in items] for slot, items in slots_of(part).items()}
    for name in mechanisms_of(part):
        found = get_mechanism(name)
        text = (inspect.getdoc(found.module) or "").replace("*", "\\*")
        default = ", ".join(slot for slot, names in placed.items() if name in names)
        deepest = f", the {found.deepest} deepest levels" if found.deepest else ""
        lines.append(f"**{found.title}.** {text}\n\n")
        has_map = hasattr(found.module, "attention_map")
        mapped = "Has an attention map." if has_map else "Weights channels alone: no map."
        lines.append(
            f"Placed in {default}{deepest}; allowed: {', '.join(found.slots)}. {mapped}\n\n"
        )
        lines.append(f"{_citation(found.paper)}\n")
    return "".join(lines).rstrip("\n") + "\n"


def _citation(paper: Paper) -> str:
    return f"{paper.authors}: *{paper.title}*. {paper.year}. {paper.source}.\n"
