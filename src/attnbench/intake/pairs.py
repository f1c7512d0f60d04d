"""Which file is an image, which a mask, and which masks belong to which image: by their names."""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path, PurePosixPath

from attnbench.errors import listed
from attnbench.intake.found import Problem

MOVE = "--images or --masks FOLDER or GLOB; or move these files out of the folder"
_MASKS = """
    mask masks label labels lbl labelstr labelsts seg segs segm segmentation segmentations gt gts
    groundtruth truth annotation annotations annot annots anno reference references manual
    contour contours outline outlines matte
"""
_IMAGES = """
    image images img imgs imagestr imagests input inputs original originals orig photo photos
    picture pictures scan scans frame frames
"""
ONE_IMAGE = ("image", "img", "scan", "frame", "photo", "picture")
MASK_WORDS, IMAGE_WORDS = frozenset(_MASKS.split()), frozenset(_IMAGES.split())
PARTS = {
    "train": "train", "training": "train", "tr": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test", "ts": "test",
}  # fmt: skip
ROLES = {"fov": "fov", "second_rater": "mask_second_rater"}  # `--masks` that are no classes
IGNORED = ("thumbs.db", "desktop.ini")
_WORD = "|".join(sorted(MASK_WORDS, key=len, reverse=True))
_MASK_LAST = re.compile(rf"(?is)(?P<name>.+?)[\W_]+({_WORD})\d*[\W_]*")
_MASK_FIRST = re.compile(rf"(?is)({_WORD})\d*[\W_]+(?P<name>.+)")
MANY = 10  # tokens of a name whose subsets are still tried


@dataclass(frozen=True)
class Pair:
    """One case: `image` files and the masks of it, by what tells them from each other.

    Under the empty text is the one mask of all classes; further keys are the words that only
    these masks have (`axon`), or numbers of objects.
    """

    name: str
    images: tuple[str, ...]
    masks: Mapping[str, tuple[str, ...]]
    part: str = ""


@dataclass(frozen=True)
class Pairs:
    """Every case of a folder, in the order of their names, and what does not fit."""

    pairs: tuple[Pair, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Files:
    """What lies in a folder: files of one kind, other files, and symbolic links to nothing."""

    wanted: tuple[str, ...]
    others: tuple[str, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True)
class _Name:
    """A file's name, taken apart.

    stem: as it is written. bare: without a word for a mask at its end or start. tokens: all of
    the stem, in order. places: folders above it without words for roles and parts. words: tokens
    of its stem, again without them. before and after: those on either side of the word for a
    mask. extra: what is left of the folder that says `mask` (`axon` of `masks_axon`). below:
    folders in it. folder: the role that a folder says.
    """

    path: str
    is_mask: bool
    stem: str
    bare: str
    tokens: tuple[str, ...]
    places: tuple[str, ...]
    words: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    extra: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    folder: str = ""
    part: str = ""


def list_files(folder: Path, endings: Sequence[str]) -> Files:
    """List the files below a folder by POSIX path, sorted; hidden ones are left out.

    Hidden are names with a leading dot (`._x.png` of macOS), `__MACOSX`, `Thumbs.db`.
    """
    wanted, others, broken = [], [], []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith((".", "__MACOSX")) for part in relative.parts)
        if hidden or path.name.lower() in IGNORED or path.is_dir():
            continue
        if not path.exists():
            broken.append(relative.as_posix())
        elif path.name.lower().endswith(tuple(endings)):
            wanted.append(relative.as_posix())
        else:
            others.append(relative.as_posix())
    return Files(tuple(wanted), tuple(others), tuple(broken))


