"""Images as people have them: every mode, turned by EXIF, broken, in folders, of the same name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from replication.errors import ReplicationError
from replication.predict.photographs import find_images, read_photograph

RGB = np.array(
    [[[250, 10, 20], [0, 0, 0], [255, 255, 255]], [[10, 200, 30], [128, 128, 128], [3, 2, 1]]],
    np.uint8,
)
GREY = np.array([[0, 100, 255], [7, 128, 1]], np.uint8)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def test_rgb_comes_as_it_is(tmp_path: Path) -> None:
    image = read_photograph(save(tmp_path / "a.png", Image.fromarray(RGB)))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, RGB)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "gif", "pgm"])
def test_grey(tmp_path: Path, suffix: str) -> None:
    image = read_photograph(save(tmp_path / f"a.{suffix}", Image.fromarray(GREY)))
    np.testing.assert_array_equal(image, np.stack([GREY] * 3, axis=2))


def test_alpha_is_dropped(tmp_path: Path) -> None:
    alpha = np.full((2, 3, 1), 9, np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(np.concatenate([RGB, alpha], axis=2)))
    np.testing.assert_array_equal(read_photograph(path), RGB)
    two = np.concatenate([GREY[..., None], alpha], axis=2)
    path = save(tmp_path / "b.png", Image.fromarray(two))
    np.testing.assert_array_equal(read_photograph(path), np.stack([GREY] * 3, axis=2))


@pytest.mark.parametrize("transparency", [None, 1, b"\x00\x80\xff"])
def test_palette(tmp_path: Path, transparency: Any) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([1, 2, 3, 40, 50, 60, 255, 0, 7], "RGB")
    options = {} if transparency is None else {"transparency": transparency}
    found = read_photograph(save(tmp_path / "a.png", image, **options))
    assert found.tolist() == [[[1, 2, 3], [40, 50, 60], [255, 0, 7]]]


def test_cmyk(tmp_path: Path) -> None:
    """Ink takes light away: cyan alone leaves green and blue, black alone nothing."""
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :, 0] = 255
    inks[8:, :, 3] = 255
    path = save(tmp_path / "a.jpg", Image.frombytes("CMYK", (16, 16), inks.tobytes()), quality=100)
    image = read_photograph(path).astype(int)
    assert np.abs(image[2, 2] - [0, 255, 255]).max() < 8
    assert np.abs(image[13, 2]).max() < 8


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_become_the_upper_eight(tmp_path: Path, suffix: str) -> None:
    deep = np.array([[0, 255, 256, 65535, 32768]], np.uint16)
    image = read_photograph(save(tmp_path / f"a.{suffix}", Image.fromarray(deep)))
    assert image[0, :, 0].tolist() == [0, 0, 1, 255, 128]
    assert (image == image[..., :1]).all()


def test_thirty_two_bits_are_refused(tmp_path: Path) -> None:
    for values in (np.ones((2, 2), np.float32), np.full((2, 2), 70_000, np.int32)):
        path = save(tmp_path / "a.tif", Image.fromarray(values))
        with pytest.raises(ReplicationError, match="has 32 bits a channel; save it with 8 or 16"):
            read_photograph(path)


TURNS = {  # EXIF orientation -> what brings the stored pixels upright, after the standard's table
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_turns_the_image(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", Image.fromarray(RGB), exif=exif)
    np.testing.assert_array_equal(read_photograph(path), TURNS[orientation](RGB))


@pytest.mark.parametrize("content", [b"", b"no image", "short", "a folder", "missing"])
def test_what_cannot_be_read_is_one_line(tmp_path: Path, content: bytes | str) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(np.tile(RGB, (40, 40, 1))))
    if content == "short":
        path.write_bytes(path.read_bytes()[:-60])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.unlink()
        if content == "a folder":
            path.mkdir()
    with pytest.raises(ReplicationError) as caught:
        read_photograph(path)
    assert str(caught.value).startswith(f"{path}: the image is missing, broken, cut short")
    assert "\n" not in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "inner").mkdir(parents=True)
    for name in ("b.jpg", "a.PNG", "c.tiff", ".hidden.jpg", "notes.txt", "inner/d.jpg"):
        (folder / name).write_bytes(b"")
    return folder


def test_folders_and_files_in_the_order_given(folder: Path) -> None:
    notes = folder / "notes.txt"  # named, hence taken
    found = find_images([folder / "inner" / "d.jpg", folder, notes, folder / "b.jpg"])
    names = [str(path.relative_to(folder)) for path in found]
    assert names == ["inner/d.jpg", "a.PNG", "b.jpg", "c.tiff", "notes.txt"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["photos", "photos/inner/b.png"], "photos/b.jpg and {}/photos/inner/b.png would both"),
        (["photos/nothing.jpg"], "photos/nothing.jpg does not exist; name images, or folders"),
        (["empty"], "empty holds no image (.jpg, .jpeg,"),
    ],
)
def test_what_cannot_be_meant_is_one_line(folder: Path, given: list[str], said: str) -> None:
    (folder.parent / "empty").mkdir()
    (folder / "inner" / "b.png").write_bytes(b"")
    with pytest.raises(ReplicationError) as caught:
        find_images([folder.parent / name for name in given])
    assert said.format(folder.parent) in str(caught.value)
    assert "\n" not in str(caught.value)
