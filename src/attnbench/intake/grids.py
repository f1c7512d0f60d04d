"""Grids of pictures: their pages, their turning, their channels and the size of a pixel."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from attnbench.intake.found import Guess, Options, Problem
from attnbench.intake.looks import Look, MaskLook
from attnbench.intake.pairs import Pair
from attnbench.intake.roles import Roles


def check_pages(
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


SAY_SPACING = "--spacing HEIGHT,WIDTH --unit mm|um"


@dataclass(frozen=True)
class Answer:
    """A value with how it was found."""

    value: Any = None
    unit: Literal["mm", "um", "px"] = "px"
    guesses: tuple[Guess, ...] = ()
    problems: tuple[Problem, ...] = ()


def find_orientation(pairs: Sequence[Pair], roles: Roles, looks: Mapping[str, Look]) -> Answer:
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
        return Answer()
    if set(votes) in ({"apply"}, {"ignore"}):
        (value,) = votes
        text = "turned as EXIF says, as their masks are" if value == "apply" else (
            "as stored, not turned as EXIF says, as their masks are"
        )  # fmt: skip
        return Answer(value, guesses=(Guess("orientation", text, "images saved upright"),))
    files = tuple(path for paths in votes.values() for path in paths)
    text = (
        "EXIF says that these images are to be shown turned, and whether their masks are turned "
        "as well cannot be told from the shapes"
    )
    return Answer(problems=(Problem(text, files, "images saved upright, without the EXIF tag"),))


def check_shapes(
    roles: Roles, looks: Mapping[str, Look], options: Options, turning: str | None
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


def find_channels(
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


def find_spacing(images: Sequence[Look], options: Options) -> Answer:
    """The size of a pixel: as said, as the files say, or unknown."""
    if options.spacing is not None:
        ndim = 3 if options.pages == "slices" else 2
        if len(options.spacing) != ndim:
            text = f"--spacing has {len(options.spacing)} numbers; cases have {ndim} axes"
            return Answer(problems=(Problem(text, flag="--spacing"),))
        return Answer(options.spacing, options.spacing_unit or "mm")
    seen = [image for image in images if not image.error]
    sizes = {image.size for image in seen}
    if sizes in (set(), {None}) or options.pages == "slices":
        return Answer()
    unit: Literal["mm", "um"] = "um" if max(s[0] for s in sizes if s) < 0.05 else "mm"
    factor = 1000 if unit == "um" else 1
    shown = [
        f"{i.path}: {f'{i.size[0] * factor:g} x {i.size[1] * factor:g} {unit}' if i.size else '?'}"
        for i in seen
    ]
    if None in sizes:
        text = "some images say the size of a pixel, others do not"
        return Answer(problems=(Problem(text, tuple(shown), SAY_SPACING),))
    if len(sizes) > 1:
        text = "images differ in the size of a pixel, each file's own is read"
        value = f"{text}; resample them in the study (spacing: of the dataset)"
        low, high = min(s[0] for s in sizes if s), max(s[0] for s in sizes if s)
        value += f": {low * factor:g} to {high * factor:g} {unit}"
        return Answer(None, unit, (Guess("spacing", value, SAY_SPACING),))
    ((height, width),) = (size for size in sizes if size)
    spacing = (round(height * factor, 9), round(width * factor, 9))
    guess = Guess("spacing", f"{spacing[0]:g} x {spacing[1]:g} {unit}, from the files", "--spacing")
    return Answer(spacing, unit, (guess,))