def pair_files(
    paths: Sequence[str], images: str | None = None, masks: Mapping[str, str] | None = None
) -> Pairs:
    """Pair images and masks among `paths`.

    Args:
        paths: POSIX paths below the data, without files that are neither.
        images: what is an image, a folder or a glob; None: what is no mask.
        masks: the same of masks, by class, or by `fov` and `second_rater`; under the empty
            name one mask for all classes. None or empty: told by words in names.

    A mask belongs to the image that has its very name. Where none has, to the one whose name it
    shares in the same order, up to words for masks (`_seg`), to words that all masks of its
    folder have, and to one that tells several masks of an image apart; or to the only image in
    its folder. Never to an image of another patient's folder, or of another part of a split.
    """
    if masks:
        return _pair_said(paths, images, masks)
    names = [_take_apart(path) for path in paths]
    if any(name.folder == "mask" for name in names):
        # Where masks have folders of their own, those of images hold images, whatever the names.
        names = [_as(n, is_mask=False) if n.folder == "image" else n for n in names]
    if images:
        chosen = {path for path in paths if matches(path, images)}
        names = [name for name in names if name.is_mask or name.path in chosen]
        names = [_as(name, is_mask=False) if name.path in chosen else name for name in names]
    return _pair_names(names)


def matches(path: str, pattern: str) -> bool:
    """Whether a path lies in the folder, or fits the glob, that `pattern` is."""
    pattern = pattern.removeprefix("./").rstrip("/")
    if path == pattern or path.startswith(f"{pattern}/"):
        return True
    if not any(sign in pattern for sign in "*?["):
        return f"/{pattern}/" in f"/{PurePosixPath(path).parent}/"
    name = PurePosixPath(path).name
    return fnmatch.fnmatch(path, pattern) or ("/" not in pattern and fnmatch.fnmatch(name, pattern))


def part_of(path: str) -> str:
    """The part of an official split that a folder of a path names: train, validation or test."""
    return _take_apart(path).part


def places_of(path: str) -> tuple[str, ...]:
    """The folders of a path that are no words for roles or parts: patients, sites."""
    return _take_apart(path).places


def _pair_said(paths: Sequence[str], images: str | None, masks: Mapping[str, str]) -> Pairs:
    """Pair what the user said are masks; everything else, or what was said, are images."""
    problems = []
    by_class = {name: [p for p in paths if matches(p, glob)] for name, glob in masks.items()}
    for name, own in by_class.items():
        if not own:
            said = f"{name}={masks[name]}" if name else masks[name]
            problems.append(
                Problem(f"no picture fits --masks '{said}'", flag="--masks FOLDER or GLOB")
            )
    taken = {path for own in by_class.values() for path in own}
    twice = [path for path, count in Counter(p for o in by_class.values() for p in o).items()
             if count > 1]  # fmt: skip
    if twice:
        problems.append(Problem("fit several of the --masks given", tuple(twice), "--masks"))
    if images:
        chosen = [path for path in paths if matches(path, images)]
        if not chosen:
            problems.append(Problem(f"no picture fits --images '{images}'", flag="--images"))
    else:
        # Masks that the user left out by naming others are no images.
        chosen = [path for path in paths if path not in taken and not _take_apart(path).is_mask]
        chosen = chosen or [path for path in paths if path not in taken]
    if problems:
        return Pairs(problems=tuple(problems))
    names = [_as(_take_apart(path), is_mask=False) for path in chosen if path not in taken]
    result: dict[str, Pair] = {}
    notes: list[str] = []
    for name, own in by_class.items():
        these = [*names, *(_as(_take_apart(path), is_mask=True) for path in own)]
        found = _pair_names(these, whole=name not in ROLES)
        problems += found.problems
        notes += found.notes
        for pair in found.pairs:
            known = result.get(pair.name, Pair(pair.name, pair.images, {}, pair.part))
            joined = tuple(path for paths in pair.masks.values() for path in paths)
            masks_of = {**known.masks, name: joined} if name or len(pair.masks) == 1 else pair.masks
            result[pair.name] = Pair(pair.name, pair.images, masks_of, pair.part)
    left = len(paths) - len(taken) - len(names)
    if left:
        notes.append(f"{left} picture(s) are neither the images nor the masks that were named")
    unique = {(p.text, p.files): p for p in problems}
    return Pairs(tuple(result.values()), tuple(unique.values()), tuple(dict.fromkeys(notes)))


def _as(name: _Name, is_mask: bool) -> _Name:
    """The name, as that of a mask or of an image whatever its words say."""
    if name.is_mask == is_mask:
        return name
    return replace(name, is_mask=is_mask, before=name.before or name.words)


