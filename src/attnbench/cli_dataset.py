"""`attnbench dataset`: a user's own data. Every verb imports its room only when it is called."""

from __future__ import annotations

import logging
import re
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from attnbench.errors import DataError

dataset_app = typer.Typer(help="Add and check data of your own.", no_args_is_help=True)

FOUND = "What is found out"
STATED = "What no file says"
WRITTEN = "What is written"
_NO_CLASSES = ("fov", "second_rater")  # masks of another kind, beside those of the classes
_CLASS_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")


class Pages(StrEnum):
    """What the pages of a TIFF are."""

    slices = "slices"
    channels = "channels"
    cases = "cases"


class Unit(StrEnum):
    """Of a spacing."""

    mm = "mm"
    um = "um"
    px = "px"


class Scheme(StrEnum):
    """Of normalisation."""

    ct = "ct"
    z_score = "z_score"
    percentile = "percentile"
    none = "none"


def _found(help_text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=FOUND, **more)


def _stated(help_text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=STATED, **more)


@dataset_app.command("add")
def add(
    folder: Annotated[Path, typer.Argument(help="Holds images and masks; nothing is copied.")],
    name: Annotated[str, typer.Option("--name", help="Of the dataset: small letters, digits, _.")],
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Catalog folder (default: my_sets).", rich_help_panel=WRITTEN),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Read and tell, write nothing.", rich_help_panel=WRITTEN),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Write an existing dataset anew.", rich_help_panel=WRITTEN),
    ] = False,
    layout: Annotated[str | None, _found("pictures, nnunet, dicom, ...")] = None,
    images: Annotated[str | None, _found("Images: a folder or 'glob' below FOLDER.")] = None,
    masks: Annotated[
        list[str] | None,
        _found("Masks: a folder or 'glob', or CLASS=GLOB for a mask per class.", metavar="GLOB"),
    ] = None,
    classes: Annotated[
        list[str] | None,
        _found(
            "A class by its value in the masks, 128=nucleus or '#ff0000=vessel'.",
            "--class",
            metavar="VALUE=NAME",
        ),
    ] = None,
    threshold: Annotated[float | None, _found("Masks are cut above this value.", min=0)] = None,
    groups: Annotated[
        str | None,
        _found("A regular expression with one group, a CSV (case, group), `case` or `unknown`."),
    ] = None,
    spacing: Annotated[
        str | None, _found("Of every case, one number per axis.", metavar="A,B[,C]")
    ] = None,
    unit: Annotated[Unit | None, _found("Of the spacing.")] = None,
    pages: Annotated[Pages | None, _found("What the pages of a TIFF are.")] = None,
    channels: Annotated[int | None, _found("Of an image: 1 reads grey.", min=1)] = None,
    blocks: Annotated[
        int | None, _found("One specimen: cut every image into so many blocks.", min=2)
    ] = None,
    gap: Annotated[int | None, _found("Pixels left out between blocks.", min=0)] = None,
    fill: Annotated[bool, _found("Masks are outlines: fill them.", "--fill")] = False,
    as_is: Annotated[bool, _found("Masks look like outlines and are none.", "--as-is")] = False,
    modality: Annotated[str | None, _stated("As `fundus photographs`.")] = None,
    task: Annotated[str | None, _stated("As `vessels in fundus photographs`.")] = None,
    title: Annotated[str | None, _stated("The report's name for it.")] = None,
    licence: Annotated[str | None, _stated("Shown with every result.")] = None,
    citation: Annotated[str | None, _stated("Shown with every result.")] = None,
    mirror_axes: Annotated[
        str | None,
        _stated("Axes along which mirrored images occur, from 0; none: ''.", metavar="0,1"),
    ] = None,
    normalisation: Annotated[Scheme | None, _stated("Of intensities.")] = None,
) -> None:
    """Make a dataset of a folder: recognise it, read every case, write a small YAML file.

    Asks nothing: what cannot be told is refused, all of it at once, with the flag that answers.
    """
    from attnbench.intake.add import DEFAULT_CATALOG, Request, add_dataset
    from attnbench.intake.entry_text import Statements
    from attnbench.intake.found import Options

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    # Decoders warn per file; what matters is said once, by what was read.
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.ERROR)
    problems: list[str] = []
    options = Options(
        layout=layout,
        images=images,
        masks=_masks(masks or [], problems),
        classes=_classes(classes or [], problems),
        threshold=_whole(threshold),
        groups=groups,
        spacing=_numbers("--spacing", spacing, float, problems),
        spacing_unit=unit.value if unit else None,
        pages=pages.value if pages else None,
        channels=channels,
        blocks=blocks,
        gap=gap,
        outlines=_outlines(fill, as_is, problems),
    )
    said = Statements(
        title=title,
        task=task,
        modality=modality,
        licence=licence,
        citation=citation,
        mirror_axes=_numbers("--mirror-axes", mirror_axes, int, problems),
        normalisation=normalisation.value if normalisation else None,
    )
    if gap is not None and blocks is None:
        problems.append("--gap: is between blocks; give --blocks as well")
    if problems:
        raise DataError("\n".join(problems))
    request = Request(
        folder=folder,
        name=name,
        catalog=to or DEFAULT_CATALOG,
        options=options,
        said=said,
        dry_run=dry_run,
        replace=replace,
        typed=shlex.join(["attnbench", *sys.argv[1:]]),
    )
    typer.echo(add_dataset(request))


