"""Papers that several mechanisms come from."""

from __future__ import annotations

from attnbench.models.registry import Paper

SQUEEZE_EXCITE = Paper(
    "Roy, Navab, Wachinger",
    2018,
    "Concurrent Spatial and Channel 'Squeeze & Excitation' in Fully Convolutional Networks",
    "MICCAI 2018, arXiv:1803.02579",
)
SWIN = Paper(
    "Liu et al.",
    2021,
    "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
    "ICCV 2021, arXiv:2103.14030",
)
U_TRANSFORMER = Paper(
    "Petit, Thome, Rambour, Themyr, Collins, Soler",
    2021,
    "U-Net Transformer: Self and Cross Attention for Medical Image Segmentation",
    "MLMI 2021, arXiv:2103.06104",
)
