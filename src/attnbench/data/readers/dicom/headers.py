"""DICOM files opened, with the optional packages that this needs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def damage_told() -> Iterator[None]:
    """Turn what damaged DICOM makes its libraries raise, which is nearly anything, into `OSError`.

    They decode an attribute when it is first asked for: whatever asks stands inside.
    """
    from pydicom.errors import BytesLengthException, InvalidDicomError

    try:
        yield
    except (
        AttributeError,
        BytesLengthException,
        InvalidDicomError,
        LookupError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        struct.error,
    ) as error:
        raise OSError(f"no whole DICOM file: {error}") from error


def open_dicom(path: Path, pixels: bool = True) -> Dataset:
    """Read one file.

    Raises:
        OSError: it is no DICOM file, or damaged.
    """
    import pydicom

    with damage_told():
        data = pydicom.dcmread(path, stop_before_pixels=not pixels)
    if "SOPClassUID" not in data:  # pydicom reads half a header without a word
        raise OSError("no whole DICOM file: it does not say what it holds (SOPClassUID)")
    return data


@damage_told()
def class_of(path: Path) -> str:
    """What kind of object a file holds, as DICOM numbers them; `OSError` as `open_dicom`."""
    return str(open_dicom(path, pixels=False).SOPClassUID)


def needed(dataset: Dataset, keyword: str) -> object:
    """The value of an attribute; `Refused` where the file lacks it."""
    value = dataset.get(keyword)
    if value is None or value == "":
        raise Refused(f"it lacks {keyword}, without which it cannot be placed")
    return value
