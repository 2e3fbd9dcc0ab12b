"""The side file of a result: read back, equal bytes, small, every fault named."""

from pathlib import Path

import numpy as np
import pytest

from replication.errors import ReplicationError
from replication.evaluation.class_counts import TRUE, class_counts
from replication.evaluation.image_counts import (
    ImageCounts,
    read_image_counts,
    write_image_counts,
)


def make(images: int = 5, seeds: int = 2, classes: int = 4) -> ImageCounts:
    """Counts of images with two or three classes each, as photographs have."""
    rng = np.random.default_rng(0)
    confusion = rng.integers(0, 20_000, (seeds, 2, images, classes, classes))
    confusion[:, :, rng.random((images, classes)) > 3 / classes] = 0
    counts = class_counts(confusion)
    counts[:, :, :, TRUE] = counts[0, 0, :, TRUE]
    return ImageCounts(tuple(f"2008_{n:06d}" for n in range(images)), counts)


def test_reads_back(tmp_path: Path) -> None:
    counts = make()
    write_image_counts(tmp_path / "a.npz", counts)
    again = read_image_counts(tmp_path / "a.npz")
    assert again is not None
    assert again.ids == counts.ids
    np.testing.assert_array_equal(again.counts, counts.counts)
    assert again.of("after").shape == (2, 5, 3, 4)
    np.testing.assert_array_equal(again.of("after"), counts.counts[:, 1])


def test_pixels_near_contours_are_kept_beside_all_of_them(tmp_path: Path) -> None:
    counts = make()
    assert counts.near_of("after") is None
    both = ImageCounts(counts.ids, counts.counts, near=counts.counts // 3)
    write_image_counts(tmp_path / "a.npz", both)
    again = read_image_counts(tmp_path / "a.npz")
    assert again is not None
    np.testing.assert_array_equal(again.counts, counts.counts)
    found = again.near_of("after")
    assert found is not None
    np.testing.assert_array_equal(found, counts.counts[:, 1] // 3)


def test_equal_counts_equal_bytes_and_few(tmp_path: Path) -> None:
    for name in "ab":
        write_image_counts(tmp_path / f"{name}.npz", make(200, 1, 21))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a.npz").stat().st_size < 50_000


def test_no_file_is_none(tmp_path: Path) -> None:
    assert read_image_counts(tmp_path / "a.npz") is None


def test_broken_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_image_counts(path, make())
    raw = path.read_bytes()
    contents: list[bytes] = [b"", b"no archive", raw[: len(raw) // 2]]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ReplicationError, match=r"a\.npz: no counts of images"):
            read_image_counts(path)
    arrays = {"ids": np.array(["a"]), "true": np.zeros((1, 4), int)}
    two = np.zeros((1, 2, 1, 4), int)
    for other in (
        {"hit": two},
        {"hit": two, "predicted": two[0]},
        {"hit": two, "predicted": two[..., :3]},
        {"hit": two, "predicted": two, "ids": np.array(["a", "b"])},
    ):
        np.savez(path, **{**arrays, **other})
        with pytest.raises(ReplicationError, match=r"a\.npz: no counts of images"):
            read_image_counts(path)


def test_counts_that_do_not_fit_are_our_fault(tmp_path: Path) -> None:
    counts = make()
    with pytest.raises(ValueError, match="shape"):
        write_image_counts(tmp_path / "a.npz", ImageCounts(counts.ids[1:], counts.counts))
    counts.counts[1, 0, 0, TRUE] += 1
    with pytest.raises(ValueError, match="different true pixels"):
        write_image_counts(tmp_path / "a.npz", counts)
    assert list(tmp_path.iterdir()) == []
