"""The trimap band against dilating the void pixels, as the authors' script does."""

import numpy as np
import pytest
from scipy import ndimage

from replication.evaluation.trimap import keep_band


@pytest.mark.parametrize("width", [1, 2, 7, 40])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_authors_dilation(width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 21, (31, 44)).astype(np.uint8)
    label[rng.random(label.shape) < 0.01] = 255
    square = np.ones((2 * width + 1, 2 * width + 1), bool)
    band = ndimage.binary_dilation(label == 255, square) & (label != 255)
    np.testing.assert_array_equal(keep_band(label, width), np.where(band, label, 255))


def test_without_void_there_is_no_band() -> None:
    assert (keep_band(np.zeros((5, 6), np.uint8), 3) == 255).all()


def test_a_width_below_1_is_our_fault() -> None:
    with pytest.raises(ValueError, match="width"):
        keep_band(np.zeros((5, 6), np.uint8), 0)
