"""Pictures whose mask is a palette picture: the index is the class (us_usgra)."""

from __future__ import annotations

from attnbench.data.case import RawCase
from attnbench.data.readers.pictures import pixel_spacing, read_colours, read_indices
from attnbench.data.readers.registry import CaseFiles, reader


@reader("index_mask")
def read_index_mask(files: CaseFiles) -> RawCase:
    """Read the image (grey and RGB files may be mixed) and the mask from palette indices."""
    return RawCase(
        case=files.case,
        group=files.group,
        image=read_colours(files, files.one("image")),
        mask=read_indices(files, files.one("mask")),
        spacing=pixel_spacing(files),
    )
