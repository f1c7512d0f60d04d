"""A first study of a dataset as text: settings sized to its cases, each line with its reason."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from attnbench.catalog import Entry, LocalOrigin, load_entry
from attnbench.data.case import RawCase, Spacing
from attnbench.data.read import cases_of, unread_cases
from attnbench.errors import StudyError

LEVELS = 4  # of the backbone below: every level but the first halves the sides
WIDTHS = (8, 16, 32, 64)
STEPS = 320
BATCH = 4
LONGEST_2D = 96
LONGEST_3D = 64
MOST_VOXELS = 13824  # of a 3-D patch, 24 in every direction: the work of a 2-D one
SAME_SPACING = 0.01
SAMPLE = 16  # cases that are read to learn how large they are


# Lines of YAML, as any others that `models` may be.
MODELS = """\
models: [unet, attention_gate, self_attention]  # others: attnbench models
# controls: [parameters, flops]  # without them no variant can be said to help"""


def first_study(
    name: str, folders: Sequence[Path], models: str = MODELS, file: str = "FILE"
) -> str:
    """A first study of a dataset of the catalog or of a user's `folders`; `study_text` writes it.

    Some cases of a dataset of one's own are read to learn their sizes. `models` are lines of YAML,
    `file` is what the study will be called.

    Raises:
        CatalogError: no such dataset.
        DataError: a case cannot be read.
        StudyError: too few groups.
    """
    entry = load_entry(name, tuple(folders))
    if not isinstance(entry.origin, LocalOrigin):
        return study_text(entry, [], [], models, file)
    files = [own for own in unread_cases(entry, Path()) if not isinstance(own, RawCase)]
    step = max(1, len(files) // SAMPLE)
    cases = [case for own in files[::step][:SAMPLE] for case in cases_of(own)]
    own = [folder for folder in folders if entry.listing and entry.listing.parent == folder]
    grids = [(case.mask.shape, case.spacing) for case in cases]
    return study_text(entry, own, grids, models, file)


def study_text(
    entry: Entry,
    folders: Sequence[Path],
    grids: Sequence[tuple[tuple[int, ...], Spacing]],
    models: str = MODELS,
    file: str = "FILE",
) -> str:
    """A study file of one dataset for a first look on a CPU, which `attnbench study check` accepts.

    Args:
        entry: the dataset.
        folders: the catalog folders of its own, as the study names them.
        grids: shape and spacing of some of its cases; without any, patches are the defaults.
        models: the models, as lines of YAML.
        file: what the study will be called.

    Raises:
        StudyError: the dataset has too few groups to be split into folds.
    """
    outer, inner = _folds(entry)
    lines = [
        f"# A first look at {_one_line(entry.title)}. Check it: attnbench study check {file}",
        f"# Run it: attnbench run {file}. Every key: attnbench study schema",
        f"name: {entry.name}",
    ]
    if folders:
        lines += [
            "catalog:  # folders of your own datasets, from where commands are typed",
            *(f"  - {_quoted(folder)}" for folder in folders),
        ]
    lines += [
        "datasets:",
        f"  - name: {entry.name}",
        *(f"    {line}" for line in (*_sampling(entry, grids), *_official_split(entry))),
        models,
        "backbone:",
        f"  widths: {list(WIDTHS)}  # channels per level; the default is wider: [16, 32, 64, 128]",
        "  blocks_per_level: 1  # the default is 2",
        "folds:",
        f"  outer: {outer}  # every {_unit(entry)} is tested once; {_count(entry)}",
        f"  inner: {inner}  # one part in {inner} of the others is watched, and chooses nothing",
        "seeds: [0]  # more seeds tell luck of the training from the model: [0, 1, 2]",
        "training:",
        f"  steps: {STEPS}  # enough for a first look; for a result give thousands",
        f"  batch: {BATCH}  # patches per step",
        f"  validate_every: {STEPS // 8}",
        "",
    ]
    return "\n".join(lines)


def _sampling(entry: Entry, grids: Sequence[tuple[tuple[int, ...], Spacing]]) -> list[str]:
    """Lines of the dataset: a common spacing where cases differ, and a patch that fits them."""
    if not grids:
        return []
    lines = []
    spacing = _common_spacing(entry, [spacing for _, spacing in grids])
    shapes = [
        tuple(
            max(1, round(size * own / wanted))
            for size, own, wanted in zip(shape, given, spacing or given, strict=True)
        )
        for shape, given in grids
    ]
    sides = tuple(int(statistics.median(axis)) for axis in zip(*shapes, strict=True))
    if spacing:
        lines.append(
            f"spacing: {list(spacing)}  # cases differ; all are resampled to this "
            f"({entry.spacing_unit} per axis)"
        )
    size = " x ".join(map(str, sides))
    lines.append(f"patch: {list(patch_for(sides))}  # pixels per axis; a median case has {size}")
    return lines


def _official_split(entry: Entry) -> list[str]:
    """Lines to be uncommented, one of them, where every case has its part of the authors' split."""
    parts = [own.get("part") for own in entry.labels().values()]
    if len(parts) < entry.cases or None in parts or not {"train", "test"} <= set(parts):
        return []
    return [
        "# held_out: official  # keep the authors' test part beside the folds; docs/splits.md",
        "# split: official  # or their one split, which can claim less",
    ]


def patch_for(sides: Sequence[int]) -> tuple[int, ...]:
    """A patch for cases of these sides: multiples of what the backbone halves to, within limits.

    No side is longer than the case's, rounded up to the next multiple; the longest sides of a
    3-D patch are shortened until it has at most `MOST_VOXELS`.
    """
    step = 2 ** (LEVELS - 1)
    longest = LONGEST_2D if len(sides) == 2 else LONGEST_3D
    patch = [min(longest, max(2 * step, step * round(side / step))) for side in sides]
    most = longest**2 if len(sides) == 2 else MOST_VOXELS
    while math.prod(patch) > most:
        patch[patch.index(max(patch))] -= step
    return tuple(patch)


def _common_spacing(entry: Entry, spacings: Sequence[Spacing]) -> Spacing | None:
    """The median spacing in three digits where cases differ in it, None where they agree."""
    axes = list(zip(*spacings, strict=True))
    if all(max(axis) <= min(axis) * (1 + SAME_SPACING) for axis in axes):
        return None
    return tuple(float(f"{statistics.median(axis):.3g}") for axis in axes)


def _folds(entry: Entry) -> tuple[int, int]:
    groups = entry.count_groups()
    if groups < 3:
        raise StudyError(
            f"{entry.name}: {_count(entry)}; folds need three groups at least: one to test, one "
            "to choose weights, one to train. One specimen is cut into parts by "
            "`attnbench dataset add ... --blocks 6 --gap 64`"
        )
    outer = min(5, groups)
    return outer, min(4, groups - math.ceil(groups / outer))


def _unit(entry: Entry) -> str:
    return "group" if entry.groups_known else "case"


def _count(entry: Entry) -> str:
    return f"{entry.name} has {entry.count_groups()} {_unit(entry)}s"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _quoted(path: Path) -> str:
    text = path.as_posix().replace("'", "''")
    return f"'{text}'"
