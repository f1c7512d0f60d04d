"""One dataset of the catalog as a checked model: facts, origin, reader and list of files."""

from __future__ import annotations

import csv
import re
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args
from urllib.parse import quote

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from attnbench.errors import CatalogError
from attnbench.study.base import NUMBER, Name
from attnbench.study.groups import Scheme

Sentence = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Address = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]
MOST_CASES = 10**7
COLUMNS = ("path", "bytes", "sha256", "role", "case", "group")
UNKNOWN = "unknown"
LicenceTerms = Literal["open", "non_commercial", "unclear"]
LICENCE_TERMS: tuple[LicenceTerms, ...] = get_args(LicenceTerms)


def _text_as(key: str, value: Any) -> Any:
    return {key: value} if isinstance(value, str) else value


class FileRow(NamedTuple):
    """One file of a dataset: `path` below its raw folder, size, sha256, and its role in a case.

    `case` and `group` are empty for files that belong to no case (a licence, a description).
    """

    path: str
    bytes: int
    sha256: str
    role: str
    case: str
    group: str


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FilesOrigin(_Part):
    """Files that each have an address of their own, at a pinned commit."""

    kind: Literal["files"]
    url: Annotated[Address, StringConstraints(pattern=r"\{path\}")]
    page: Address

    def address(self, path: str) -> str:
        """Return the address of one file; `path` is percent-encoded."""
        return self.url.replace("{path}", quote(path))


class TarballOrigin(_Part):
    """One .tar.gz with a top-level folder; not byte-stable, so its members are verified."""

    kind: Literal["tarball"]
    url: Address
    page: Address


class ArchiveOrigin(_Part):
    """One .tar that stays packed: its publisher gives an MD5 and no list of what is inside."""

    kind: Literal["archive"]
    url: Address
    md5: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    page: Address

    @property
    def filename(self) -> str:
        """Name of the file below the dataset's raw folder: the last of the address's path."""
        path = self.url.partition("://")[2].partition("#")[0].partition("?")[0]
        return path.rpartition("/")[2] if "/" in path else ""


class LocalOrigin(_Part):
    """Files of the user, which stay where they are: verified, never downloaded or copied."""

    kind: Literal["local"]
    folder: Path = Field(description="Holds the listed files; relative to the entry's own folder.")

    @property
    def page(self) -> str:
        """Where the files come from, for the receipt."""
        return str(self.folder)


class EmbeddedOrigin(_Part):
    """Nothing to download: the cases are generated from a seed."""

    kind: Literal["embedded"]


Origin = Annotated[
    FilesOrigin | TarballOrigin | ArchiveOrigin | LocalOrigin | EmbeddedOrigin,
    Field(discriminator="kind"),
    BeforeValidator(partial(_text_as, "kind")),
]


class Blocks(_Part):
    """An image is cut along its longest axis; every block is a case and a group of its own."""

    count: int = Field(ge=2, le=10_000)
    gap: int = Field(
        ge=0, le=10_000, description="Pixels between two blocks that belong to neither."
    )


class Reader(_Part):
    """Name of the reader that turns the files into cases, its settings, and how cases are cut."""

    name: Name
    settings: dict[str, Any] = Field(default_factory=dict)
    blocks: Blocks | None = None


class Mirror(_Part):
    """Axes along which images may be mirrored, and why these: mirrored anatomy must occur, or no
    class may depend on it.
    """

    axes: tuple[Annotated[int, Field(ge=0)], ...]
    reason: Sentence


