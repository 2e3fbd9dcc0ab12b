"""The confusion matrix against brute force, IOU against hand arithmetic and other forms."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from replication.errors import ReplicationError
from replication.evaluation.confusion import (
    confusion_matrix,
    frequency_weighted_iou,
    mean_accuracy,
    mean_iou,
    per_class_iou,
    pixel_accuracy,
    summarise,
)

Label = np.ndarray
CLASSES = 5


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Label, Label]:
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=8))
    some = st.integers(0, CLASSES - 1)
    truth = draw(hnp.arrays(np.uint8, shape, elements=some | st.just(255)))
    return truth, draw(hnp.arrays(np.uint8, shape, elements=some))


def brute_force(truth: Label, prediction: Label, classes: int) -> np.ndarray:
    counts = np.zeros((classes, classes), np.int64)
    for t, p in zip(truth.flat, prediction.flat, strict=True):
        if t != 255:
            counts[t, p] += 1
    return counts


@given(pairs())
def test_equals_counting_pixel_by_pixel(pair: tuple[Label, Label]) -> None:
    counts = confusion_matrix(*pair, CLASSES)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, brute_force(*pair, CLASSES))


@given(pairs())
def test_iou_equals_sets_of_pixels(pair: tuple[Label, Label]) -> None:
    truth, prediction = pair
    iou = per_class_iou(confusion_matrix(truth, prediction, CLASSES))
    valid = truth != 255
    for k in range(CLASSES):
        a = set(np.flatnonzero(valid & (truth == k)))
        b = set(np.flatnonzero(valid & (prediction == k)))
        if a | b:
            assert iou[k] == pytest.approx(100 * len(a & b) / len(a | b), abs=1e-12)
        else:
            assert math.isnan(iou[k])


@given(pairs(), st.permutations(range(CLASSES)))
def test_renaming_the_classes_permutes_the_matrix(
    pair: tuple[Label, Label], order: list[int]
) -> None:
    rename = np.full(256, 255, np.uint8)
    rename[:CLASSES] = order
    counts = confusion_matrix(*pair, CLASSES)
    renamed = confusion_matrix(rename[pair[0]], rename[pair[1]], CLASSES)
    np.testing.assert_array_equal(renamed[np.ix_(order, order)], counts)
    if counts.sum():
        assert mean_iou(renamed) == pytest.approx(mean_iou(counts))


@given(pairs())
def test_transposing_truth_and_prediction_keeps_iou(pair: tuple[Label, Label]) -> None:
    counts = confusion_matrix(*pair, CLASSES)
    np.testing.assert_allclose(per_class_iou(counts), per_class_iou(counts.T))


def test_by_hand() -> None:
    truth = np.array([[0, 0, 0, 1], [1, 1, 255, 255]], np.uint8)
    prediction = np.array([[0, 0, 1, 1], [1, 2, 3, 0]], np.uint8)
    counts = confusion_matrix(truth, prediction, 4)
    np.testing.assert_array_equal(counts, [[2, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    # Class 2 is predicted and never true: 0, and in the mean. Class 3 stands on void alone: absent.
    np.testing.assert_allclose(per_class_iou(counts), [200 / 3, 50, 0, np.nan])
    assert mean_iou(counts) == pytest.approx((200 / 3 + 50 + 0) / 3)
    assert pixel_accuracy(counts) == pytest.approx(100 * 4 / 6)
    assert mean_accuracy(counts) == pytest.approx((200 / 3 + 200 / 3) / 2)
    assert frequency_weighted_iou(counts) == pytest.approx((200 / 3 + 50) / 2)


def test_one_matrix_over_the_set_is_not_the_mean_over_images() -> None:
    half = np.array([[0, 1]], np.uint8)
    first = confusion_matrix(half, np.array([[0, 0]], np.uint8), 2)
    second = confusion_matrix(np.array([[0, 0]], np.uint8), np.array([[0, 0]], np.uint8), 2)
    assert mean_iou(first + second) == pytest.approx((75 + 0) / 2)
    assert (mean_iou(first) + mean_iou(second)) / 2 == pytest.approx((25 + 100) / 2)


def test_equals_a_product_of_one_hot_labels() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 21, (50, 60)).astype(np.uint8)
    truth[:5] = 255
    prediction = rng.integers(0, 21, (50, 60)).astype(np.uint8)
    counts = confusion_matrix(truth, prediction, 21)
    valid = truth != 255
    one_hot = np.eye(21)
    np.testing.assert_array_equal(counts, one_hot[truth[valid]].T @ one_hot[prediction[valid]])


def test_another_label_or_none_can_be_left_out() -> None:
    truth = np.array([[0, 1, 2]], np.uint8)
    prediction = np.array([[0, 1, 1]], np.uint8)
    assert confusion_matrix(truth, prediction, 3, ignore=0).sum() == 2
    assert confusion_matrix(truth, prediction, 3, ignore=None).sum() == 3
    assert confusion_matrix(truth, prediction, 256, ignore=None).shape == (256, 256)


def test_all_void_gives_null_everywhere() -> None:
    void = np.full((2, 3), 255, np.uint8)
    summary = summarise(confusion_matrix(void, np.zeros_like(void), 3))
    assert summary["iou"] == [None, None, None]
    for key in ("miou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou"):
        assert summary[key] is None


def test_summary_is_json_in_percent() -> None:
    summary = summarise(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["miou"] == pytest.approx((75 + 80) / 2)
    assert summary["iou"] == [75.0, 80.0, None]
    assert summary["confusion"] == [[3, 1, 0], [0, 4, 0], [0, 0, 0]]
    assert summary["pixel_accuracy"] == 87.5


def test_counts_beyond_32_bits_stay_exact() -> None:
    counts = np.array([[10**12, 1], [0, 10**12]])
    assert per_class_iou(counts)[0] == pytest.approx(100 * 10**12 / (10**12 + 1), abs=1e-12)


@pytest.mark.parametrize("value", [3, 254, 255])
def test_predictions_outside_the_classes_are_named_even_on_void(value: int) -> None:
    truth = np.full((2, 2), 255, np.uint8)
    prediction = np.array([[0, 1], [2, value]], np.uint8)
    message = rf"p/a\.png: value {value} \(1 pixels\) is outside the 3 classes"
    with pytest.raises(ReplicationError, match=message):
        confusion_matrix(truth, prediction, 3, name="p/a.png")


def test_truth_outside_the_classes_is_named() -> None:
    truth = np.array([[0, 7]], np.uint8)
    with pytest.raises(ReplicationError, match=r"a\.png: in its true label, value 7 \(1 pixels\)"):
        confusion_matrix(truth, np.zeros_like(truth), 3, name="a.png")


def test_a_size_mismatch_is_named() -> None:
    with pytest.raises(ReplicationError, match=r"a\.png: 3x2 pixels, and its true label has 2x3"):
        confusion_matrix(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 3, name="a.png")


def test_other_types_are_our_fault() -> None:
    label = np.zeros((2, 3), np.uint8)
    with pytest.raises((ValueError, TypeError), match=r"(?i)uint8"):
        confusion_matrix(label, label.astype(np.int64), 3)
    with pytest.raises(ValueError, match="num_classes"):
        confusion_matrix(label, label, 257)
