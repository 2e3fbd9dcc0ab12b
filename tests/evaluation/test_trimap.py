"""The trimap against dilation by a square, in scipy's words and pixel by pixel."""

import math

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import distance_transform_cdt, maximum_filter

from replication.evaluation.class_counts import class_counts
from replication.evaluation.confusion import confusion_matrix, mean_iou
from replication.evaluation.trimap import (
    MAX_WIDTH,
    band_counts,
    distance_to_void,
    keep_band,
    ring_counts,
    trimap_curve,
)

Label = np.ndarray
CLASSES = 3


@st.composite
def cases(draw: st.DrawFn) -> tuple[Label, Label, int]:
    """A label with little void, so that distances are long; a prediction; a width."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=30))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, shape).astype(np.uint8)
    truth[rng.random(shape) < draw(st.sampled_from([0.0, 0.003, 0.02, 0.3, 1.0]))] = 255
    prediction = rng.integers(0, CLASSES, shape).astype(np.uint8)
    return truth, prediction, draw(st.integers(1, 12) | st.just(40))


def by_pixel(truth: Label, ignore: int = 255) -> np.ndarray:
    """Each pixel's distance by looking at every void pixel; infinite without any."""
    void = np.argwhere(truth == ignore)
    everywhere = np.argwhere(np.ones(truth.shape, bool))
    if not len(void):
        return np.full(truth.shape, np.inf)
    away = np.abs(everywhere[:, None] - void[None]).max(axis=2).min(axis=1)
    return away.reshape(truth.shape).astype(float)


def dilated(truth: Label, width: int) -> np.ndarray:
    """The authors' band: void dilated by a square of side 2w + 1, less the void itself."""
    void = truth == 255
    return (maximum_filter(void, 2 * width + 1, mode="constant") > 0) & ~void


@settings(deadline=None, max_examples=60)
@given(cases())
def test_distance_equals_looking_at_every_void_pixel(case: tuple[Label, Label, int]) -> None:
    truth, _, width = case
    expected = np.minimum(by_pixel(truth), width + 1)
    np.testing.assert_array_equal(distance_to_void(truth, width), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 1), (3, 200), (50, 61)])
@pytest.mark.parametrize("width", [1, 2, 3, 40, 41, MAX_WIDTH])
def test_distance_equals_scipy_from_corners_and_inside(shape: tuple[int, int], width: int) -> None:
    height, columns = shape
    for y, x in {(0, 0), (height - 1, columns - 1), (height // 2, columns - 1), (height // 3, 0)}:
        label = np.zeros(shape, np.uint8)
        label[y, x] = 255
        expected = distance_transform_cdt(label != 255, metric="chessboard")
        found = distance_to_void(label, width)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, np.minimum(expected, width + 1))


@settings(deadline=None, max_examples=60)
@given(cases())
def test_every_width_equals_dilating(case: tuple[Label, Label, int]) -> None:
    truth, prediction, width = case
    (rings,) = ring_counts(truth, [prediction], CLASSES, width)
    bands = band_counts(rings)
    assert bands.shape == (width, CLASSES, CLASSES)
    for w in {1, width // 2 + 1, width}:
        only = np.where(dilated(truth, w), truth, np.uint8(255))
        np.testing.assert_array_equal(bands[w - 1], confusion_matrix(only, prediction, CLASSES))
        np.testing.assert_array_equal(keep_band(truth, w), only)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_curve_is_mean_iou_of_each_band(case: tuple[Label, Label, int]) -> None:
    truth, prediction, width = case
    (rings,) = ring_counts(truth, [prediction], CLASSES, width)
    curve = trimap_curve(class_counts(rings))
    assert curve["width"] == list(range(1, width + 1))
    for w, found in zip(curve["width"], curve["miou"], strict=True):
        only = np.where(dilated(truth, w), truth, np.uint8(255))
        expected = mean_iou(confusion_matrix(only, prediction, CLASSES))
        if math.isnan(expected):
            assert found is None
        else:
            assert found == pytest.approx(expected, abs=1e-12)


def test_many_classes_and_wide_bands_do_not_overflow() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 200, (60, 70)).astype(np.uint8)
    truth[30, 30:33] = 255
    prediction = rng.integers(0, 200, truth.shape).astype(np.uint8)
    bands = band_counts(ring_counts(truth, [prediction], 200, 50)[0])
    only = np.where(dilated(truth, 50), truth, np.uint8(255))
    np.testing.assert_array_equal(bands[-1], confusion_matrix(only, prediction, 200))


def test_another_label_can_be_void() -> None:
    label = np.array([[0, 1, 1, 1, 2]], np.uint8)
    np.testing.assert_array_equal(distance_to_void(label, 2, ignore=0), [[0, 1, 2, 3, 3]])
    np.testing.assert_array_equal(keep_band(label, 2, ignore=0), [[0, 1, 1, 0, 0]])


@pytest.mark.parametrize("width", [0, -1, MAX_WIDTH + 1])
def test_widths_that_eight_bits_cannot_hold_are_refused(width: int) -> None:
    with pytest.raises(ValueError, match="`width` must be 1 to 127"):
        distance_to_void(np.zeros((2, 2), np.uint8), width)


def test_classes_out_of_range_and_other_shapes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is outside the tests
    truth = np.array([[255, 1, 0, 0]], np.uint8)
    with pytest.raises(ValueError, match="a label is outside the 1 classes"):
        ring_counts(truth, [np.full_like(truth, 2)], 1, 3)
    with pytest.raises(ValueError, match="one shape"):
        ring_counts(truth, [truth[:, :2]], 2, 3)


def test_several_predictions_share_one_truth() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, CLASSES, (40, 50)).astype(np.uint8)
    truth[20, 5:9] = 255
    guesses = [rng.integers(0, CLASSES, truth.shape).astype(np.uint8) for _ in range(2)]
    both = ring_counts(truth, guesses, CLASSES, 7)
    for guess, rings in zip(guesses, both, strict=True):
        np.testing.assert_array_equal(rings, ring_counts(truth, [guess], CLASSES, 7)[0])
        assert rings.sum() == dilated(truth, 7).sum()