class Entry(_Part):
    """Everything that the catalog knows of a dataset."""

    name: Name
    family: Name | None = Field(
        None, description="Name of the file that says `sizes`, of which this is one; else None."
    )
    short: Sentence = Field(description="What tables and figures call it.")
    title: Sentence
    task: Sentence
    modality: Sentence
    ndim: Literal[2, 3]
    channels: Annotated[int, NUMBER] = Field(
        gt=0, le=10_000, description="Channels of an image as the reader yields it."
    )
    classes: dict[Annotated[int, Field(gt=0, lt=256)], Name] = Field(min_length=1)
    spacing: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None,
        description="Spacing of every case, in array order; None: it differs by case or is "
        "unknown.",
    )
    spacing_unit: Literal["mm", "um", "px"] = Field(
        "px", description="px: the physical size is unknown."
    )
    axes: tuple[Sentence, ...] = Field(description="What each axis of an array is, in its order.")
    mirror: Mirror
    cases: Annotated[int, NUMBER] = Field(gt=0, le=MOST_CASES)
    groups: Annotated[int, Field(gt=0, le=MOST_CASES), NUMBER] | Literal["unknown"] = Field(
        description="`unknown`: which cases belong together is not known; each counts as a unit."
    )
    groups_inferred: bool = Field(
        description="True: groups were inferred, not stated by the authors."
    )
    normalisation: Scheme = Field(
        "z_score", description="How intensities are normalised unless a study says otherwise."
    )
    licence: Sentence
    licence_terms: LicenceTerms = Field(
        "open", description="What is not open has to be accepted by name before a download."
    )
    citation: Sentence
    bibtex: Sentence | None = None
    origin: Origin
    reader: Annotated[
        Reader, BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value)
    ]
    traps: tuple[Sentence, ...] = ()
    shares_images: tuple[Name, ...] = Field(
        (), description="Datasets, or files of several sizes, that have images in common with this."
    )
    download_mb: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Size of the download in megabytes; None: not stated."
    )
    at_most_mb: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="What the download has at most, where its size is not stated: its arrays "
        "without compression.",
    )
    fetched: bool = Field(
        False, description="True: this project has fetched and read it in full, file by file."
    )
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None,
        description='SHA-256 over the lines `"<sha256>  <path>\\n"` of all files, sorted by code '
        "point.",
    )
    listing: Path | None = Field(None, exclude=True, description="The dataset's list of files.")
    case_listing: Path | None = Field(
        None, exclude=True, description="Table of the cases' labels: column `case`, then any."
    )

    @model_validator(mode="before")
    @classmethod
    def _count_embedded(cls, content: Any) -> Any:
        """Give an embedded dataset the groups and cases that its reader is set to generate."""
        if not isinstance(content, dict) or content.get("origin") != "embedded":
            return content
        reader = content.get("reader")
        match reader:
            case {"settings": {"groups": int(groups), "cases_per_group": int(per_group)}}:
                return {**content, "groups": groups, "cases": groups * per_group}
        raise ValueError(
            "an embedded dataset says in reader.settings: groups, cases_per_group; found "
            f"{reader!r}"
        )

    @model_validator(mode="after")
    def _facts_agree(self) -> Self:
        if self.spacing and len(self.spacing) != self.ndim:
            raise ValueError(f"spacing has {len(self.spacing)} values, ndim is {self.ndim}")
        if len(self.axes) != self.ndim:
            raise ValueError(f"axes has {len(self.axes)} names, ndim is {self.ndim}")
        if not set(self.mirror.axes) <= set(range(self.ndim)):
            raise ValueError(
                f"mirror.axes is {list(self.mirror.axes)}; axes are 0 to {self.ndim - 1}"
            )
        if sorted(self.classes) != list(range(1, len(self.classes) + 1)):
            raise ValueError(
                f"classes are {sorted(self.classes)}; number them 1, 2, 3, ... without a gap"
            )
        if self.cases < self.count_groups():
            raise ValueError(f"{self.groups} groups cannot come from {self.cases} cases")
        return self

    def files(self) -> tuple[FileRow, ...]:
        """Return every listed file in order; empty for embedded sets and packed archives."""
        return read_listing(self.listing, _changed(self.listing)) if self.listing else ()

    def labels(self) -> dict[str, dict[str, str]]:
        """Return text by label of every case that has any, such as `part`, its official split.

        Raises:
            CatalogError: the table of cases cannot be read or has a case twice.
        """
        if self.case_listing is None:
            return {}
        return read_labels(self.case_listing, _changed(self.case_listing))

    def files_in(self, raw: Path) -> Path:
        """Return the folder where the files lie: the user's own, else `raw`, the downloads'."""
        return self.origin.folder if isinstance(self.origin, LocalOrigin) else raw

    @property
    def has_second_rater(self) -> bool:
        """True where a second rater annotated some of the cases."""
        return any(row.role == "mask_second_rater" for row in self.files())

    @property
    def generated(self) -> bool:
        """True where images are drawn from a seed, so that none can be a copy of another."""
        return self.reader.name == "phantom"

    @property
    def groups_known(self) -> bool:
        """False where nothing is known about which cases belong together."""
        return self.groups != UNKNOWN

    def count_groups(self) -> int:
        """Return the number of units: groups, or cases where groups are unknown; reads no file."""
        return self.groups if isinstance(self.groups, int) else self.cases


