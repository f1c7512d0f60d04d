"""Folders of pictures with masks: PNG, TIFF, JPEG, BMP, GIF and PPM."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from attnbench.catalog import Blocks, Reader
from attnbench.data.readers.decode import decode
from attnbench.data.readers.legend import Legend
from attnbench.data.readers.picture_sets import filled
from attnbench.errors import listed
from attnbench.intake.found import Found, FoundFile, Guess, Options, Problem
from attnbench.intake.groups import Groups, find_groups
from attnbench.intake.looks import PICTURES, Look, MaskLook, look_at, look_at_masks
from attnbench.intake.pairs import ROLES, Files, Pair, Pairs, list_files, pair_files
from attnbench.intake.values import Meaning, find_classes

NAME = "pictures"
VOLUMES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".dcm", ".npz")
# Words that tell raters from each other, and no classes.
_RATER = re.compile(
    r"\d+(st|nd|rd|th)\w*|(labels?|masks?|seg\w*|gt|rater|reader|observer|manual|annotator|expert)"
    r"_?\w?|annotations?\d"
)
_MOST_CLASSES = 16
_OUTLINE_SAMPLE = 64  # masks that are tried for outlines
_ENCLOSED = 3  # filled, an outline is more than so many times larger
TWO_MASKS = (
    "--masks FOLDER or GLOB for the masks that count; others may be --masks fov=GLOB (field of "
    "view), --masks second_rater=GLOB, or --masks NAME=GLOB for each class"
)
ONE_SPECIMEN = (
    "--blocks N --gap PIXELS cuts an image into N blocks that count as groups; --groups, if the "
    "names hide several"
)


@dataclass(frozen=True)
class _Roles:
    """Files of every case by role, and class by role where there is a mask for each class."""

    of: Mapping[str, Mapping[str, tuple[str, ...]]]
    classes: Mapping[str, str] = field(default_factory=dict)
    guesses: tuple[Guess, ...] = ()
    problems: tuple[Problem, ...] = ()

    def paths(self, wanted: Callable[[str], bool]) -> list[str]:
        """Files of all cases whose role is wanted."""
        return [
            path for own in self.of.values() for role, paths in own.items() if wanted(role)
            for path in paths
        ]  # fmt: skip


def recognise(folder: Path, options: Options) -> Found | None:
    """Tell images, masks, classes, groups and sizes of a folder of pictures.

    None where there is no picture, or where it is a folder of volumes. Otherwise everything that
    was found; what is wrong or in doubt is in `problems`, all at once.
    """
    files = list_files(folder, PICTURES)
    volumes = sum(name.lower().endswith(VOLUMES) for name in files.others)
    nnunet = (folder / "dataset.json").is_file() and (folder / "imagesTr").is_dir()
    if not files.wanted or (options.layout != NAME and (volumes >= len(files.wanted) or nnunet)):
        return None
    pairs = pair_files(files.wanted, options.images, options.masks)
    roles = _roles(pairs, options)
    images = look_at(folder, [path for pair in pairs.pairs for path in pair.images])
    masks = look_at_masks(folder, roles.paths(lambda role: role.startswith("mask")))
    others = look_at_masks(folder, roles.paths(lambda role: role == "fov"))
    looks: dict[str, Look] = {look.path: look for look in (*images, *masks, *others)}
    meaning = _meaning(roles, masks, options)
    groups = _groups(pairs.pairs, options)
    channels, channel_settings, channel_guesses, channel_problems = _channels(images, options)
    spacing = _spacing(images, options)
    turning = _orientation(pairs.pairs, roles, looks)
    problems = [
        *_unreadable(files, looks.values()),
        *pairs.problems,
        *roles.problems,
        *_pages(images, masks, options),
        *turning.problems,
        *_shapes(roles, looks, options, turning.value),
        *channel_problems,
        *meaning.problems,
        *_outlines(folder, masks, meaning, options),
        *spacing.problems,
        *groups.problems,
        *_specimen(pairs.pairs, groups, options),
        *_numbers_of_blocks(options),
    ]
    settings: dict[str, Any] = {
        **_mask_settings(roles, meaning),
        **({"pages": options.pages} if options.pages else {}),
        **channel_settings,
        **({"fill": True} if options.outlines == "fill" else {}),
        **({"orientation": turning.value} if turning.value else {}),
        **({"spacing": "file"} if spacing.value is None and spacing.unit != "px" else {}),
    }
    blocks = None
    if options.blocks and options.blocks > 1 and (options.gap or 0) >= 0:
        blocks = Blocks(count=options.blocks, gap=options.gap or 0)
    ndim: Literal[2, 3] = 3 if options.pages == "slices" else 2
    return Found(
        layout=NAME,
        rows=tuple(_rows(roles, groups)),
        reader=Reader(name="pictures", settings=settings, blocks=blocks),
        ndim=ndim,
        channels=channels,
        classes=dict(meaning.names),
        axes=("page", "top-bottom", "left-right")[3 - ndim :],
        spacing=spacing.value,
        spacing_unit=spacing.unit,
        groups="blocks of the images" if blocks else groups.how,
        groups_inferred=groups.inferred,
        labels=_labels(pairs.pairs, groups),
        guesses=(
            *roles.guesses,
            *channel_guesses,
            *meaning.guesses,
            *turning.guesses,
            *spacing.guesses,
            *groups.guesses,
        ),
        problems=tuple(problems),
        notes=tuple(_notes(files, pairs, looks.values(), masks, images)),
    )


def _roles(pairs: Pairs, options: Options) -> _Roles:
    """What each file of a case is: one mask, a mask of one class, or of one object."""
    keys = Counter(key for pair in pairs.pairs for key in pair.masks)
    of = {pair.name: {"image": pair.images} for pair in pairs.pairs}
    if set(options.masks) - {"", *ROLES}:
        return _class_roles(pairs.pairs, [n for n in options.masks if n not in ROLES], said=True)
    if options.masks:
        keys = Counter({key: count for key, count in keys.items() if key not in ROLES})
    distinct = {key for key in keys if key}
    if distinct and not _are_objects(pairs.pairs, keys):
        words = sorted(distinct)
        classes = (
            "" not in keys
            and len(words) <= _MOST_CLASSES
            and not any(_RATER.fullmatch(w) or w.isdigit() for w in words)
            and (min(keys.values()) > 1 or len(pairs.pairs) == 1)
        )
        if classes:
            return _class_roles(pairs.pairs, words, said=False)
        example = next(pair for pair in pairs.pairs if len(pair.masks) > 1 or not classes)
        several = tuple(path for paths in example.masks.values() for path in paths)
        kinds = listed([f"{key or 'no word'} ({count} images)" for key, count in keys.items()], 8)
        text = f"two masks or more for one image, told apart by {kinds}; such as"
        return _Roles(of, problems=(Problem(text, (*example.images, *several), TWO_MASKS),))
    guesses: tuple[Guess, ...] = ()
    role = "mask"
    if distinct:
        role = "mask_instance"
        count = sum(len(paths) for pair in pairs.pairs for paths in pair.masks.values())
        text = f"{count} masks of {len(pairs.pairs)} images: one for each object, joined"
        guesses = (Guess("masks", text, "--masks GLOB"),)
    twice = []
    result: dict[str, dict[str, tuple[str, ...]]] = {}
    for pair in pairs.pairs:
        own = {key: paths for key, paths in pair.masks.items() if key not in ROLES}
        joined = tuple(path for key in sorted(own) for path in own[key])
        if len(joined) > 1 and role == "mask":
            twice += [*pair.images, *joined]
        result[pair.name] = {"image": pair.images, role: joined, **_kept_roles(pair)}
    twice += _twice(pairs.pairs)
    problems = (Problem("two masks for one image", tuple(twice), TWO_MASKS),) if twice else ()
    return _Roles(result, guesses=guesses, problems=problems)


def _kept_roles(pair: Pair) -> dict[str, tuple[str, ...]]:
    return {ROLES[key]: paths for key, paths in pair.masks.items() if key in ROLES}


def _twice(pairs: Iterable[Pair]) -> list[str]:
    return [p for pair in pairs for paths in _kept_roles(pair).values() if len(paths) > 1
            for p in paths]  # fmt: skip


def _are_objects(pairs: Sequence[Pair], keys: Mapping[str, int]) -> bool:
    """True where masks of an image are numbered or named at random, as many as there are."""
    sets = {tuple(sorted(pair.masks)) for pair in pairs}
    systematic = len(sets) == 1 and len(pairs) > 1
    words = [key for key in keys if key]
    numbered = all(re.fullmatch(r"(\w*_)?\d+|[0-9a-f]{8,}", key) for key in words)
    mostly_once = sum(count == 1 for count in keys.values()) > 0.8 * len(keys) and len(words) > 4
    raters = all(_RATER.fullmatch(key) for key in words)
    return not systematic and not raters and (numbered or mostly_once)


def _class_roles(pairs: Sequence[Pair], names: Sequence[str], said: bool) -> _Roles:
    """One mask, or several that are joined, for each class of `names`."""
    classes = {f"mask_{_plain(name)}": _plain(name) for name in names}
    of = {
        pair.name: {
            "image": pair.images,
            **{f"mask_{_plain(n)}": pair.masks[n] for n in names if n in pair.masks},
            **_kept_roles(pair),
        }
        for pair in pairs
    }
    guesses = []
    if not said:
        flags = " ".join(f"--masks {_plain(name)}=GLOB" for name in names)
        guesses.append(Guess("classes", f"a mask for each of {listed(names)}", flags))
    for role, name in classes.items():
        without = [case for case, own in of.items() if role not in own]
        if without:
            value = (
                f"{len(without)} image(s) have no file for it ({listed(without, 3)}): none there"
            )
            guesses.append(Guess(f"class {name}", value, f"an empty mask file, or --masks {name}="))
    bare = tuple(own["image"][0] for own in of.values() if not any(role in own for role in classes))
    problems = (Problem("images without a mask of any class", bare, "--masks"),) if bare else ()
    return _Roles(of, classes, tuple(guesses), problems)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "object"


def _meaning(roles: _Roles, masks: Sequence[MaskLook], options: Options) -> Meaning:
    """Classes by value, or by role where there is a mask for each."""
    if not roles.classes:
        objects = any("mask_instance" in own for own in roles.of.values())
        named = [name for name in options.classes.values() if name != "background"]
        one = (named[0] if named else "object") if objects else ""
        return find_classes(masks, options, one)
    meaning = find_classes(masks, options, "marked")
    problems = list(meaning.problems)
    by_path = {mask.path: mask for mask in masks}
    for role, name in roles.classes.items():
        own = [by_path[p] for files in roles.of.values() for p in files.get(role, ())]
        if own and not any(_marks(mask, meaning) for mask in own):
            text = f"class {name} occurs in no mask: all {len(own)} of its masks are empty"
            problems.append(Problem(text, tuple(m.path for m in own), f"--masks {name}=GLOB"))
    names = dict(enumerate(roles.classes.values(), start=1))
    return Meaning(meaning.values, names, meaning.threshold, meaning.guesses, tuple(problems))


def _marks(mask: MaskLook, meaning: Meaning) -> bool:
    """False for a mask that is surely empty."""
    return (
        bool(mask.error)
        or mask.values > 1
        or not any((counts or {}).get(0) for counts in (mask.by_number, mask.by_colour))
    )


def _mask_settings(roles: _Roles, meaning: Meaning) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if meaning.threshold is not None:
        settings["threshold"] = meaning.threshold
    elif meaning.values:
        settings["values"] = dict(meaning.values)
    if roles.classes:
        settings["masks"] = {role: n for n, role in enumerate(roles.classes, start=1)}
    elif any("mask_instance" in own for own in roles.of.values()):
        settings["masks"] = {"mask_instance": 1}
    return settings


def _unreadable(files: Files, looks: Iterable[Look]) -> Iterator[Problem]:
    bad = tuple(f"{look.path}: {look.error}" for look in looks if look.error)
    if bad:
        text = f"{len(bad)} file(s) cannot be read; repair them or take them away"
        yield Problem(text, bad)
    if files.broken:
        yield Problem("symbolic links that lead to nothing", files.broken)


def _pages(
    images: Sequence[Look], masks: Sequence[MaskLook], options: Options
) -> Iterator[Problem]:
    several = tuple(
        f"{look.path}: {look.pages} pages" for look in (*images, *masks) if look.pages > 1
    )
    if several and options.pages is None:
        yield Problem(
            "files with several pages; are they the slices of a volume, channels, or cases?",
            several,
            "--pages slices, --pages channels or --pages cases",
        )
    if options.pages and not several:
        text = f"--pages {options.pages}, but no file has more than one page"
        yield Problem(text, flag="no --pages")
    if options.pages == "channels":
        counts = Counter(look.pages for look in images if not look.error)
        if len(counts) > 1:
            most = counts.most_common(1)[0][0]
            odd = tuple(f"{i.path}: {i.pages}" for i in images if i.pages != most and not i.error)
            yield Problem(f"images do not all have {most} pages (channels)", odd)


@dataclass(frozen=True)
class _Answer:
    """A value with how it was found."""

    value: Any = None
    unit: Literal["mm", "um", "px"] = "px"
    guesses: tuple[Guess, ...] = ()
    problems: tuple[Problem, ...] = ()


def _orientation(pairs: Sequence[Pair], roles: _Roles, looks: Mapping[str, Look]) -> _Answer:
    """Whether images that EXIF turns have to be turned to fit their masks; shapes may tell."""
    votes: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        image = looks[pair.images[0]]
        if image.error or image.orientation == 1:
            continue
        own = roles.of[pair.name]
        masks = [looks[p] for role, paths in own.items() if role.startswith("mask") for p in paths]
        shapes = {mask.shown for mask in masks if not mask.error}
        stored, shown = shapes == {image.shape}, shapes == {image.shown}
        vote = "unclear" if stored == shown else "ignore" if stored else "apply"
        votes[vote].append(image.path)
    if not votes:
        return _Answer()
    if set(votes) in ({"apply"}, {"ignore"}):
        (value,) = votes
        text = "turned as EXIF says, as their masks are" if value == "apply" else (
            "as stored, not turned as EXIF says, as their masks are"
        )  # fmt: skip
        return _Answer(value, guesses=(Guess("orientation", text, "images saved upright"),))
    files = tuple(path for paths in votes.values() for path in paths)
    text = (
        "EXIF says that these images are to be shown turned, and whether their masks are turned "
        "as well cannot be told from the shapes"
    )
    return _Answer(problems=(Problem(text, files, "images saved upright, without the EXIF tag"),))


def _shapes(
    roles: _Roles, looks: Mapping[str, Look], options: Options, turning: str | None
) -> Iterator[Problem]:
    """Images and masks of a case have one shape, and as many pages."""
    wrong = []
    for own in roles.of.values():
        image = looks[own["image"][0]]
        shape = image.shown if turning == "apply" else image.shape
        for role, paths in own.items():
            for look in (looks[path] for path in paths if path in looks):
                if role == "image" or look.error or image.error:
                    continue
                mine = look.shown if turning == "apply" else look.shape
                if mine != shape and image.shown != mine:
                    wrong.append(f"{look.path}: {mine}, {image.path}: {shape}")
                elif options.pages in ("slices", "cases") and look.pages != image.pages:
                    wrong.append(f"{look.path}: {look.pages} pages, {image.path}: {image.pages}")
                elif options.pages == "channels" and look.pages > 1:
                    wrong.append(f"{look.path}: {look.pages} pages; the channels' mask has one")
    if wrong:
        yield Problem("masks have another shape (rows, columns) than their images", tuple(wrong))


def _channels(
    images: Sequence[Look], options: Options
) -> tuple[int, dict[str, Any], list[Guess], list[Problem]]:
    """Channels as read, the reader's settings for them, what was guessed, what is wrong."""
    seen = [image for image in images if not image.error]
    factor = max((image.pages for image in seen), default=1) if options.pages == "channels" else 1
    kinds = Counter(1 if image.alike else image.channels for image in seen)
    alike = sum(image.alike for image in seen)
    said = options.channels
    settings: dict[str, Any] = {}
    guesses: list[Guess] = []
    if not seen:
        return said or 1, settings, guesses, []
    if set(kinds) - {1, 3} and len(kinds) > 1:
        odd = tuple(f"{image.path}: {image.channels}" for image in seen)
        return 1, {}, [], [Problem("images have different numbers of channels", odd)]
    found = max(kinds)
    coloured = kinds[3]
    if factor > 1:
        if said not in (None, found * factor):
            return found * factor, {}, [], [Problem(
                f"--channels {said}, but the pages give {found * factor}", flag="--channels"
            )]  # fmt: skip
        return found * factor, {}, [], []
    if said is None or said == found:
        if said is None and alike:
            text = f"{alike} RGB image(s) are grey, their channels equal"
            read = "1 channel" if found == 1 else "3 channels, because others are in colours"
            guesses.append(Guess("channels", f"{text}: read as {read}", "--channels N"))
        elif said is None and found == 3 and kinds[1]:
            text = f"{kinds[1]} grey image(s) among {coloured} in colours: read as 3 channels"
            guesses.append(Guess("channels", text, "--channels 1 (luminance)"))
        return found, settings, guesses, []
    if said == 1 and found == 3:
        return 1, {"grey": True}, guesses, []
    if said == 3 and found == 1:
        return 3, settings, guesses, []
    text = f"--channels {said}, but the images have {found}"
    return found, {}, [], [Problem(text, flag=f"--channels {found}")]


