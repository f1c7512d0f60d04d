"""Settings of all tests, and a small prepared dataset of cases of different shapes and spacings."""

import zlib

import numpy as np
import pytest
from hypothesis import settings

from attnbench.data.case import PreparedCase
from attnbench.data.info import DatasetInfo
from attnbench.data.store import CaseStore
from attnbench.data.write import write_store
from attnbench.scoring.definitions import METRICS

settings.register_profile("attnbench", deadline=None)
settings.load_profile("attnbench")

SHAPES = {
    2: [(40, 31), (24, 50), (33, 33), (28, 28), (36, 30), (30, 36)],
    3: [(20, 17, 12), (14, 22, 18)] * 3,
}


def make_case(number, shape, rng):
    mask = np.zeros(shape, dtype=np.uint8)
    mask[tuple(slice(side // 4, side // 2) for side in shape)] = 1
    if number % 2:
        mask[tuple(slice(side // 2, side // 2 + 3) for side in shape)] = 2
    image = (rng.standard_normal((2, *shape)) + mask).astype(np.float32)
    spacing = (1.0, 0.5, 2.0)[: len(shape)]
    return PreparedCase(f"case{number}", f"group{number}", image, mask, mask, spacing, spacing)


def make_store(folder, ndim):
    rng = np.random.default_rng(0)
    info = DatasetInfo(
        name=f"made{ndim}d",
        title="Made",
        task="boxes",
        modality="none",
        ndim=ndim,
        channels=2,
        classes={1: "box", 2: "small box"},
        spacing_unit="mm",
        spacing=None,
        size=None,
        resampled=False,
        has_fov=False,
        has_second_rater=False,
        groups_inferred=False,
        licence="CC0",
        citation="none",
    )
    write_store(
        folder, (make_case(number, shape, rng) for number, shape in enumerate(SHAPES[ndim])), info
    )
    return CaseStore.open(folder)


@pytest.fixture(params=[2, 3], ids=["2d", "3d"])
def store(request, tmp_path):
    return make_store(tmp_path / "store", request.param)


@pytest.fixture
def made_store(tmp_path_factory):
    """Makes the store of 2 or 3 axes, in a folder of its own."""
    return lambda ndim: make_store(tmp_path_factory.mktemp("made") / "store", ndim)


@pytest.fixture(scope="session")
def write_series():
    """Writes a DICOM series of a volume (X, Y, Z) that lies at `affine` (RAS, mm).

    `write_series(folder, array, affine, **attributes)` returns its files from the first slice to
    the last; attributes are those of every slice, `change(number, dataset)` changes single ones.
    """
    pydicom = pytest.importorskip("pydicom")

    def write(folder, array, affine, *, slope=1, intercept=0, change=None, **attributes):
        folder.mkdir(parents=True, exist_ok=True)
        lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
        sides = np.linalg.norm(lps[:3, :3], axis=0)
        series = attributes.get("SeriesInstanceUID", f"1.2.3.{zlib.crc32(str(folder).encode())}")
        facts = {
            "Modality": "CT", "PatientID": "P1", "PatientName": "", "SeriesInstanceUID": series,
            "SeriesNumber": 1, "StudyInstanceUID": f"{series}.1",
                "FrameOfReferenceUID": f"{series}.2",
            "StudyID": "1", "StudyDate": "20200101", "StudyTime": "", "PatientBirthDate": "",
            "PatientSex": "", "AccessionNumber": "", "ReferringPhysicianName": "",
            "Manufacturer": "", "PositionReferenceIndicator": "", "SliceThickness": float(sides[2]),
            "ImageOrientationPatient": [*(lps[:3, 0] / sides[0]), *(lps[:3, 1] / sides[1])],
            "PixelSpacing": [float(sides[1]), float(sides[0])], "RescaleSlope": slope,
            "RescaleIntercept": intercept, "SamplesPerPixel": 1, "Rows": array.shape[1],
            "Columns": array.shape[0], "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": array.dtype.itemsize * 8, "BitsStored": array.dtype.itemsize * 8,
            "HighBit": array.dtype.itemsize * 8 - 1,
            "PixelRepresentation": int(array.dtype.kind == "i"),
        }  # fmt: skip
        facts |= attributes
        paths = []
        for number in range(array.shape[2]):
            data = pydicom.Dataset()
            for keyword, value in facts.items():
                if value is not None:
                    setattr(data, keyword, value)
            data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
            data.SOPInstanceUID = f"{series}.3.{number}"
            data.InstanceNumber = number + 1
            data.ImagePositionPatient = (lps @ [0, 0, number, 1])[:3].tolist()
            data.PixelData = np.ascontiguousarray(array[:, :, number].T).tobytes()
            data["PixelData"].VR = "OW"
            if change:
                change(number, data)
            data.file_meta = pydicom.dataset.FileMetaDataset()
            data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
            # Names in no order of the slices: only their positions tell it.
            path = folder / f"{(number * 7 + 3) % array.shape[2]:03d}-{number}.dcm"
            data.save_as(path, enforce_file_format=True)
            paths.append(path)
        return paths

    return write


@pytest.fixture(autouse=True)
def no_own_metric_is_left():
    """Own metrics that a test's study registers are known to the process: not to other tests."""
    yield
    for name in [name for name, metric in METRICS.items() if metric.code is not None]:
        del METRICS[name]