@dataset_app.command("check")
def check(
    name: Annotated[str, typer.Argument(help="The dataset's name in the catalog.")],
    catalog: Annotated[
        list[Path] | None,
        typer.Option("--catalog", help="Folder of your own datasets (default: my_sets)."),
    ] = None,
    study: Annotated[
        Path | None, typer.Option("--study", help="One that has fetched it; its catalog is taken.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder that is written (default: NAME-check).")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes, at most.")] = 1,
) -> None:
    """Look for copies of images and for what else is odd; status 1 if copies cross groups.

    Writes tables and a picture of the pairs.
    """
    from attnbench.catalog import LocalOrigin, load_entry
    from attnbench.check import load_study
    from attnbench.data.scan.inspect import inspect_dataset
    from attnbench.data.scan.words import in_words
    from attnbench.intake.add import DEFAULT_CATALOG

    loaded = load_study(study) if study else None
    folders = loaded.catalog if loaded else (DEFAULT_CATALOG,) * DEFAULT_CATALOG.is_dir()
    entry = load_entry(name, tuple(catalog) if catalog else folders)
    if entry.generated:
        raise DataError(f"{name}: its images are generated; none can be a copy of another")
    if not loaded and not isinstance(entry.origin, LocalOrigin):
        raise DataError(
            f"{name}: its images are downloaded by a study; name one that has it and has fetched "
            "it: --study FILE (`attnbench fetch --study FILE --dataset NAME`)"
        )
    folder = to or Path(f"{name}-check")
    raw = loaded.layout.raw(name) if loaded else folder
    inspection = inspect_dataset(entry, raw, folder, workers)
    for line in in_words(inspection):
        typer.echo(line)
    typer.echo(f"tables and a picture of the pairs: {folder}")
    if inspection.leaks:
        raise typer.Exit(1)


def _masks(given: list[str], problems: list[str]) -> dict[str, str]:
    """Globs by class; the empty class is one mask for all."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, glob = text.partition("=")
        if not equals:
            name, glob = "", text
        elif not _CLASS_NAME.fullmatch(name):
            problems.append(_bad_class("--masks", text, name))
        if name in found:
            problems.append(f"--masks {text}: {name or 'masks of all classes'} twice")
        found[name] = glob
    if "" in found and set(found) - {"", *_NO_CLASSES}:
        problems.append("--masks: either one glob for all classes, or CLASS=GLOB for each")
    return found


def _classes(given: list[str], problems: list[str]) -> dict[str, str]:
    """Names by value."""
    found: dict[str, str] = {}
    for text in given:
        value, equals, name = text.partition("=")
        if not equals or not value:
            problems.append(f"--class {text}: write VALUE=NAME, as 128=nucleus")
        elif not _CLASS_NAME.fullmatch(name):
            problems.append(_bad_class("--class", text, name))
        elif value in found:
            problems.append(f"--class {text}: the value {value} has a name, {found[value]}")
        found[value] = name
    return found


def _bad_class(flag: str, text: str, name: str) -> str:
    return f"{flag} {text}: {name!r} is no name of a class: small letters, digits and _"


def _numbers(
    flag: str, text: str | None, kind: type[Any], problems: list[str]
) -> tuple[Any, ...] | None:
    if text is None:
        return None
    try:
        numbers = tuple(kind(part) for part in text.replace("x", ",").split(",") if part.strip())
    except ValueError:
        problems.append(f"{flag} {text}: write numbers with commas, one per axis")
        return None
    if any(not (number >= 0 if kind is int else 0 < number < float("inf")) for number in numbers):
        problems.append(f"{flag} {text}: a number is out of range")
    return numbers


def _whole(number: float | None) -> float | None:
    """A whole number as one, so that the entry says 127 and not 127.0."""
    return int(number) if number is not None and number.is_integer() else number


def _outlines(fill: bool, as_is: bool, problems: list[str]) -> Any:
    if fill and as_is:
        problems.append("--fill and --as-is exclude each other")
    return "fill" if fill else "keep" if as_is else None
