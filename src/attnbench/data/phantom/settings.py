"""Settings of a phantom dataset, and the difficulty of one case."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from attnbench.catalog.entry import Entry
from attnbench.errors import CatalogError

Range = tuple[float, float]


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """One phantom dataset: its seed, its size, and the ranges of its cases' difficulty."""

    seed: int
    groups: int
    cases_per_group: int
    size: tuple[int, ...]
    blur: Range
    contrast: Range
    clutter: Range
    lesion_absent: float

    @classmethod
    def of(cls, entry: Entry) -> Settings:
        """Read the settings of a catalog entry's reader; `CatalogError` where they do not fit."""
        try:
            settings = cls(**entry.reader.settings)
        except ValidationError as error:
            raise CatalogError(f"{entry.name}: settings of the phantom reader: {error}") from None
        if len(settings.size) != entry.ndim:
            raise CatalogError(
                f"{entry.name}: size has {len(settings.size)} values; the entry has ndim "
                f"{entry.ndim}"
            )
        return settings

    def rng(self, *key: int) -> np.random.Generator:
        """The random numbers of one group, case or part of a case, whatever else is drawn."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


@dataclass(frozen=True)
class Difficulty:
    """The known truth about one case.

    blur: standard deviation in pixels of the Gaussian that softens every boundary. contrast:
    difference between organ and background in standard deviations of the background's noise;
    lesions are darker than the organ by 1.5 times, vessels brighter by 2 times that. clutter: 0
    to 1, the share of the decoys that show; the last of them is faint by the fraction that
    remains.
    """

    blur: float
    contrast: float
    clutter: float

    @classmethod
    def draw(cls, rng: np.random.Generator, settings: Settings) -> Difficulty:
        """Draw each uniformly over its range in `settings`, independent of the others."""
        return cls(
            *(
                float(rng.uniform(*bounds))
                for bounds in (settings.blur, settings.contrast, settings.clutter)
            )
        )

    def facts(self) -> dict[str, float]:
        """Columns of `cases.csv`."""
        return asdict(self)
