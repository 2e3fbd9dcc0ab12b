"""How sure a mean IOU is: the bootstrap over images.

Images are drawn again with replacement, as many as there are; each draw weighs every image's class
counts by how often it came, and gives one mean IOU. The percentiles of many draws are the interval.
Two runs on the same images share the draws (same count, same seed), so that their difference is
paired: what makes an image hard for both falls out.

The interval covers the choice of images. It does not cover the choice of training seeds: with
several seeds, the figure that is resampled is their mean.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from replication.evaluation.class_counts import mean_iou_of

LEVEL = 95.0
RESAMPLES = 2_000
SEED = 0


class Interval(NamedTuple):
    """A percentile interval, in the unit of what was resampled."""

    low: float
    high: float


@lru_cache(maxsize=4)
def draws(
    images: int, resamples: int = RESAMPLES, seed: int = SEED
) -> Float64[np.ndarray, "resamples images"]:
    """Return how often each image comes in each draw: float64, each row sums to ``images``."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(images, np.full(images, 1 / images), size=resamples)
    weights = weights.astype(np.float64)
    weights.flags.writeable = False  # it is shared
    return weights


def resampled_miou(
    counts: Int64[np.ndarray, "seeds images 3 C"], resamples: int = RESAMPLES, seed: int = SEED
) -> Float64[np.ndarray, " resamples"]:
    """Return mean IOU in percent in each draw, the mean over training seeds.

    Args:
        counts: `class_counts` of each image under each training seed.
        resamples: how many draws.
        seed: of the draws; equal seeds and numbers of images give equal draws.

    Returns:
        float64; NaN for a draw in which no pixel counts.
    """
    seeds, images, three, classes = counts.shape
    weights = draws(images, resamples, seed)
    # Sums of whole numbers below 2**53: exact, in whatever order they are added.
    table = counts.transpose(1, 0, 2, 3).reshape(images, -1).astype(np.float64)
    sums = (weights @ table).reshape(resamples, seeds, three, classes)
    return np.asarray(mean_iou_of(sums).mean(axis=1))


def percentiles(values: Float64[np.ndarray, " draws"], level: float = LEVEL) -> Interval | None:
    """Return the interval that holds the middle ``level`` percent; None if nothing is defined."""
    defined = values[~np.isnan(values)]
    if not defined.size:
        return None
    low, high = np.percentile(defined, [50 - level / 2, 50 + level / 2])
    return Interval(float(low), float(high))


def miou_interval(
    counts: Int64[np.ndarray, "seeds images 3 C"],
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> Interval | None:
    """Return the interval of mean IOU, percent; None for fewer than two images."""
    if counts.shape[1] < 2:
        return None
    return percentiles(resampled_miou(counts, resamples, seed), level)
