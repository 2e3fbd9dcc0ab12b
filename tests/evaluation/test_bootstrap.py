"""The bootstrap against a loop, and its coverage where the true mean IOU is known."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from replication.evaluation.bootstrap import draws, miou_interval, percentiles, resampled_miou
from replication.evaluation.class_counts import class_counts, mean_iou_of
from replication.evaluation.confusion import mean_iou
from replication.evaluation.image_counts import ImageCounts
from replication.paper.verdicts import Bounds
from replication.reporting.evidence import Evidence


class InMemory(Evidence):
    """Evidence of two runs, ``of`` and ``over``, measured on one data set: counts by image."""

    def __init__(self, **tables: np.ndarray) -> None:
        super().__init__(Path("nowhere"), "demo")
        self.tables = tables  # (seeds, images, 3, C)

    def result(self, run: str | None) -> Any:
        return SimpleNamespace(data=SimpleNamespace(meta_sha256="one data set"))

    def counts(self, run: str) -> ImageCounts:
        table = self.tables[run]
        ids = tuple(str(number) for number in range(table.shape[1]))
        return ImageCounts(ids, np.stack([table, table], axis=1))


def difference(of: np.ndarray, over: np.ndarray) -> Bounds | None:
    """The paired interval that tables and claims print."""
    return InMemory(of=of, over=over).difference(("of", "before.miou"), ("over", "before.miou"))


def matrices(images: int, seed: int, seeds: int = 1, classes: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 50, (seeds, images, classes, classes))


def test_equals_a_loop_over_draws_seeds_and_images() -> None:
    confusions = matrices(7, 0, seeds=2)
    found = resampled_miou(class_counts(confusions), 20, 5)
    for value, times in zip(found, draws(7, 20, 5), strict=True):
        sums = [sum(int(n) * m for n, m in zip(times, s, strict=True)) for s in confusions]
        assert value == pytest.approx(np.mean([mean_iou(m) for m in sums]), rel=1e-12)
    low, high = miou_interval(class_counts(confusions), 20, 5) or (0, 0)
    assert (low, high) == tuple(np.percentile(found, [2.5, 97.5]))


def test_draws_are_seeded_and_of_all_images() -> None:
    first = draws(30, 200, 1)
    draws.cache_clear()
    np.testing.assert_array_equal(draws(30, 200, 1), first)
    assert (first.sum(axis=1) == 30).all()
    assert (draws(30, 200, 2) != first).any()
    assert first.std(axis=0).mean() == pytest.approx(np.sqrt(29 / 30), rel=0.05)


def test_a_run_does_not_differ_from_itself() -> None:
    counts = class_counts(matrices(9, 1))
    assert difference(counts, counts) == (0, 0)


def test_pairing_removes_what_makes_an_image_hard() -> None:
    rng = np.random.default_rng(0)
    right = rng.integers(0, 1000, (1, 50, 2))
    worse = np.zeros((1, 50, 2, 2), int)
    worse[..., 0, 0], worse[..., 1, 1] = right[..., 0], right[..., 1]
    worse[..., 0, 1] = worse[..., 1, 0] = 1000 - right.mean(axis=-1).astype(int)
    better = worse + np.array([[30, 0], [0, 30]])
    paired = difference(class_counts(better), class_counts(worse))
    alone = miou_interval(class_counts(better))
    assert paired is not None
    assert alone is not None
    low, high = paired
    assert low > 0
    assert high - low < 0.1 * (alone.high - alone.low)


def test_several_seeds_may_meet_one() -> None:
    of, over = class_counts(matrices(20, 2, seeds=3)), class_counts(matrices(20, 3))
    interval = difference(of, over)
    value = mean_iou_of(of.sum(axis=1)).mean() - mean_iou_of(over.sum(axis=1)).mean()
    assert interval is not None
    assert interval[0] < value < interval[1]


def test_one_image_no_pixel_and_other_images_give_no_interval() -> None:
    assert miou_interval(class_counts(matrices(1, 0))) is None
    nothing = np.zeros((1, 5, 3, 2), np.int64)
    assert miou_interval(nothing) is None
    assert difference(nothing, nothing) is None
    some = class_counts(matrices(5, 0))
    assert difference(some[:, :1], some[:, :1]) is None
    assert difference(some, some[:, 1:]) is None
    assert percentiles(np.array([1.0, np.nan, 1.0])) == (1, 1)


def population(images: int, rng: np.random.Generator, skill: float) -> np.ndarray:
    """Draw images of 1,000 pixels and 3 classes; how hard an image is differs from one to another.

    Returns (images, 3, 3). Class shares are Dirichlet with mean (1/2, 3/10, 1/5); a pixel is right
    with a chance of the image's own, Beta with mean ``skill``, else one of the other two classes.
    """
    shares = rng.dirichlet([2.5, 1.5, 1.0], images)
    pixels = rng.multinomial(1000, shares)  # (images, 3)
    chance = rng.beta(10 * skill, 10 * (1 - skill), images)
    hit = rng.binomial(pixels, chance[:, None])
    first = rng.binomial(pixels - hit, 0.5)
    confusion = np.zeros((images, 3, 3), np.int64)
    for k in range(3):
        confusion[:, k, k] = hit[:, k]
        confusion[:, k, (k + 1) % 3] = first[:, k]
        confusion[:, k, (k + 2) % 3] = pixels[:, k] - hit[:, k] - first[:, k]
    return confusion


def known(skill: float) -> float:
    """The population's mean IOU in percent, by expectation."""
    share = np.array([0.5, 0.3, 0.2])
    union = share + (1 - skill) / 2 * (1 - share)  # true, or wrongly predicted
    return float(100 * (share * skill / union).mean())


TRIALS = 500


def test_intervals_cover_the_known_mean_iou() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(TRIALS):
        counts = class_counts(population(60, rng, 0.7)[None])
        interval = miou_interval(counts, 400, trial)
        assert interval is not None
        covered += interval.low <= known(0.7) <= interval.high
    assert 0.90 <= covered / TRIALS <= 0.98


def test_paired_intervals_cover_the_known_difference() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(TRIALS):
        of, over = (class_counts(population(60, rng, skill)[None]) for skill in (0.72, 0.7))
        interval = difference(of, over)
        assert interval is not None
        covered += interval[0] <= known(0.72) - known(0.7) <= interval[1]
    assert 0.90 <= covered / TRIALS <= 0.98
