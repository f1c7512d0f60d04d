"""One reader per layout of files; importing this package registers them all."""

from attnbench.data.readers import (
    binary_mask,
    class_masks,
    index_mask,
    instance_masks,
    nifti,
    picture_sets,
)
from attnbench.data.readers.packed import unpacked_cases
from attnbench.data.readers.registry import READERS, CaseFiles, Reader, reader

__all__ = [
    "READERS",
    "CaseFiles",
    "Reader",
    "binary_mask",
    "class_masks",
    "index_mask",
    "instance_masks",
    "nifti",
    "picture_sets",
    "reader",
    "unpacked_cases",
]
