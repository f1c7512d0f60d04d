"""DICOM series with a mask: DICOM-SEG, RTSTRUCT, or a volume file on the same grid."""

from attnbench.data.readers.dicom.case import read_dicom

__all__ = ["read_dicom"]
