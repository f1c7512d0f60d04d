"""DICOM files opened, with the optional packages that this needs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.data.readers.grid import Refused
from attnbench.errors import DataError

if TYPE_CHECKING:
    from pydicom import Dataset

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"


def require_packages() -> None:
    """Raise `DataError` unless pydicom and highdicom are installed."""
    missing = [name for name in ("pydicom", "highdicom") if find_spec(name) is None]
    if missing:
        raise DataError(
            f"reading DICOM needs {' and '.join(missing)}; install it: pip install '.[dicom]'"
        )


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do: `DICM` after 128 bytes."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def open_dicom(path: Path, pixels: bool = True) -> Dataset:
    """Read one file.

    Raises:
        OSError: it is no DICOM file, or damaged.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        data = pydicom.dcmread(path, stop_before_pixels=not pixels)
    except (InvalidDicomError, NotImplementedError, KeyError, AttributeError) as error:
        raise OSError(f"no whole DICOM file: {error}") from error
    if "SOPClassUID" not in data:  # pydicom reads half a header without a word
        raise OSError("no whole DICOM file: it does not say what it holds (SOPClassUID)")
    return data


def needed(dataset: Dataset, keyword: str) -> object:
    """The value of an attribute; `Refused` where the file lacks it."""
    value = dataset.get(keyword)
    if value is None or value == "":
        raise Refused(f"it lacks {keyword}, without which it cannot be placed")
    return value
