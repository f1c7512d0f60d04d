"""One reader per layout of files; importing this package registers them all."""

from attnbench.data.readers import (
    binary_mask,
    class_masks,
    dicom,
    index_mask,
    instance_masks,
    medsegbench,
    picture_sets,
    volume,
)
from attnbench.data.readers.medsegbench import archive_cases
from attnbench.data.readers.packed import unpacked_cases
from attnbench.data.readers.registry import READERS, CaseFiles, Reader, reader

__all__ = [
    "READERS",
    "CaseFiles",
    "Reader",
    "archive_cases",
    "binary_mask",
    "class_masks",
    "dicom",
    "index_mask",
    "instance_masks",
    "medsegbench",
    "picture_sets",
    "reader",
    "unpacked_cases",
    "volume",
]
