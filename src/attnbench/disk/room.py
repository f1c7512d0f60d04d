"""What a study still writes beside what is free: words, and a refusal where it clearly is too much.

The rule: refused where not even what is sure fits (listed downloads in full, half of what was
inferred); a warning where a quarter more than what is expected would not fit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from attnbench.disk.need import Part, There, nothing, parts_of, runs_at_once
from attnbench.errors import DiskError
from attnbench.study.settings import Study

_MARGIN = 1.25


@dataclass(frozen=True)
class Room:
    """One file system with what of a study lies on it; `free` bytes for this user."""

    folder: Path
    free: int
    parts: tuple[Part, ...]

    @property
    def expected(self) -> float:
        """Bytes that the study still takes here."""
        return sum(part.bytes for part in self.parts)

    @property
    def least(self) -> float:
        """Bytes that it still takes here at least."""
        return sum(part.least for part in self.parts)

    @property
    def short(self) -> bool:
        """Whether it clearly does not fit."""
        return self.least > self.free

    @property
    def near(self) -> bool:
        """Whether it may not fit."""
        return _MARGIN * self.expected > self.free


def rooms_of(study: Study, cores: int | None = None, there: There = Path.is_file) -> list[Room]:
    """Return the file systems that a study still writes to, each with what goes there.

    Args:
        study: checked.
        cores: that trainings share; None: all of this machine.
        there: whether a file is there.
    """
    found: dict[int, list[Part]] = {}
    for part in parts_of(study, runs_at_once(study, cores), there):
        found.setdefault(existing(part.folder).stat().st_dev, []).append(part)
    return [Room(_shared(own), _free(own), tuple(own)) for own in found.values()]


def refuse_too_little(study: Study, cores: int | None = None) -> list[str]:
    """Return a warning where space may not be enough; empty where there is plenty.

    Args:
        study: checked.
        cores: that trainings share; None: all of this machine.

    Raises:
        DiskError: it clearly is not enough, with every part.
    """
    # What is there is only looked for where the study would not fit as a whole.
    if not any(room.near for room in rooms_of(study, cores, nothing)):
        return []
    near = [room for room in rooms_of(study, cores) if room.near]
    if short := [room for room in near if room.short]:
        raise DiskError(
            "\n".join(
                [
                    f"{study.name}: too little space",
                    *(f"  {line}" for room in short for line in _lines(room)),
                    f"  at least {', '.join(in_words(room.least) for room in short)} of it are "
                    "sure. "
                    "Free some, or give `output` or `data.downloads` a place on another disk; "
                    "`attnbench clean STUDY --predictions` frees those of scored runs",
                ]
            )
        )
    return [line for room in near for line in _lines(room)]


def room_lines(study: Study) -> list[str]:
    """Return what a study still takes by part, and what is free, for `attnbench study check`."""
    lines: list[str] = []
    for room in rooms_of(study):
        lines += _lines(room)
    return lines


def _lines(room: Room) -> list[str]:
    """The sum beside what is free, then every part."""
    verdict = "too little" if room.short else "may not be enough" if room.near else "enough"
    head = (
        f"space: about {in_words(room.expected)} to come in {room.folder}, "
        f"{in_words(room.free)} free there: {verdict} (quotas are not seen)"
    )
    parts = sorted(room.parts, key=lambda part: -part.bytes)
    return [head, *(f"  {part.name}: {in_words(part.bytes)} ({part.basis})" for part in parts)]


def in_words(size: float) -> str:
    """Bytes as a person reads them.

    >>> in_words(999), in_words(1_234_567), in_words(27e9)
    ('0.0 MB', '1.2 MB', '27.0 GB')
    """
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _shared(parts: list[Part]) -> Path:
    """The folder that all parts lie in, where it is not a root."""
    folders = [part.folder.absolute() for part in parts]
    common = Path(os.path.commonpath(folders))
    return common if len(common.parts) > 2 else folders[0]


def _free(parts: list[Part]) -> int:
    facts = os.statvfs(existing(parts[0].folder))
    return facts.f_bavail * facts.f_frsize


def existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.is_dir())
