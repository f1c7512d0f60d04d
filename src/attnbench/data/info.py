"""`dataset.json`: what holds for all cases of a prepared dataset, and what its files are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from attnbench.files import hash_of

TABLE = "cases.csv"
_IDENTITY = (
    "name",
    "ndim",
    "channels",
    "classes",
    "spacing_unit",
    "spacing",
    "size",
)
_HASH = "info_hash"


@dataclass(frozen=True)
class DatasetInfo:
    """The fields of `dataset.json`; the last four are known once the store is written.

    classes: name by number. spacing and size: the study's working grid (None: every case's own);
    resampled: whether there is one. content_hash: SHA-256 of arrays, `cases.csv` and what
    identifies the preparation. merged_groups: the groups that became one, by its name, because an
    image of one is a copy of another's. digests: SHA-256 of `cases.csv`, and of every array's
    content with the type before it, as in `uint8 6b86...`.
    """

    name: str
    title: str
    task: str
    modality: str
    ndim: int
    channels: int
    classes: dict[int, str]
    spacing_unit: str
    spacing: tuple[float, ...] | None
    size: tuple[int, ...] | None
    resampled: bool
    has_fov: bool
    has_second_rater: bool
    groups_inferred: bool
    licence: str
    citation: str
    groups_unknown: bool = False
    merged_groups: Mapping[str, list[str]] = field(default_factory=dict)
    cases: int = 0
    groups: int = 0
    content_hash: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)

    def completed(self, cases: int, groups: int, digests: Mapping[str, str]) -> DatasetInfo:
        """The same with what is known once its arrays and its table are written."""
        written = replace(self, cases=cases, groups=groups, digests=dict(digests))
        return replace(written, content_hash=written._hash_of_content())

    def to_json(self) -> dict[str, Any]:
        """The content of `dataset.json`, with a hash of all that it says."""
        content = asdict(self)
        # As it is read again: JSON has text for keys.
        content["classes"] = {str(value): name for value, name in self.classes.items()}
        return content | {_HASH: hash_of(content)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DatasetInfo:
        """Read the content of `dataset.json`.

        Raises:
            TypeError: it is no object, or a field is missing or unknown.
            ValueError: it is not as it was written, or contradicts itself.
        """
        if not isinstance(content, dict):
            raise TypeError(f"it holds {type(content).__name__}, not an object")
        if _HASH not in content:
            raise ValueError(f"it states no {_HASH}: an earlier version wrote it")
        content = dict(content)
        stated = content.pop(_HASH)
        if hash_of(content) != stated:
            raise ValueError(f"it has changed since it was written: {_HASH} is {hash_of(content)}")
        lists = {
            key: tuple(content[key]) if content[key] is not None else None
            for key in ("spacing", "size")
        }
        classes = {int(value): name for value, name in content["classes"].items()}
        info = cls(**{**content, **lists, "classes": classes})
        if info._hash_of_content() != info.content_hash:
            raise ValueError("its content_hash is not that of its files and its preparation")
        return info

    def _hash_of_content(self) -> str:
        arrays = {name: digest for name, digest in self.digests.items() if name != TABLE}
        identity = {key: value for key, value in asdict(self).items() if key in _IDENTITY}
        content = {"arrays": arrays, TABLE: self.digests.get(TABLE), "preparation": identity}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of all arrays of the store."""
        return ("images", "masks", *self.original_arrays)

    @property
    def original_arrays(self) -> tuple[str, ...]:
        """Names of the store's arrays that lie on the cases' own grids."""
        present = {
            "references": self.resampled,
            "fov": self.has_fov,
            "second_rater": self.has_second_rater,
        }
        return tuple(name for name, there in present.items() if there)
