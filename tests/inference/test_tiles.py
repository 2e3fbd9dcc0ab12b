"""Tiles: where they stand, shares that sum to one, and the untiled scores in the safe zone."""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from replication.errors import ReplicationError
from replication.inference.tiles import blend, check_overlap, positions, shares

CASES = [
    (side, size, overlap)
    for side, size, overlap in product(
        (1, 9, 40, 57, 58, 120, 121, 500), (9, 57, 65), (0, 1, 8, 30, 49, 57)
    )
    if overlap <= size - 8
]


@pytest.mark.parametrize(("side", "size", "overlap"), CASES)
def test_tiles_cover_a_side_and_overlap_as_asked(side: int, size: int, overlap: int) -> None:
    starts = positions(side, size, overlap)
    assert starts[0] == 0
    assert all(start % 8 == 0 for start in starts)
    assert side <= starts[-1] + size < max(side, size) + 8
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (size - steps >= overlap).all()
    assert len(steps) == 0 or steps.max() - steps.min() <= 8  # evenly spread


@pytest.mark.parametrize(("side", "size", "overlap"), CASES)
def test_shares_sum_to_one_and_fall_towards_a_tiles_edge(
    side: int, size: int, overlap: int
) -> None:
    starts = [start // 8 for start in positions(side, size, overlap)]
    tile, length = (size - 1) // 8 + 1, -(-(side - 1) // 8) + 1
    table = shares(starts, tile, length)
    assert table.shape == (len(starts), length)
    np.testing.assert_allclose(table.sum(0), 1, atol=1e-6)
    for row, start in zip(table, starts, strict=True):
        inside = np.arange(length)
        inside = (inside >= start) & (inside < start + tile)
        assert (row[inside] > 0).all()
        assert not row[~inside].any()
    both = (table[:-1] > 0) & (table[1:] > 0) if len(table) == 2 else np.zeros((1, length), bool)
    falling = table[0][both[0]]
    assert (np.diff(falling) < 0).all()  # the first tile's share, where the second has one


def test_crossing_over_is_smooth() -> None:
    """One after the other of two tiles that share 40 scores: no step above a twentieth."""
    table = shares([0, 24], 64, 88)
    assert np.abs(np.diff(table, axis=1)).max() < 0.05
    assert table[1, 24] == pytest.approx(1 / (1 + 25**2))  # the first tile is 25 scores in


def see(image: np.ndarray) -> np.ndarray:
    """A network at stride 8 that sees 16 pixels around a score's own, zeros beyond its input."""
    weight = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 3, 33, 33))) / 33
    seen = F.conv2d(torch.from_numpy(image)[None], weight, stride=8, padding=16)[0]
    return F.relu(seen).numpy().astype(np.float32)


@pytest.mark.parametrize("size", [65, 97])
@pytest.mark.parametrize("overlap", [0, 8, 32, 48, 57])
def test_blended_tiles_equal_the_whole_in_the_safe_zone(size: int, overlap: int) -> None:
    """Safe: at least 16 pixels from the edge of every tile there, but for the image's own edges."""
    height, width = 121, 201
    rng = np.random.default_rng(0)
    image = np.zeros((3, height + 128, width + 128))
    image[:, :height, :width] = rng.normal(size=(3, height, width))
    tops, lefts = set(), set()

    def score(top: int, left: int) -> np.ndarray:
        tops.add(top)
        lefts.add(left)
        return see(image[:, top : top + size, left : left + size])

    blended = blend(score, (height, width), size, overlap)
    whole = see(image[:, :height, :width])
    assert blended.shape == whole.shape == (4, 16, 26)

    def safe(starts: set[int], side: int) -> np.ndarray:
        pixel = np.arange(0, side, 8)
        good = np.ones(len(pixel), bool)
        for start in starts:
            end = start + size - 1
            there = (pixel >= start) & (pixel <= end)
            near = (pixel - start < 16) & (start > 0) | (end - pixel < 16) & (end < side - 1)
            good &= ~(there & near)
        return good

    zone = safe(tops, height)[:, None] & safe(lefts, width)
    assert 0 < zone.mean() < 1
    assert len(lefts) > 2
    np.testing.assert_allclose(blended[:, zone], whole[:, zone], atol=1e-5)
    assert np.abs(blended - whole)[:, ~zone].max() > 0.01  # the zone's edge is where it is


def test_one_tile_that_holds_the_image_is_the_image() -> None:
    image = np.random.default_rng(0).normal(size=(3, 57, 57))
    blended = blend(lambda *_: see(image), (50, 57), 57, 20)
    np.testing.assert_array_equal(blended, see(image))


@pytest.mark.parametrize("overlap", [-1, 50, 57, 100])
def test_an_overlap_that_leaves_no_step_is_one_line(overlap: int) -> None:
    with pytest.raises(ReplicationError) as caught:
        check_overlap(overlap, 57)
    assert str(caught.value) == (
        f"`--tile-overlap` is {overlap}, and tiles are 57 pixels wide; give 0 to 49"
    )
