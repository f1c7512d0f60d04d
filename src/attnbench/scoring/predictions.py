"""The masks of a run in `predictions.npz`: written one at a time, and read with suspicion."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from attnbench.errors import DataError, listed


def append_mask(archive: ZipFile, case: str, mask: NDArray[Any]) -> None:
    """Add a mask to `predictions.npz` as `numpy.savez_compressed` does, which wants all at once."""
    with archive.open(f"{case}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, mask, allow_pickle=False)


class Predictions:
    """An open file of predictions; its masks are read one by one as they are asked for."""

    def __init__(self, path: Path, archive: Any, classes: Collection[int], remedy: str) -> None:
        self.path, self._archive, self._remedy = path, archive, remedy
        self._classes = np.array([0, *classes])

    @property
    def cases(self) -> list[str]:
        """Names of the cases that there are masks of."""
        return list(self._archive.files)

    def mask(self, case: str) -> NDArray[np.uint8]:
        """The mask (*spatial) of a case.

        Raises:
            DataError: it cannot be read, is no mask of bytes, or has other values than classes.
        """
        try:
            mask: NDArray[np.uint8] = self._archive[case]
        # A damaged archive may raise anything, an end of file among it.
        except Exception as error:
            raise DataError(
                f"{self.path}: case {case!r} cannot be read ({type(error).__name__}: {error}); "
                f"{self._remedy}"
            ) from error
        if mask.dtype != np.uint8:
            raise DataError(
                f"{self.path}: case {case!r} holds {mask.dtype}, expected uint8; {self._remedy}"
            )
        present = np.flatnonzero(np.bincount(mask.reshape(-1), minlength=1))
        if len(other := np.setdiff1d(present, self._classes)):
            raise DataError(
                f"{self.path}: case {case!r} has values that are no class: "
                f"{listed(other.tolist(), 5)}; classes are {listed(self._classes.tolist())}; "
                f"{self._remedy}"
            )
        return mask


@contextmanager
def open_predictions(path: Path, classes: Collection[int], remedy: str) -> Iterator[Predictions]:
    """Yield the predictions in `path`, a NumPy archive of one mask per case.

    Args:
        path: of a `predictions.npz`.
        classes: numbers that masks may have beside 0.
        remedy: what to do where it cannot be read, as the end of the message.

    Raises:
        DataError: the file is no such archive; as `Predictions.mask`.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("one array, not an archive of masks")
    except Exception as error:
        raise DataError(
            f"{path}: no file of predictions ({type(error).__name__}: {error}); {remedy}"
        ) from error
    with archive:
        yield Predictions(path, archive, classes, remedy)
