"""Every model at one width and input: slot, paper, size and cost, as table, JSON and page."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

import torch

from attnbench.errors import AttnBenchError
from attnbench.models.attention import mechanism_names
from attnbench.models.authors import short_authors
from attnbench.models.build import build_network, reference_patch
from attnbench.models.cost import count_activation_bytes, count_flops, count_parameters
from attnbench.models.matching import TOLERANCE
from attnbench.models.names import known_models, named_model
from attnbench.models.own_names import installed_mechanisms
from attnbench.models.presets import PRESETS
from attnbench.models.registry import Paper, get_mechanism
from attnbench.models.spec import NetworkSpec
from attnbench.study.models import BackboneSettings, ModelSettings, resolve_model

CLASSES = 2
_UNET = Paper(
    "Olaf Ronneberger, Philipp Fischer, Thomas Brox",
    2015,
    "U-Net: Convolutional Networks for Biomedical Image Segmentation",
    "MICCAI 2015, arXiv:1505.04597",
)


@dataclass(frozen=True)
class Row:
    """One model, for one channel and two classes; activations are of a step with one patch."""

    model: str
    ndim: int
    slots: tuple[str, ...]
    year: int | None
    paper: str
    source: str
    parameters: int
    flops: int
    activation_bytes: int
    input: tuple[int, ...]
    widths: tuple[int, ...]


def list_models(
    ndims: tuple[int, ...] = (2, 3), brought: Mapping[str, str] | None = None
) -> Iterator[Row]:
    """Rows of every model in the forms that it has, with the default backbone.

    Of what other packages bring there are the models that are `brought`: their origins by name.
    """
    backbone, brought = BackboneSettings(), brought or {}
    for name in ("unet", *sorted((*mechanism_names(), *PRESETS, *brought))):
        model = _listed(name, brought)
        origin = brought.get(name, "")
        entries = map(get_mechanism, model.mechanisms())
        papers = [entry.paper for entry in entries if entry.paper]
        paper = papers[0] if papers else None if origin else _UNET
        for ndim in sorted({*ndims} & {*axes_of(model)}):
            spec = NetworkSpec(ndim, 1, CLASSES, reference_patch(ndim))
            network = build_network(model, backbone, spec)
            yield Row(
                model.name,
                ndim,
                tuple(model.slots),
                paper.year if paper else None,
                f"{short_authors(paper.authors)}: {paper.title}" if paper else "",
                ", ".join(filter(None, (paper.source if paper else "", origin))),
                count_parameters(network),
                count_flops(network, spec.input_shape),
                count_activation_bytes(network, spec.input_shape),
                spec.input_shape[1:],
                backbone.widths,
            )


def _listed(name: str, brought: Iterable[str] = ()) -> ModelSettings:
    """A model of ours, or one that is `brought`: what else packages bring takes no name from us."""
    model = ModelSettings(name=name)
    return resolve_model(model, {}, BackboneSettings(), known_models(brought))


def brought_by_packages() -> tuple[dict[str, str], list[str]]:
    """Origins of the models that installed packages bring, by name; a line on each that is none."""
    origins, lines = dict[str, str](), []
    for name, items in installed_mechanisms().items():
        origin = f"{items[0].reference} of {items[0].package}"
        try:
            model = named_model(name)
            for ndim in axes_of(model):
                spec = NetworkSpec(ndim, 1, CLASSES, reference_patch(ndim))
                build_network(model, BackboneSettings(), spec)
        except AttnBenchError as error:
            lines.append(f"not a model by its name: {name}, {origin}: {error}")
        else:
            origins[name] = origin
    return origins, lines


def axes_of(model: ModelSettings) -> tuple[int, ...]:
    """Numbers of spatial axes that all mechanisms of a model have a form for."""
    forms = [get_mechanism(name).ndims for name in model.mechanisms()]
    return tuple(ndim for ndim in (2, 3) if all(ndim in form for form in forms))


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
            str(row.year or "-"),
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
    about = (
        f"One input of {inputs}, widths {widths_text}, {CLASSES} classes; activations of one "
        "training step."
    )
    return "\n".join([about, "", *lines])


def as_markdown() -> str:
    """The page `docs/models.md`, from the registry and the rows in 2-D."""
    rows = {row.model: row for row in list_models((2,))}
    base = rows["unet"]
    lines = [_HEAD.format(widths=", ".join(map(str, base.widths)))]
    for name, row in rows.items():
        axes = ", ".join(f"{ndim}-D" for ndim in axes_of(_listed(name)))
        cost = f"{row.flops / base.flops:.2f} | {row.activation_bytes / base.activation_bytes:.2f}"
        extra = f"{row.parameters - base.parameters:+,}"
        slots = ", ".join(row.slots) or "-"
        lines.append(f"| [{name}](#{name}) | {slots} | {row.year} | {axes} | {extra} | {cost} |\n")
    sections = (_section(row.model, row.parameters, base.parameters) for row in rows.values())
    return "".join([*lines, *sections])


_HEAD = """# Models