def _tokens(text: str) -> list[str]:
    plain = unicodedata.normalize("NFC", text).lower()
    plain = re.sub(r"ground[^a-z]truth", "groundtruth", plain)
    return [token for token in re.split(r"[^\w]+|_+", plain) if token]


def _role(token: str) -> str:
    """`mask`, `image` or nothing: what a word says of a file; `manual1` is `manual`."""
    word = token.rstrip("0123456789")
    if word in MASK_WORDS:
        return "mask"
    return "image" if word in IMAGE_WORDS else ""


def _take_apart(path: str) -> _Name:
    file = PurePosixPath(path)
    # A nested ending: `x.ome.tif`, `x_seg.nii.gz`.
    stem = re.sub(r"\.(ome|nii)$", "", _stem(path), flags=re.IGNORECASE)
    folder_role, part = "", ""
    extra: tuple[str, ...] = ()
    places: list[str] = []
    below: list[str] = []
    for place in file.parts[:-1]:
        tokens = _tokens(place)
        roles = {_role(token) for token in tokens} - {""}
        part = next((PARTS[token] for token in tokens if token in PARTS), part)
        rest = tuple(t for t in tokens if not _role(t) and t not in PARTS)
        scan = roles == {"image"} and not any(t in PARTS for t in tokens) and _is_one(tokens)
        if roles:
            folder_role = "mask" if "mask" in roles else "image"
        if roles and not scan:
            numbers = tuple(t for t in tokens if _role(t) and t[-1].isdigit())
            extra, below = (*rest, *numbers), []
        elif scan or rest or not any(token in PARTS for token in tokens):
            # `patient1_scan2` may be where the files of one scan lie, images and masks.
            places.append("-".join(tokens))
            below.append(places[-1])
    tokens = _tokens(stem)
    at = next((i for i, token in enumerate(tokens) if _role(token) == "mask"), None)
    # `image` in a mask folder says nothing, nor does `mask` as the whole name of an image.
    is_mask = folder_role == "mask" or (at is not None and (len(tokens) > 1 or bool(places)))
    plain = list(_plain(tokens))
    before = tokens[:at] if at is not None else tokens
    after = tokens[at + 1 :] if at is not None else []
    if not plain:
        plain = [token for token in tokens if token not in PARTS and _role(token) != "mask"]
    return _Name(
        path, is_mask, stem, _bare(stem), tuple(tokens), tuple(places), tuple(plain),
        _plain(before), _plain(after), extra, tuple(below), folder_role, part,
    )  # fmt: skip


def _is_one(tokens: Sequence[str]) -> bool:
    """Whether a folder's words number one image: `scan 2`, `patient1_frame3`."""
    counted = any(token[-1].isdigit() for token in tokens)
    return counted and any(token.rstrip("0123456789") in ONE_IMAGE for token in tokens)


def _bare(stem: str) -> str:
    for pattern in (_MASK_LAST, _MASK_FIRST):
        if found := pattern.fullmatch(stem):
            return found["name"]
    return stem


def _plain(tokens: Iterable[str]) -> tuple[str, ...]:
    """Tokens without words for roles and parts; of `frame2` and `img2` the number stays."""
    plain = (_numbered(token) if _role(token) == "image" else token for token in tokens)
    return tuple(t for t in plain if t and _role(t) != "mask" and t not in PARTS)


def _numbered(token: str) -> str:
    """The number at the end of a word for a role; any other word as it is."""
    return token[len(token.rstrip("0123456789")) :] if _role(token) else token


