"""Figures of a study as data inside the page."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from attnbench.reporting.machines import machine_notes
from attnbench.reporting.page.embed import address

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.reporting.contents import Figure
    from attnbench.reporting.results import Results

_LOSSLESS_BYTES = 400_000
_QUALITY = 88
_PDF_BYTES = 600_000


@dataclass(frozen=True)
class Picture:
    """One figure; `shown` has the picture inside and is empty where it has not been drawn.

    `pdf` has the file inside or, where that is larger than 600 kB, its path beside the page.
    `chart`: drawn on white, without photographs.
    """

    name: str
    caption: str
    chart: bool
    shown: str = ""
    pdf: str = ""
    width: int = 0
    height: int = 0


def embed_figure(results: Results, figure: Figure) -> Picture:
    """Read a figure's files, if it has been drawn."""
    spec, dataset = figure.spec, figure.dataset
    caption = f"{results.dataset_label(dataset)}: {spec.caption}" if dataset else spec.caption
    caption = " ".join((caption, *machine_notes(results)))
    chart = not spec.per_dataset
    png = results.layout.figures / f"{figure.name}.png"
    if not png.exists():
        return Picture(figure.name, caption, chart)
    with Image.open(png) as opened:
        flat = opened.convert("RGB")
    pdf = _pdf(png.with_suffix(".pdf"))
    return Picture(figure.name, caption, chart, _small(flat), pdf, *flat.size)


def _small(picture: Image.Image) -> str:
    """Encode the picture as WebP: every pixel kept, unless that takes more than 400 kB."""
    lossless, lossy = io.BytesIO(), io.BytesIO()
    picture.save(lossless, "WEBP", lossless=True, method=2)
    if len(lossless.getvalue()) <= _LOSSLESS_BYTES:
        return address(lossless.getvalue(), "image/webp")
    picture.save(lossy, "WEBP", quality=_QUALITY)
    return address(lossy.getvalue(), "image/webp")


def _pdf(path: Path) -> str:
    if not path.exists():
        return ""
    if path.stat().st_size > _PDF_BYTES:
        return f"{path.parent.name}/{path.name}"
    return address(path.read_bytes(), "application/pdf")
