"""Pictures decoded against files written by hand and against independent readers."""

import struct
import zlib

import imageio.v3 as imageio
import numpy as np
import pytest
import SimpleITK
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from attnbench.data.readers.decode import decode

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG, by colour type
quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write_png(path, array, kind, depth, palette=None):
    """A PNG by the letter of its specification: filter 0, one IDAT chunk."""
    height, width = array.shape[:2]
    if depth == 16:
        rows = array.astype(">u2").reshape(height, -1).view(np.uint8)
    elif depth == 8:
        rows = array.astype(np.uint8).reshape(height, -1)
    else:
        bits = array.reshape(height, width, 1) >> np.arange(depth)[::-1] & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", head)]
    if palette is not None:
        chunks.append((b"PLTE", np.asarray(palette, np.uint8).tobytes()))
    body = b"".join(b"\0" + row.tobytes() for row in rows.reshape(height, -1))
    chunks += [(b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    with path.open("wb") as stream:
        stream.write(b"\x89PNG\r\n\x1a\n")
        for name, data in chunks:
            stream.write(struct.pack(">I", len(data)) + name + data)
            stream.write(struct.pack(">I", zlib.crc32(name + data)))


@st.composite
def png_files(draw):
    kind = draw(st.sampled_from(sorted(CHANNELS)))
    depths = {0: (1, 2, 4, 8, 16), 3: (1, 2, 4, 8), 4: (8,)}.get(kind, (8, 16))
    depth = draw(st.sampled_from(depths))
    entries = min(2**depth, 16)
    top = entries if kind == 3 else 2**depth
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 9)), CHANNELS[kind])
    array = draw(arrays.arrays(np.uint16, shape, elements=st.integers(0, top - 1)))
    palette = None
    if kind == 3:
        palette = draw(arrays.arrays(np.uint8, (entries, 3)))
    return array, kind, depth, palette


@quick
@given(png_files())
def test_every_kind_of_png_keeps_all_its_bits(tmp_path, file):
    array, kind, depth, palette = file
    write_png(tmp_path / "p.png", array, kind, depth, palette)
    picture = decode(tmp_path / "p.png")
    # Less than eight bits are spread over 0 to 255, as every viewer shows them.
    spread = 255 // (2**depth - 1) if depth < 8 and kind == 0 else 1
    np.testing.assert_array_equal(picture.pages[0], array * spread)
    assert picture.pages.dtype == (np.uint16 if depth == 16 else np.uint8)
    assert picture.alpha == (kind in (4, 6))
    if palette is not None:
        np.testing.assert_array_equal(picture.colours[0], palette[array[..., 0]])


@quick
@given(
    st.sampled_from(["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"]),
    st.sampled_from([1, 3, 4]),
    st.integers(1, 3),
    st.sampled_from([None, "zlib"]),
    st.sampled_from("<>"),
    st.data(),
)
def test_every_kind_of_tiff_is_what_tifffile_wrote(
    tmp_path, kind, channels, pages, compression, order, data
):
    dtype = np.dtype(kind)
    bounds = {} if dtype.kind == "f" else {"min_value": np.iinfo(dtype).min,
                                           "max_value": np.iinfo(dtype).max}  # fmt: skip
    elements = (
        st.floats(width=dtype.itemsize * 8, allow_nan=False, allow_infinity=False)
        if dtype.kind == "f"
        else st.integers(**bounds)
    )
    array = data.draw(arrays.arrays(dtype, (pages, 3, 4, channels), elements=elements))
    path = tmp_path / "t.tif"
    with tifffile.TiffWriter(path, byteorder=order) as writer:
        for page in array:
            writer.write(
                page if channels > 1 else page[..., 0],
                photometric="rgb" if channels > 1 else "minisblack",
                compression=compression,
                contiguous=False,
                metadata=None,
            )
    picture = decode(path)
    np.testing.assert_array_equal(picture.pages, array)
    assert picture.pages.dtype == dtype.newbyteorder("=")
    assert picture.alpha == (channels == 4)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_compressed_tiffs_are_what_pillow_wrote(tmp_path, mode, compression):
    values = np.random.default_rng(1).integers(0, 256, (7, 9, 4)).astype(np.uint8)
    if mode == "I;16":
        source = Image.fromarray(values[..., 0].astype(np.uint16) * 255)
    else:
        source = Image.fromarray(values).convert("RGB").convert("L" if mode == "LA" else mode)
        source = source.convert(mode)
    source.save(tmp_path / "t.tif", compression=compression)
    expected = np.asarray(source)
    if mode == "1":
        expected = expected * np.uint8(255)
    picture = decode(tmp_path / "t.tif")
    np.testing.assert_array_equal(picture.pages[0].squeeze(-1) if expected.ndim == 2
                                  else picture.pages[0], expected)  # fmt: skip


def test_sixteen_bit_colours_under_lzw_keep_their_bits(tmp_path):
    array = np.random.default_rng(2).integers(0, 65536, (7, 9, 3)).astype(np.uint16)
    image = SimpleITK.GetImageFromArray(array, isVector=True)
    SimpleITK.WriteImage(image, str(tmp_path / "t.tif"), useCompression=True)
    np.testing.assert_array_equal(decode(tmp_path / "t.tif").pages[0], array)


