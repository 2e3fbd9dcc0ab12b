"""Figure 6's layout, drawn from a small made-up data set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from replication.data.canonical import DataSet
from replication.data.labels import write_label
from replication.errors import ReplicationError
from replication.inference.store import write_scores
from replication.reporting.before_after import before_after

IDS = [f"{n:02d}" for n in range(10)]
SIZES = [(17, 25), (33, 17)]  # height, width


@pytest.fixture
def dataset(tmp_path: Path, write_dataset: Callable[..., DataSet]) -> DataSet:
    """Ten images of two sizes, with labels, scores at stride 8 and refined labels beside them."""
    rng = np.random.default_rng(0)
    pixels = {}
    for index, name in enumerate(IDS):
        height, width = SIZES[index % 2]
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        label = rng.integers(0, 3, (height, width)).astype(np.uint8)
        write_label(tmp_path / "refined" / f"{name}.png", label)
        label[:2] = 255
        pixels[name] = image, label
        shape = 3, (height - 1) // 8 + 1, (width - 1) // 8 + 1
        write_scores(tmp_path / "scores" / f"{name}.npz", rng.normal(size=shape).astype(np.float32))
    return write_dataset(pixels, ["background", "disc", "star"])


def _draw(dataset: DataSet, out: Path, count: int = 2) -> list[Path]:
    place = dataset.root.parent
    return before_after(
        dataset, place / "scores", place / "refined", out, run="aspp_l", count=count
    )


def test_writes_both_files_the_same_each_time(dataset: DataSet, tmp_path: Path) -> None:
    written = _draw(dataset, tmp_path / "figures" / "before_after.demo")
    assert [p.name for p in written] == ["before_after.demo.png", "before_after.demo.pdf"]
    first = [p.read_bytes() for p in written]
    assert first[1].startswith(b"%PDF")
    with Image.open(written[0]) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] > 1000
    # the palette's colours are in the picture, as they are
    seen = {tuple(c) for c in np.unique(pixels.reshape(-1, 3), axis=0).tolist()}
    assert {tuple(c) for c in dataset.palette[:3].tolist()} <= seen
    assert first == [p.read_bytes() for p in _draw(dataset, tmp_path / "again")]


def test_only_the_given_ids_are_read(dataset: DataSet, tmp_path: Path) -> None:
    (tmp_path / "refined" / "02.png").unlink()
    scores, refined = tmp_path / "scores", tmp_path / "refined"
    out = tmp_path / "some"
    assert before_after(dataset, scores, refined, out, run="aspp_l", count=9, ids=["05"])


def test_missing_scores_are_named(dataset: DataSet, tmp_path: Path) -> None:
    (tmp_path / "scores" / "02.npz").unlink()
    with pytest.raises(ReplicationError, match=r"02\.npz"):
        _draw(dataset, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_refined_label_of_another_size_is_named(dataset: DataSet, tmp_path: Path) -> None:
    write_label(tmp_path / "refined" / "02.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(ReplicationError, match=r"02\.png: 6x5 pixels, its image has 25x17"):
        _draw(dataset, tmp_path / "out")
