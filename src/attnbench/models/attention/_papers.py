"""Papers that several mechanisms come from."""

from __future__ import annotations

from attnbench.models.registry import Paper

ATTENTION_U_NET = Paper(
    "Ozan Oktay, Jo Schlemper, Loic Le Folgoc, Matthew Lee, Mattias Heinrich, Kazunari Misawa, "
    "Kensaku Mori, Steven McDonagh, Nils Y. Hammerla, Bernhard Kainz, Ben Glocker, Daniel "
    "Rueckert",
    2018,
    "Attention U-Net: Learning Where to Look for the Pancreas",
    "MIDL 2018, arXiv:1804.03999",
)
SQUEEZE_EXCITE = Paper(
    "Abhijit Guha Roy, Nassir Navab, Christian Wachinger",
    2018,
    "Concurrent Spatial and Channel 'Squeeze & Excitation' in Fully Convolutional Networks",
    "MICCAI 2018, arXiv:1803.02579",
)
SWIN = Paper(
    "Ze Liu, Yutong Lin, Yue Cao, Han Hu, Yixuan Wei, Zheng Zhang, Stephen Lin, Baining Guo",
    2021,
    "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
    "ICCV 2021, arXiv:2103.14030",
)
U_TRANSFORMER = Paper(
    "Olivier Petit, Nicolas Thome, Clement Rambour, Loic Themyr, Toby Collins, Luc Soler",
    2021,
    "U-Net Transformer: Self and Cross Attention for Medical Image Segmentation",
    "MLMI 2021, arXiv:2103.06104",
)
