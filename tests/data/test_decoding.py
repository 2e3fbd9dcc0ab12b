"""Pictures from strangers: bombs, one pixel, programs in a picture's clothes."""

import os
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from replication.crf.engine import mean_field
from replication.crf.parameters import PRESETS
from replication.data.decoding import FORMATS, LARGEST, opened
from replication.data.folder import prepare_folder
from replication.data.labels import read_image, read_label, write_label
from replication.errors import ReplicationError
from replication.evaluation.run import evaluate_seed
from replication.inference.fit import Fit, fit_and_score
from replication.inference.store import write_scores
from replication.predict.photographs import read_photograph


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(path: Path, width: int, height: int, rows: int) -> Path:
    """Write a grey PNG of one bit a pixel by hand, of which only some rows are there."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    content = zlib.compress(bytes(rows * (1 + (width + 7) // 8)))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def said(read: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(ReplicationError) as caught:
        read(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


READERS: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (read_image, ()),
    (read_photograph, ()),
    (read_label, (2,)),
]


@pytest.mark.parametrize(("read", "more"), READERS)
@pytest.mark.parametrize("side", [20_000, 60_000, 13_378])
def test_twenty_thousand_pixels_a_side_are_one_line(
    tmp_path: Path, side: int, read: Callable[..., Any], more: tuple[Any, ...]
) -> None:
    path = png(tmp_path / "large.png", side, side, 1)
    assert side**2 > LARGEST
    message = said(read, path, *more)
    assert message.startswith(f"{path}: the ")
    assert f"has {side**2:,} pixels, and at most 178,956,970 are decoded; shrink it" in message


@pytest.mark.parametrize(("read", "more"), READERS)
def test_just_under_the_limit_is_decoded_without_a_warning(
    tmp_path: Path, read: Callable[..., Any], more: tuple[Any, ...]
) -> None:
    raw = png(tmp_path / "large.png", 13_377, 13_377, 1).read_bytes()
    assert LARGEST >= 13_377**2
    with opened("large.png", raw, what="", said="", cure="", formats=FORMATS) as image:
        assert image.size == (13_377, 13_377)
    thin = png(tmp_path / "thin.png", 100_000, 2, 2)  # the side alone is no reason
    assert read(thin, *more).shape[:2] == (2, 100_000)


def test_filters_of_warnings_stay_as_they_were(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", 9, 9, 9)
    before = list(warnings.filters)
    threads = [threading.Thread(target=read_image, args=(path,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


def test_no_interpreter_is_started_for_postscript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: started.append(a))
    eps = tmp_path / "a.jpg"
    eps.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) run\n%%EOF\n"
    )
    with Image.open(eps) as image:  # Pillow would take it
        assert image.format == "EPS"
    for read in (read_image, read_photograph):
        assert "of no known format" in said(read, eps)
    for format_ in ("ICO", "PCX", "TGA", "SGI"):
        Image.new("RGB", (16, 16)).save(tmp_path / "b.jpg", format=format_)
        assert "of no known format" in said(read_photograph, tmp_path / "b.jpg")
    assert started == []


def test_a_picture_of_one_pixel_goes_all_the_way(tmp_path: Path) -> None:
    """Prepared, scored in each way, refined, measured."""
    mine = tmp_path / "mine"
    lists = mine / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (mine / "JPEGImages").mkdir()
    names = {"train": 'a "b" <i>&\'c', "val": "d | e"}
    for split, name in names.items():
        (lists / f"{split}.txt").write_text(f"{name}\n")
        Image.new("RGB", (1, 1), (9, 8, 7)).save(mine / "JPEGImages" / f"{name}.png")
        label = np.full((1, 1), split == "val", np.uint8)
        write_label(mine / "SegmentationClass" / f"{name}.png", label)
    dataset = prepare_folder(mine, tmp_path / "data", sources=[], progress=False)
    assert dataset.ids("val") == ["d | e"]
    image = read_photograph(dataset.image_path("d | e"))
    assert image.tolist() == [[[9, 8, 7]]]

    def network(pixels: Any) -> np.ndarray:
        height, width = ((side - 1) // 8 + 1 for side in pixels.shape[1:])
        return np.stack([np.zeros((height, width)), np.ones((height, width))]).astype(np.float32)

    for fit in (Fit(), Fit("resize", 17), Fit("tile", 17, 8)):
        scores = fit_and_score(network, image, fit)
        assert scores.enlarged((1, 1), "d").ravel().tolist() == [0, 1]
    beliefs = mean_field(scores.enlarged((1, 1), "d"), image, PRESETS["resnet_ports"].parameters)
    assert beliefs.argmax() == 1
    write_scores(tmp_path / "scores" / "d | e.npz", scores.scores)
    write_label(tmp_path / "refined" / "d | e.png", beliefs.argmax(axis=0).astype(np.uint8))
    found = evaluate_seed(dataset, "val", tmp_path / "scores", tmp_path / "refined", stride=8)
    assert found.measured["before"]["pixel_accuracy"] == 100
    assert found.measured["after"]["pixel_accuracy"] == 100


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "gif"])
def test_changed_pictures_are_pixels_or_one_line(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 31, 3)).astype(np.uint8)
    path = tmp_path / f"a.{kind}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(path, exif=exif)
    valid = path.read_bytes()
    for _ in range(int(os.environ.get("FUZZ_SECONDS", "4")) * 25):
        raw = bytearray(valid)
        for place in rng.integers(0, len(raw), 3).tolist():
            raw[place] = int(rng.integers(256))
        path.write_bytes(raw)
        for read in (read_image, read_photograph):
            try:
                found = read(path)
            except ReplicationError:
                continue
            assert (found.ndim, found.dtype) == (3, np.uint8)