Written by `make docs` from the registry. Every name below is a model of a study; a mechanism may
also be placed in any of its slots (`slots: {{decoder: {{name: self_attention, levels: [1]}}}}`).

Where the slots of the U-Net are, here with three levels:

```
level 0   [block]-(encoder)---------(skip)---------[block]-(decoder)-> head
level 1      [block]-(encoder)------(skip)------[block]-(decoder)
level 2                  [block]-(bottleneck)
```

Cost on one input of 64 x 64 pixels, widths {widths}, two classes: parameters beside those
of the plain U-Net; FLOPs of a forward pass and bytes kept for the backward pass (activations) as
multiples of the plain U-Net's.

| model | slots | year | axes | parameters | FLOPs | activations |
|---|---|---|---|---:|---:|---:|
"""


def _section(model: str, parameters: int, plain: int) -> str:
    """What a model of so many `parameters` is; `plain` are those of the plain U-Net."""
    lines = [f"\n## {model}\n\n"]
    if model == "unet":
        return f"{lines[0]}The plain U-Net: every slot is empty.\n\n{_citation(_UNET)}"
    settings = _listed(model)
    for name in settings.mechanisms():
        entry = get_mechanism(name)
        # In a formula a star multiplies; Markdown would read it as emphasis.
        text = (inspect.getdoc(entry.module) or "").replace("*", "\\*")
        default = ", ".join(
            slot
            for slot, placements in settings.slots.items()
            if name in (placement.name for placement in placements)
        )
        finest = f", from level {entry.finest}" if entry.finest else ""
        deepest = f", the {entry.deepest} deepest levels" if entry.deepest else ""
        lines.append(f"**{entry.title}.** {text}\n\n")
        has_map = hasattr(entry.module, "attention_map")
        mapped = "Has an attention map." if has_map else "Weights channels alone: no map."
        paper = f" In its paper: {entry.in_paper}." if entry.in_paper else ""
        lines.append(
            f"Placed in {default}{finest}{deepest}; allowed: {', '.join(entry.slots)}.{paper} "
            f"{mapped}\n\n"
        )
        lines += [f"{_citation(paper)}\n" for paper in (entry.paper,) if paper]
    lines.append(_stand_in(model, parameters - plain, plain))
    return "".join(lines).rstrip("\n") + "\n"


def _stand_in(model: str, own: int, plain: int) -> str:
    """Sentence on the control `conv1x1` of a model where it is not of the mechanisms' size."""
    # Shapes are enough to count by.
    with torch.device("meta"):
        control = build_network(
            _listed(f"{model}-conv1x1"),
            BackboneSettings(),
            NetworkSpec(2, 1, CLASSES, reference_patch(2)),
        )
    found = count_parameters(control) - plain
    if abs(found - own) <= TOLERANCE["parameters"] * own:
        return ""
    return (
        f"\nIts control `conv1x1` has {found:,} parameters in the place of {own:,}: it cannot be "
        "nearer.\n"
    )


def _citation(paper: Paper) -> str:
    return f"{short_authors(paper.authors)}: *{paper.title}*. {paper.year}. {paper.source}.\n"