def _spacing(images: Sequence[Look], options: Options) -> _Answer:
    """The size of a pixel: as said, as the files say, or unknown."""
    if options.spacing is not None:
        ndim = 3 if options.pages == "slices" else 2
        if len(options.spacing) != ndim:
            text = f"--spacing has {len(options.spacing)} numbers; cases have {ndim} axes"
            return _Answer(problems=(Problem(text, flag="--spacing"),))
        return _Answer(options.spacing, options.spacing_unit or "mm")
    seen = [image for image in images if not image.error]
    sizes = {image.size for image in seen}
    if sizes in (set(), {None}) or options.pages == "slices":
        return _Answer()
    unit: Literal["mm", "um"] = "um" if max(s[0] for s in sizes if s) < 0.05 else "mm"
    factor = 1000 if unit == "um" else 1
    shown = [
        f"{i.path}: {f'{i.size[0] * factor:g} x {i.size[1] * factor:g} {unit}' if i.size else '?'}"
        for i in seen
    ]
    if None in sizes:
        text = "some images say the size of a pixel, others do not"
        return _Answer(problems=(Problem(text, tuple(shown), "--spacing HEIGHT WIDTH --unit"),))
    if len(sizes) > 1:
        text = "images differ in the size of a pixel, each file's own is read"
        value = f"{text}; resample them in the study (spacing: of the dataset)"
        low, high = min(s[0] for s in sizes if s), max(s[0] for s in sizes if s)
        value += f": {low * factor:g} to {high * factor:g} {unit}"
        return _Answer(None, unit, (Guess("spacing", value, "--spacing HEIGHT WIDTH"),))
    ((height, width),) = (size for size in sizes if size)
    spacing = (round(height * factor, 9), round(width * factor, 9))
    guess = Guess("spacing", f"{spacing[0]:g} x {spacing[1]:g} {unit}, from the files", "--spacing")
    return _Answer(spacing, unit, (guess,))