@pytest.mark.parametrize("ending", ["png", "bmp", "gif", "ppm", "tif", "jpg"])
@pytest.mark.parametrize("coloured", [False, True])
def test_another_reader_sees_the_same(tmp_path, ending, coloured):
    shape = (8, 11, 3) if coloured else (8, 11)
    array = (np.random.default_rng(3).integers(0, 4, shape) * 80).astype(np.uint8)
    path = tmp_path / f"p.{'pgm' if ending == 'ppm' and not coloured else ending}"
    imageio.imwrite(path, array)
    seen = imageio.imread(path)
    seen = seen.reshape(*seen.shape, 1) if seen.ndim == 2 else seen
    picture = decode(path)
    np.testing.assert_array_equal(*np.broadcast_arrays(picture.colours[0], seen))
    assert picture.lossy == (ending == "jpg")


def test_white_stored_as_zero_is_turned_to_brightness(tmp_path):
    array = np.array([[0, 10], [200, 255]], np.uint8)
    for dtype in (np.uint8, np.uint16):
        tifffile.imwrite(tmp_path / "t.tif", array.astype(dtype), photometric="miniswhite")
        top = np.array(np.iinfo(dtype).max, dtype)
        picture = decode(tmp_path / "t.tif")
        assert picture.white_is_zero
        np.testing.assert_array_equal(picture.pages[0, ..., 0], top - array)


def test_planes_and_palettes_of_a_tiff(tmp_path):
    planes = np.random.default_rng(4).integers(0, 255, (3, 5, 6)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "p.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(decode(tmp_path / "p.tif").pages[0], np.moveaxis(planes, 0, -1))
    entries = np.arange(768, dtype=np.uint16).reshape(3, 256) * 85
    tifffile.imwrite(tmp_path / "c.tif", planes[0], photometric="palette", colormap=entries)
    picture = decode(tmp_path / "c.tif")
    np.testing.assert_array_equal(picture.pages[0, ..., 0], planes[0])
    np.testing.assert_array_equal(picture.palette, entries.T >> 8)


def test_the_size_of_a_pixel_is_read_where_it_is_physical(tmp_path):
    array, path = np.zeros((4, 5), np.uint8), tmp_path / "t.tif"
    tifffile.imwrite(path, array, resolution=(100, 200), resolutionunit="CENTIMETER")
    assert decode(path).pixel_size == pytest.approx((0.05, 0.1))  # 200 and 100 pixels in 10 mm
    tifffile.imwrite(path, array, imagej=True, resolution=(4, 2), metadata={"unit": "um"})
    assert decode(path).pixel_size == pytest.approx((0.0005, 0.00025))
    tifffile.imwrite(path, array, resolution=(300, 300), resolutionunit="INCH")
    assert decode(path).pixel_size is None


def truncated(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])


def noise(path, **how):
    array = np.random.default_rng(5).integers(0, 255, (60, 70, 3)).astype(np.uint8)
    Image.fromarray(array).save(path, **how)
    return path


@pytest.mark.parametrize(
    ("name", "how", "damage", "message"),
    [
        ("a.png", {}, truncated, "."),
        ("a.jpg", {}, truncated, "truncated"),
        ("a.tif", {}, truncated, "."),
        ("a.tif", {"compression": "tiff_lzw"}, truncated, "."),
        ("a.bmp", {}, truncated, "."),
        ("a.gif", {}, truncated, "."),
        ("a.png", {}, lambda path: path.write_bytes(b""), "empty"),
        ("a.png", {}, lambda path: path.write_text("<html>no</html>"), "none of PNG"),
        ("a.png", {}, lambda path: path.write_text(
            "version https" + "://git-lfs.github.com/spec/v1\noid sha256:1"), "git lfs pull"),
        ("a.png", {}, lambda path: path.write_bytes(path.read_bytes()[:40] + b"\0" * 400), "."),
        ("a.tif", {}, lambda path: path.write_bytes(b"II*\0" + b"\xff" * 90), "."),
        ("a.png", {}, lambda path: path.unlink(), "No such file"),
        ("a.webp", {}, lambda path: None, "none of PNG"),
        ("a.ppm", {}, lambda path: path.write_text("P3 # x\n2 1 65535 1 2 3 4 5 60000"), "8 bits"),
        ("a.tif", {}, lambda path: Image.open(path).convert("LAB").save(path), "'LAB' is not read"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_an_error_with_a_reason(tmp_path, name, how, damage, message):
    path = noise(tmp_path / name, **how)
    damage(path)
    with pytest.raises(OSError, match=message):
        decode(path)


def test_moving_pictures_and_pyramids_are_refused(tmp_path):
    frames = [Image.fromarray(np.full((6, 6), value, np.uint8)) for value in (0, 90, 200)]
    for name in ("a.gif", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(OSError, match="animated: 3 frames"):
            decode(tmp_path / name)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for side in (64, 32):
            writer.write(np.zeros((side, side), np.uint8))
    with pytest.raises(OSError, match="not of one kind"):
        decode(tmp_path / "a.tif")
    stack = np.zeros((5, 2, 8, 9), np.uint16)
    tifffile.imwrite(tmp_path / "h.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    with pytest.raises(OSError, match="ZCYX"):
        decode(tmp_path / "h.tif")


def test_the_content_decides_and_not_the_name(tmp_path):
    noise(tmp_path / "a.jpg", format="PNG")
    assert decode(tmp_path / "a.jpg").kind == "PNG"
    noise(tmp_path / "b", format="TIFF")
    assert decode(tmp_path / "b").kind == "TIFF"


def test_cmyk_jpegs_are_read_as_they_are_shown(tmp_path):
    shown = np.full((16, 16, 3), (200, 90, 30), np.uint8)
    Image.fromarray(shown).convert("CMYK").save(tmp_path / "c.jpg", quality=100)
    picture = decode(tmp_path / "c.jpg")
    assert np.abs(picture.pages[0].astype(int) - shown).max() <= 4
