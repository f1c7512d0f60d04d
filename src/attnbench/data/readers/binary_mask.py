"""Pictures with one binary mask, a field of view, a second rater (retina_drive, retina_chase)."""

from __future__ import annotations

import numpy as np

from attnbench.data.case import RawCase
from attnbench.data.readers.pictures import pixel_spacing, read_binary, read_colours
from attnbench.data.readers.registry import CaseFiles, reader


@reader("binary_mask")
def read_binary_mask(files: CaseFiles) -> RawCase:
    """Read image and mask (class 1), and `fov` and `mask_second_rater` where there are any.

    DRIVE keeps its masks as GIF (the first second rater's with 0 and 255, the second's with palette
    indices 0 and 1), CHASE as 1-bit PNG: all are cut by brightness.
    """
    fov = files.maybe("fov")
    second = files.maybe("mask_second_rater")
    return RawCase(
        case=files.case,
        group=files.group,
        image=read_colours(files, files.one("image")),
        mask=read_binary(files, files.one("mask")).astype(np.uint8),
        spacing=pixel_spacing(files),
        fov=read_binary(files, fov) if fov else None,
        second_rater=read_binary(files, second).astype(np.uint8) if second else None,
    )