def _groups(pairs: Sequence[Pair], options: Options) -> Groups:
    cases = {pair.name: pair.images[0] for pair in pairs}
    if options.blocks or (len(cases) == 1 and options.groups is None):
        return find_groups(cases, "case")
    return find_groups(cases, options.groups)


def _specimen(pairs: Sequence[Pair], groups: Groups, options: Options) -> Iterator[Problem]:
    """One image, or one group, cannot be divided into training and test."""
    if options.blocks or not pairs or groups.problems:
        return
    if len(pairs) == 1:
        text = "one image only: no other is left to test on"
    elif len(set(groups.of.values())) == 1:
        text = "all images are of one group: no other is left to test on"
    else:
        return
    yield Problem(text, flag=ONE_SPECIMEN)


def _numbers_of_blocks(options: Options) -> Iterator[Problem]:
    if options.blocks is not None and options.blocks < 2:
        yield Problem(f"--blocks {options.blocks}; it takes two at least", flag="--blocks N")
    if options.gap is not None and (options.gap < 0 or options.blocks is None):
        yield Problem(f"--gap {options.gap}: pixels, with --blocks", flag="--blocks N --gap PIXELS")
    if options.blocks and options.gap is None:
        yield Problem("--blocks needs --gap: pixels between two blocks", flag="--gap PIXELS")