def _pair_names(names: Sequence[_Name], whole: bool = True) -> Pairs:
    """Pair names; `whole`: every image needs a mask (a second rater need not mark all)."""
    images = [name for name in names if not name.is_mask]
    masks = [name for name in names if name.is_mask]
    finder = _Finder(images)
    shared = _shared_words(masks)
    places = {name.path: name.places for name in images}
    of: dict[str, dict[str, list[str]]] = {name.path: defaultdict(list) for name in images}
    lost: list[str] = []
    unclear: dict[str, list[str]] = {}
    for mask in masks:
        found, rest = finder.find(mask, shared[mask.path])
        if len(found) == 1:
            near = places[found[0]]
            inner = [place for place in mask.below if place not in near]
            extra = (*(t for t in mask.extra if t not in rest), *inner, *rest)
            of[found[0]]["_".join(extra)].append(mask.path)
        elif found:
            unclear[mask.path] = found
        else:
            lost.append(mask.path)
    named, problems = _case_names(images)
    bare = [name.path for name in images if not of[name.path]]
    problems += _mismatches(images, masks, lost, unclear, bare if whole else [])
    pairs = tuple(
        Pair(
            named[name.path],
            (name.path,),
            {key: tuple(own) for key, own in of[name.path].items()},
            name.part,
        )
        for name in images
        if of[name.path]
    )
    return Pairs(tuple(sorted(pairs, key=lambda pair: pair.name)), tuple(problems))


def _mismatches(
    images: Sequence[_Name],
    masks: Sequence[_Name],
    lost: Sequence[str],
    unclear: Mapping[str, Sequence[str]],
    bare: Sequence[str],
) -> Iterator[Problem]:
    if images and not masks:
        yield Problem(
            f"{len(images)} pictures and no mask among them: no folder or name says mask, label, "
            "seg, gt, annotation or manual",
            flag=f"--masks FOLDER or GLOB (and --images); a mask per class: {_per_class(images)}",
        )
        return
    if bare:
        yield Problem("images without a mask", tuple(bare), MOVE)
    if lost:
        yield Problem("masks without an image", tuple(lost), MOVE)
    if unclear:
        files = tuple(f"{mask}: {listed(found, 3)}" for mask, found in unclear.items())
        yield Problem("masks that fit several images equally well", files, MOVE)


def _per_class(images: Sequence[_Name]) -> str:
    """The flags that name masks of classes: with the folders that say no image, or as examples."""
    folders = {str(PurePosixPath(n.path).parent) for n in images if n.folder != "image"} - {"."}
    if not 1 < len(folders) < min(9, len({PurePosixPath(n.path).parent for n in images})):
        folders = {"axon", "myelin"}
    names = {folder: "_".join(_tokens(PurePosixPath(folder).name)) for folder in sorted(folders)}
    ending = Counter(PurePosixPath(n.path).suffix for n in images).most_common(1)[0][0]
    return " ".join(f"--masks {name}='{folder}/*{ending}'" for folder, name in names.items())


class _Finder:
    """Images by their stems, by their words in order, and by the folder in which they lie alone."""

    def __init__(self, images: Sequence[_Name]) -> None:
        self.by_stem: dict[str, list[_Name]] = defaultdict(list)
        self.by_tokens: dict[tuple[str, ...], list[_Name]] = defaultdict(list)
        self.by_words: dict[tuple[str, ...], list[_Name]] = defaultdict(list)
        self.by_place: dict[tuple[tuple[str, ...], str], list[_Name]] = defaultdict(list)
        for image in images:
            self.by_stem[image.stem].append(image)
            self.by_tokens[image.tokens].append(image)
            self.by_words[image.words].append(image)
            self.by_place[image.places, image.part].append(image)
        self.places = {place for image in images for place in image.places}
        self.alone = len(self.by_place) > 1 and all(len(o) == 1 for o in self.by_place.values())

    def find(self, mask: _Name, shared: frozenset[str]) -> tuple[list[str], tuple[str, ...]]:
        """Paths of the images that fit a mask best, and the mask's words that they lack."""
        words = tuple(token for token in mask.words if token not in shared)
        for hits in self._same_names(mask):
            if hits:
                return hits, ()
        for key in _keys(mask, words):
            if key and (hits := self._of(mask, key)):
                return hits, _without(words, key)
        if self.alone and (own := self.by_place.get((mask.places, mask.part))):
            return [own[0].path], words
        if 1 < len(words) <= MANY:
            for size in range(len(words) - 1, 0, -1):
                found = {
                    subset: hits
                    for subset in dict.fromkeys(combinations(words, size))
                    if _digits(subset) == _digits(words) and (hits := self._of(mask, subset))
                }
                if found:
                    paths = dict.fromkeys(path for hits in found.values() for path in hits)
                    return list(paths), _without(words, next(iter(found)))
        return [], words

    def _same_names(self, mask: _Name) -> Iterator[list[str]]:
        """Images with the mask's own name, as written first; then without its word for a mask."""
        plain = tuple(token for token in mask.tokens if _role(token) != "mask")
        yield self._in_place(mask, self.by_stem.get(mask.stem, []))
        yield self._in_place(mask, self.by_stem.get(mask.bare, []))
        yield self._in_place(mask, self.by_tokens.get(mask.tokens, []))
        yield self._in_place(mask, self.by_tokens.get(plain, []))

    def _of(self, mask: _Name, key: tuple[str, ...]) -> list[str]:
        return self._in_place(mask, self.by_words.get(key, []))

    def _in_place(self, mask: _Name, images: Sequence[_Name]) -> list[str]:
        """Of images with the same words, those that share most of the mask's folders.

        None of another part of a split, and none that lies outside a folder of the mask in which
        other images lie.
        """
        own = self.places & set(mask.places)
        candidates = [
            image for image in images
            if own <= set(image.places) and (image.part or mask.part) == (mask.part or image.part)
        ]  # fmt: skip
        if len(candidates) < 2:
            return [image.path for image in candidates]
        scores = [
            len(set(image.places) & set(mask.places)) - len(set(image.places) ^ set(mask.places))
            + (image.part == mask.part)
            for image in candidates
        ]  # fmt: skip
        best = max(scores)
        return [i.path for i, score in zip(candidates, scores, strict=True) if score == best]


