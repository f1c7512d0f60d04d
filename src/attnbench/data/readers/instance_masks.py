"""Pictures with one mask per object; the objects' union is the class (nuclei_dsb2018)."""

from __future__ import annotations

import numpy as np

from attnbench.data.case import RawCase
from attnbench.data.readers.pictures import pixel_spacing, read_binary, read_colours
from attnbench.data.readers.registry import CaseFiles, reader


@reader("instance_masks")
def read_instance_masks(files: CaseFiles) -> RawCase:
    """Read the image; class 1 is the union of all files with the role `mask_instance`."""
    image = read_colours(files, files.one("image"))
    mask = np.zeros(image.shape[1:], dtype=np.uint8)
    paths = files.paths("mask_instance")
    if not paths:
        raise files.error("no file has the role 'mask_instance'; every case has at least one")
    for path in paths:
        instance = read_binary(files, path)
        if instance.shape != mask.shape:
            raise files.error(
                f"mask has shape {instance.shape}, its image {mask.shape}; they have to agree", path
            )
        mask[instance] = 1
    return RawCase(files.case, files.group, image, mask, pixel_spacing(files))
