"""Roles of the files of a case: one mask, or masks by class, by object, by rater."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from attnbench.errors import listed
from attnbench.intake.found import Guess, Options, Problem
from attnbench.intake.pairs import ROLES, Pair, Pairs

# Words that tell raters from each other, and no classes.
_RATER = re.compile(
    r"\d+(st|nd|rd|th)\w*|(labels?|masks?|seg\w*|gt|rater|reader|observer|manual|annotator|expert)"
    r"_?\w?|annotations?\d"
)
MOST_CLASSES = 16
TWO_MASKS = (
    "--masks FOLDER or GLOB for the masks that count; others may be --masks fov=GLOB (field of "
    "view), --masks second_rater=GLOB, or --masks NAME=GLOB for each class"
)


@dataclass(frozen=True)
class Roles:
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


def find_roles(pairs: Pairs, options: Options) -> Roles:
    """What each file of a case is: one mask, a mask of one class, or of one object."""
    keys = Counter(key for pair in pairs.pairs for key in pair.masks)
    of = {pair.name: {"image": pair.images} for pair in pairs.pairs}
    if set(options.masks) - {"", *ROLES}:
        return _class_roles(pairs.pairs, [n for n in options.masks if n not in ROLES], said=True)
    if options.masks:
        keys = Counter({key: count for key, count in keys.items() if key not in ROLES})
    distinct = {key for key in keys if key}
    if len(distinct) == len(keys) == 1:
        distinct = set()  # one word for all masks tells nothing apart
    if distinct and not _are_objects(pairs.pairs, keys):
        words = sorted(distinct)
        classes = (
            "" not in keys
            and len(words) <= MOST_CLASSES
            and not any(_RATER.fullmatch(w) or w.isdigit() for w in words)
            and (min(keys.values()) > 1 or len(pairs.pairs) == 1)
        )
        if classes:
            return _class_roles(pairs.pairs, words, said=False)
        example = next(pair for pair in pairs.pairs if len(pair.masks) > 1 or not classes)
        several = tuple(path for paths in example.masks.values() for path in paths)
        kinds = listed([f"{_kind(pairs.pairs, key)} ({n} images)" for key, n in keys.items()], 8)
        text = f"two masks or more for one image, told apart by {kinds}; such as"
        return Roles(of, problems=(Problem(text, (*example.images, *several), TWO_MASKS),))
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
    return Roles(result, guesses=guesses, problems=problems)


def _kind(pairs: Sequence[Pair], key: str) -> str:
    """The folder in which all masks of a kind lie, or the word that their names have."""
    folders = {PurePosixPath(p).parent.name for pair in pairs for p in pair.masks.get(key, ())}
    return f"folder {folders.pop()}" if len(folders) == 1 else f"word {key!r}" if key else "no word"


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


def _class_roles(pairs: Sequence[Pair], names: Sequence[str], said: bool) -> Roles:
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
    return Roles(of, classes, tuple(guesses), problems)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "object"