def _outlines(
    folder: Path, masks: Sequence[MaskLook], meaning: Meaning, options: Options
) -> Iterator[Problem]:
    """Masks in which thin closed curves enclose much more than they cover."""
    if options.outlines or not (meaning.values or meaning.threshold is not None):
        return
    seen = [mask for mask in masks if not mask.error and mask.values > 1]
    legend = Legend.of(meaning.values, meaning.threshold)
    drawn, tried = [], 0
    for mask in seen[:: max(1, len(seen) // _OUTLINE_SAMPLE)]:
        try:
            classes = legend.apply(decode(folder / mask.path))
        except (OSError, ValueError):
            continue  # said elsewhere
        if classes.any():
            tried += 1
            if _is_outline(classes):
                drawn.append(mask.path)
    if len(drawn) * 2 > tried:
        text = f"{len(drawn)} of {tried} masks look like outlines: thin curves around what is meant"
        yield Problem(text, tuple(drawn), "--fill (what they enclose), or --as-is (the curves)")


def _is_outline(classes: np.ndarray[Any, Any]) -> bool:
    from scipy import ndimage

    area = np.count_nonzero(classes)
    if np.count_nonzero(filled(classes)) <= _ENCLOSED * area:
        return False
    pages = classes.reshape(-1, *classes.shape[-2:]) > 0
    left = sum(ndimage.binary_erosion(page, iterations=3).sum() for page in pages)
    return bool(left < 0.1 * area)


def _rows(roles: _Roles, groups: Groups) -> Iterator[FoundFile]:
    for case, own in roles.of.items():
        for role, paths in own.items():
            for path in paths:
                yield FoundFile(path, role, case, groups.of[case])


def _labels(pairs: Sequence[Pair], groups: Groups) -> dict[str, dict[str, str]]:
    """Labels of a table and the part of an official split, by case."""
    parts = {pair.name: pair.part for pair in pairs if pair.part}
    labels = {case: dict(own) for case, own in groups.labels.items()}
    if len(set(parts.values())) > 1 or (parts and len(parts) < len(pairs)):
        for case, part in parts.items():
            labels.setdefault(case, {}).setdefault("part", part)
    return labels


def _notes(
    files: Files,
    pairs: Pairs,
    looks: Iterable[Look],
    masks: Sequence[MaskLook],
    images: Sequence[Look],
) -> Iterator[str]:
    yield from pairs.notes
    looks = list(looks)
    misnamed = [f"{look.path} is {look.kind}" for look in looks if not look.error and look.misnamed]
    if misnamed:
        yield f"names say another format than the content, which counts: {listed(misnamed, 10)}"
    if files.others:
        yield f"{len(files.others)} file(s) are no pictures and left: {listed(files.others, 5)}"
    empty = [mask.path for mask in masks if not mask.error and mask.values == 1
             and ((mask.by_number or {}).get(0) or (mask.by_colour or {}).get(0))]  # fmt: skip
    if empty:
        yield f"{len(empty)} of {len(masks)} masks are empty: {listed(empty, 5)}"
    types = Counter(image.dtype for image in images if not image.error)
    if len(types) > 1:
        yield "images differ in their numbers: " + ", ".join(f"{n} {t}" for t, n in types.items())
    alpha = [image.path for image in images if image.alpha_varies]
    if alpha:
        yield f"opacity (alpha) of images is left out: {listed(alpha, 5)}"
    parts = Counter(pair.part for pair in pairs.pairs)
    if len(parts) > 1:
        found = ", ".join(f"{part or 'none'} {count}" for part, count in parts.items())
        yield f"folders name parts of an official split (label part): {found}"
