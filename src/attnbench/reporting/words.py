"""Words for a reader: display names of models and datasets, units, and the names of all tables and
figures.

Imports neither pandas nor matplotlib: the Snakefile calls `figure_names` and `table_names`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.catalog import load_entry
from attnbench.models.names import has_map
from attnbench.scoring.definitions import main_metrics as main_metrics

if TYPE_CHECKING:
    from attnbench.study.settings import Study

_TABLES = ("comparison", "effects", "per_class", "cost", "datasets", "protocol")
TABLE_FORMATS = ("csv", "md", "tex")
FIGURE_FORMATS = ("pdf", "png", "csv")

_FIGURES = (
    "scores", "effects", "heatmap_classes", "heatmap_metrics", "ranks", "rank_stability", "pareto", "difficulty",
    "difficulty_slopes", "learning", "calibration",
)  # fmt: skip
CASES, ATTENTION, SLICES, SURFACE = "cases_", "attention_", "slices_", "surface_"

_WORDS = {
    "unet": "U-Net",
    "attention_gate": "Attention gate",
    "self_attention": "Self-attention",
    "attention_gate_upsampled": "Attention gate (up)",
    "axial_attention": "Axial attention",
    "bam": "BAM",
    "cbam": "CBAM",
    "channel_se": "cSE",
    "criss_cross": "Criss-cross",
    "cross_attention": "Cross-attention",
    "eca": "ECA",
    "efficient_self_attention": "Efficient attention",
    "gated_axial_attention": "Gated axial",
    "large_kernel_attention": "Large kernel",
    "multi_head_self_attention": "Multi-head attention",
    "non_local": "Non-local",
    "polarized_self_attention": "Polarised attention",
    "scse": "scSE",
    "shifted_window_attention": "Shifted window",
    "simam": "SimAM",
    "spatial_se": "sSE",
    "squeeze_excitation": "Squeeze-excitation",
    "u_transformer": "U-Transformer",
    "axon_sem": "Axon SEM",
    "hippocampus": "Hippocampus",
    "nuclei_dsb2018": "Nuclei DSB 2018",
    "phantom2d": "Phantom 2-D",
    "phantom2d_faint": "Phantom 2-D (faint)",
    "phantom3d": "Phantom 3-D",
    "retina_chase": "Retina CHASE",
    "retina_drive": "Retina DRIVE",
    "us_usgra": "Ultrasound USGRA",
}
_UNITS = {"um": "µm", "1": ""}
_MEASURES = {
    "blur": "Boundary blur",
    "contrast": "Contrast",
    "clutter": "Clutter",
    "boundary_contrast": "Boundary contrast",
    "boundary_sharpness": "Boundary sharpness",
    "contrast_to_noise": "Contrast to noise",
    "size": "Size of the classes",
    "compactness": "Compactness",
    "components": "Components",
}


def display_name(word: str) -> str:
    """What a reader sees for a model's, dataset's or class's word; a control stands behind its
    variant.

    >>> display_name("unet"), display_name("gated_axial"), display_name("cbam-identity")
    ('U-Net', 'Gated axial', 'CBAM (identity)')
    """
    variant, _, control = word.partition("-")
    if control:
        return f"{display_name(variant)} ({control})"
    return _WORDS.get(word) or word.replace("_", " ").capitalize()


def display_measure(measure: str, known: bool) -> str:
    """A measure of difficulty as it is printed; `known` if it is a phantom's truth, not measured on
    the image.

    >>> display_measure("clutter", True), display_measure("clutter", False)
    ('Clutter (known)', 'Clutter')
    """
    word = _MEASURES.get(measure, display_name(measure))
    return f"{word} (known)" if known else word


def display_unit(unit: str) -> str:
    """A unit as it is printed; empty for plain numbers."""
    return _UNITS.get(unit, unit)


def table_names(study: Study) -> list[str]:
    """Every table of a study: the fixed ones, its controls, and those of shift that it asks for."""
    asked = {
        "controls": any(part.control for part in study.models),
        "transfer": study.transfer,
        "corruption": study.corruptions,
        "data_efficiency": study.data_efficiency,
    }
    return [*_TABLES, *(name for name, wanted in asked.items() if wanted)]


def figure_names(study: Study) -> list[str]:
    """Every figure of a study: the fixed ones, which say what they lack, those of shift that it
    asks for, its cases.

    Attention is drawn where a model of the study has a map of it.
    """
    shift = ["corruption", "corruption_slopes"] * bool(study.corruptions)
    shift += ["transfer"] * bool(study.transfer) + ["data_efficiency"] * bool(study.data_efficiency)
    volumes = [part.name for part in study.datasets if load_entry(part.name).ndim == 3]
    kinds = (CASES, ATTENTION) if any(map(has_map, study.models)) else (CASES,)
    cases = [f"{kind}{part.name}" for kind in kinds for part in study.datasets]
    return [
        *_FIGURES,
        *shift,
        *cases,
        *(f"{kind}{name}" for name in volumes for kind in (SLICES, SURFACE)),
    ]
