"""AttnBench: does attention make a U-Net segment medical images better, by how much, at what
cost, and where?
"""

__version__ = "0.1.0"