def _changed(path: Path) -> int:
    """Time of the last change, which keeps caches true while a user edits the file."""
    return path.stat().st_mtime_ns


@lru_cache
def read_labels(path: Path, changed: int) -> dict[str, dict[str, str]]:
    """Return text by label by case of a table whose first column is `case`.

    `changed` is when the file last did; labels that are empty are left out.

    Raises:
        CatalogError: no column `case`, a row too short or long, or a case twice.
    """
    labels: dict[str, dict[str, str]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.reader(stream, strict=True)
            header = next(lines, [])
            if header[:1] != ["case"] or len(set(header)) < len(header):
                raise CatalogError(
                    f"{path}: columns are {', '.join(header)}; the first is `case`, and none "
                    "occurs twice"
                )
            for number, line in enumerate(lines, start=2):
                if len(line) != len(header):
                    raise CatalogError(
                        f"{path}, line {number}: {len(line)} values in {len(header)} columns"
                    )
                if line[0] in labels:
                    raise CatalogError(f"{path}, line {number}: case {line[0]!r} occurs twice")
                named = zip(header[1:], line[1:], strict=True)
                labels[line[0]] = {name: text for name, text in named if text}
    except (UnicodeDecodeError, csv.Error) as error:
        raise CatalogError(f"{path}: not a table in UTF-8: {error}") from error
    return labels


@lru_cache
def read_listing(path: Path, changed: int) -> tuple[FileRow, ...]:
    """Return the rows of a list of files; `changed` is when the file last did.

    Raises:
        CatalogError: other columns, or a line that is no row or leaves the dataset's folder.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = csv.reader(stream, strict=True)
            header = tuple(next(lines, ()))
            if header != COLUMNS:
                raise CatalogError(
                    f"{path}: columns are {', '.join(header)}; expected {', '.join(COLUMNS)}"
                )
            return tuple(_row(path, number, line) for number, line in enumerate(lines, start=2))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CatalogError(f"{path}: not a list of files in UTF-8: {error}") from error


def _row(listing: Path, number: int, line: list[str]) -> FileRow:
    where = f"{listing}, line {number}"
    if len(line) != len(COLUMNS):
        raise CatalogError(
            f"{where}: not a row of a list of files: {len(line)} values in {len(COLUMNS)} columns"
        )
    path, size, sha256, role, case, group = line
    if not re.fullmatch(r"[0-9]{1,15}", size):
        raise CatalogError(f"{where}: bytes: found {size!r}; a whole number is expected")
    # The path is joined to the raw folder, and what lies there is overwritten by a download.
    if "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise CatalogError(
            f"{where}: {path!r} leaves the dataset's folder or is no path from it to a file"
        )
    return FileRow(path, int(size), sha256, role, case, group)
