"""Labels: indices in, indices out, and everything that is no index map refused by name."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from replication.data.labels import (
    VOID,
    highest_class,
    read_image,
    read_label,
    write_label,
)
from replication.data.palette import VOC_CLASSES, voc_palette
from replication.errors import ReplicationError

# The devkit's colours of classes 0..20, typed from its documentation.
FIRST_COLOURS = """
0 0 0      128 0 0    0 128 0    128 128 0  0 0 128    128 0 128   0 128 128
128 128 128  64 0 0    192 0 0    64 128 0   192 128 0  64 0 128    192 0 128
64 128 128   192 128 128  0 64 0  128 64 0   0 192 0    128 192 0   0 64 128
"""


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.fixture
def label() -> np.ndarray:
    values = np.arange(21 * 20, dtype=np.uint8).reshape(20, 21) % 21
    values[3:5] = VOID
    return values


def test_palette_begins_with_the_devkits_colours() -> None:
    expected = np.array(FIRST_COLOURS.split(), int).reshape(21, 3)
    np.testing.assert_array_equal(voc_palette()[:21], expected)
    np.testing.assert_array_equal(voc_palette()[VOID], [224, 224, 192])
    assert len({tuple(colour) for colour in voc_palette()}) == 256
    assert len(VOC_CLASSES) == 21
    assert VOC_CLASSES[15] == "person"


def test_palette_equals_the_devkits_loop() -> None:
    for index in range(256):
        rest, red, green, blue = index, 0, 0, 0
        for shift in range(7, -1, -1):  # VOCcolormap.m, bit by bit
            red |= (rest & 1) << shift
            green |= (rest >> 1 & 1) << shift
            blue |= (rest >> 2 & 1) << shift
            rest >>= 3
        assert tuple(voc_palette()[index]) == (red, green, blue)


@settings(max_examples=60, deadline=None)
@given(
    values=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)),
    colours=st.booleans(),
)
def test_a_written_label_reads_back(
    values: np.ndarray, colours: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("round") / "label.png"
    palette = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    write_label(path, values, palette if colours else None)
    np.testing.assert_array_equal(read_label(path, None), values)
    with Image.open(path) as image:
        assert image.mode == "P"
        expected = palette if colours else voc_palette()
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), expected[values])


def test_equal_palette_colours_do_not_merge_classes(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, VOID]], np.uint8)
    write_label(tmp_path / "a.png", values, np.zeros((256, 3), np.uint8))
    np.testing.assert_array_equal(read_label(tmp_path / "a.png", 3), values)


def test_write_label_refuses_other_arrays(tmp_path: Path) -> None:
    # TypeError where shapes are checked by jaxtyping as well.
    with pytest.raises((ValueError, TypeError), match="label"):
        write_label(tmp_path / "a.png", np.zeros((2, 2), int))
    with pytest.raises((ValueError, TypeError), match="palette"):
        write_label(tmp_path / "a.png", np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_grey_labels_are_indices(tmp_path: Path, label: np.ndarray) -> None:
    path = save(tmp_path / "grey.png", label)
    np.testing.assert_array_equal(read_label(path, 21), label)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("palette", [False, True])
def test_labels_of_few_bits_are_indices(tmp_path: Path, bits: int, palette: bool) -> None:
    values = np.arange(35, dtype=np.uint8).reshape(5, 7) % 2**bits
    path = tmp_path / "few.png"
    path.write_bytes(raw_png(values, bits, 3 if palette else 0))
    np.testing.assert_array_equal(read_label(path, 2**bits), values)


def raw_png(values: np.ndarray, bits: int, kind: int) -> bytes:
    """Write a PNG by hand: Pillow writes no grey of 2 or 4 bits."""
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    height, width = values.shape
    rows = b""
    for row in values:
        digits = "".join(f"{value:0{bits}b}" for value in row)
        digits += "0" * (-len(digits) % 8)
        rows += b"\0" + int(digits, 2).to_bytes(len(digits) // 8, "big")
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    colours = chunk(b"PLTE", voc_palette()[: 2**bits].tobytes()) if kind == 3 else b""
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + colours + body + chunk(b"IEND", b"")


def test_coloured_labels_are_refused(tmp_path: Path, label: np.ndarray) -> None:
    for mode in ("RGB", "RGBA", "LA"):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(voc_palette()[label]).convert(mode).save(path)
        with pytest.raises(ReplicationError, match=rf"{mode}\.png: .*8-bit palette or grey PNG"):
            read_label(path, 21)


def test_other_formats_are_refused(tmp_path: Path, label: np.ndarray) -> None:
    save(tmp_path / "a.jpg", label).rename(tmp_path / "jpeg.png")
    with pytest.raises(ReplicationError, match=r"jpeg\.png: the label is a JPEG"):
        read_label(tmp_path / "jpeg.png", 21)
    save(tmp_path / "deep.png", label.astype(np.uint16))
    with pytest.raises(ReplicationError, match=r"deep\.png: .*16 bits"):
        read_label(tmp_path / "deep.png", 21)
    save(tmp_path / "b.gif", label).rename(tmp_path / "gif.png")
    with pytest.raises(ReplicationError, match=r"gif\.png: .*no PNG"):
        read_label(tmp_path / "gif.png", 21)
    (tmp_path / "empty.png").touch()
    with pytest.raises(ReplicationError, match=r"empty\.png: .*no PNG"):
        read_label(tmp_path / "empty.png", 21)
    with pytest.raises(ReplicationError, match=r"absent\.png: there is no such label"):
        read_label(tmp_path / "absent.png", 21)


@given(share=st.floats(0.0, 0.98))
@settings(max_examples=40, deadline=None)
def test_labels_cut_short_are_refused(
    share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "cut.png"
    values = np.random.default_rng(0).integers(0, 21, (60, 40)).astype(np.uint8)
    write_label(path, values)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ReplicationError, match=r"cut\.png: the label"):
        read_label(path, 21)


@given(place=st.floats(0.0, 0.999), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_changed_bit_is_seen(
    place: float, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("bit") / "bit.png"
    values = np.random.default_rng(0).integers(0, 21, (40, 40)).astype(np.uint8)
    write_label(path, values)
    raw = bytearray(path.read_bytes())
    raw[int(place * (len(raw) - 12))] ^= 1 << bit  # the end chunk says nothing
    path.write_bytes(raw)
    try:
        read = read_label(path, 21)
    except ReplicationError:
        return
    np.testing.assert_array_equal(read, values)  # a change that changes nothing may pass


def test_values_outside_the_classes_are_refused(tmp_path: Path, label: np.ndarray) -> None:
    label[0, :3] = 21
    path = save(tmp_path / "a.png", label)
    with pytest.raises(ReplicationError, match=r"a\.png: .*value 21 \(3 pixels\).*0\.\.20, or 255"):
        read_label(path, 21)
    assert read_label(path, 22).max() == VOID
    label[0, 0] = 254
    save(path, label)
    with pytest.raises(ReplicationError, match="value 254"):
        read_label(path, 21)


@given(hnp.arrays(np.uint8, (3, 4)))
def test_highest_class_leaves_void_out(values: np.ndarray) -> None:
    valid = values[values != VOID]
    assert highest_class(values) == (int(valid.max()) if valid.size else -1)


def test_images_become_rgb(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    np.testing.assert_array_equal(read_image(save(tmp_path / "rgb.png", rgb)), rgb)
    grey = read_image(save(tmp_path / "grey.png", rgb[..., 0]))
    np.testing.assert_array_equal(grey, np.repeat(rgb[..., :1], 3, axis=2))
    alpha = np.concatenate([rgb, rgb[..., :1]], axis=2)
    np.testing.assert_array_equal(read_image(save(tmp_path / "rgba.png", alpha)), rgb)
    flat = np.full((8, 8, 3), (200, 30, 60), np.uint8)
    Image.fromarray(flat).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    cmyk = read_image(tmp_path / "cmyk.jpg")
    assert cmyk.shape == (8, 8, 3)
    assert np.abs(cmyk.astype(int) - flat).max() <= 3
    indexed = Image.fromarray(flat).quantize(4)
    indexed.save(tmp_path / "p.png", transparency=bytes([0, 255]))
    assert read_image(tmp_path / "p.png").shape == (8, 8, 3)


def test_exif_rotation_is_left_alone(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((6, 9, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (6, 9, 3)


def test_bad_images_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(stream, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(stream.getvalue()[:-200])
    with pytest.raises(ReplicationError, match=r"cut\.jpg: the image is broken, cut short"):
        read_image(tmp_path / "cut.jpg")
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ReplicationError, match=r"text\.jpg: the image is broken"):
        read_image(tmp_path / "text.jpg")
    save(tmp_path / "deep.png", np.zeros((4, 4), np.uint16))
    with pytest.raises(ReplicationError, match=r"deep\.png: .*8 bits"):
        read_image(tmp_path / "deep.png")
    with pytest.raises(ReplicationError, match="no such image"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(ReplicationError, match="can't be read"):
        read_image(tmp_path)
