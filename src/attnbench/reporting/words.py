"""Words for a reader: labels of models, datasets and measures, and units."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnbench.study.models import ModelSettings


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


def model_label(model: ModelSettings) -> str:
    """What a reader sees for a model; a control stands behind its variant."""
    if model.control_of:
        return f"{display_name(model.control_of)} ({model.control})"
    return display_name(model.name)


def dataset_label(dataset: str) -> str:
    """What a reader sees for a dataset."""
    return display_name(dataset)