def _keys(mask: _Name, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """What an image's words may be, best first: the mask's, or those that its name begins with."""
    yield mask.words
    yield mask.before
    yield mask.after
    yield tuple(number for token in mask.tokens if (number := _numbered(token)))
    yield from (mask.words[:size] for size in range(len(mask.words) - 1, 0, -1))
    yield words


def _digits(words: Iterable[str]) -> list[str]:
    """Words that are numbers: a number left out would make another case's name of it."""
    return [word for word in words if word.isdigit()]


def _without(words: Sequence[str], taken: Sequence[str]) -> tuple[str, ...]:
    left = Counter(taken)
    rest = []
    for word in words:
        if left[word] > 0:
            left[word] -= 1
        else:
            rest.append(word)
    return tuple(rest)


def _shared_words(masks: Sequence[_Name]) -> dict[str, frozenset[str]]:
    """By mask, the words that all names of its folder have (`1stHO` of CHASE)."""
    folders: dict[str, list[_Name]] = defaultdict(list)
    for mask in masks:
        folders[str(PurePosixPath(mask.path).parent)].append(mask)
    result = {}
    for own in folders.values():
        words = frozenset.intersection(*(frozenset(mask.words) for mask in own))
        common = words if len(own) > 1 else frozenset()
        result.update({mask.path: common for mask in own})
    return result


def _case_names(images: Sequence[_Name]) -> tuple[dict[str, str], list[Problem]]:
    """A name for every image's case: its stem, with its folders where stems are the same."""
    stems = {name.path: _stem(name.path) for name in images}
    counts = Counter(stem.casefold() for stem in stems.values())
    named = {}
    for name in images:
        stem = stems[name.path]
        folders = [place for place in PurePosixPath(name.path).parts[:-1] if not _is_role(place)]
        named[name.path] = stem if counts[stem.casefold()] == 1 else "-".join([*folders, stem])
    again = Counter(name.casefold() for name in named.values())
    twice = tuple(path for path, name in named.items() if again[name.casefold()] > 1)
    problems = (
        [Problem("several images have the name of one case", twice, "--images FOLDER or GLOB")]
        if twice
        else []
    )
    return named, problems


def _stem(path: str) -> str:
    file = PurePosixPath(path)
    return unicodedata.normalize("NFC", file.name.removesuffix(file.suffix))


def _is_role(place: str) -> bool:
    tokens = _tokens(place)
    return bool(tokens) and all(token in MASK_WORDS | IMAGE_WORDS for token in tokens)
