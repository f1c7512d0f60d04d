"""One module per layout of a user's folder, each with a `recognise`."""

from __future__ import annotations

import importlib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from attnbench.errors import DataError, nearest
from attnbench.intake.found import Found, Options

# What says most about itself is asked first; the last two go by endings and names alone.
LAYOUTS = ("nnunet", "decathlon", "medsegbench", "dicom", "volumes", "pictures")


def recognise_folder(folder: Path, options: Options) -> Found:
    """What a folder is: by the layout that the options name, else by the first that knows it.

    Raises:
        DataError: no such layout, or none that knows the folder.
    """
    if options.layout is not None and options.layout not in LAYOUTS:
        raise DataError(f"--layout {options.layout!r}: {nearest(options.layout, LAYOUTS)}")
    for name in LAYOUTS if options.layout is None else (options.layout,):
        module = f"{__name__}.{name}"
        found: Found | None = (
            importlib.import_module(module).recognise(folder, options)
            if find_spec(module)
            else None
        )
        if found is not None:
            return found
    asked = f"is no folder of the layout {options.layout!r}" if options.layout else "not recognised"
    raise DataError(
        f"{folder}: {asked}; {_endings(folder)}. A folder holds images and masks side by side "
        "(images/ and masks/, or a_mask.png beside a.png), volumes likewise, a raw dataset of "
        "nnU-Net, a task of the Decathlon, MedSegBench's .npz or DICOM series; --images and "
        "--masks say where they lie"
    )


def _endings(folder: Path) -> str:
    files = Counter(
        path.suffix.lower() or "no ending" for path in folder.rglob("*") if path.is_file()
    )
    if not files:
        return "it holds no file"
    shown = ", ".join(f"{number} of {ending}" for ending, number in files.most_common(5))
    return f"it holds {shown}"
