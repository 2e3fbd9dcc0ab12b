"""Class counts against the confusion matrices that they stand for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from replication.evaluation.class_counts import class_counts, mean_iou_of
from replication.evaluation.confusion import mean_iou

matrices = hnp.arrays(np.int64, (3, 4, 4), elements=st.integers(0, 3))


@given(matrices)
def test_mean_iou_equals_that_of_each_matrix(matrices: np.ndarray) -> None:
    np.testing.assert_allclose(
        mean_iou_of(class_counts(matrices)), [mean_iou(m) for m in matrices], rtol=1e-13
    )


@given(matrices)
def test_counts_add_up_like_matrices(matrices: np.ndarray) -> None:
    np.testing.assert_array_equal(
        class_counts(matrices).sum(axis=0), class_counts(matrices.sum(axis=0))
    )


def test_absent_classes_are_left_out_and_nothing_is_nan() -> None:
    counts = class_counts(np.array([[[3, 1, 0], [0, 4, 0], [0, 0, 0]], np.zeros((3, 3), int)]))
    np.testing.assert_allclose(mean_iou_of(counts), [(75 + 80) / 2, np.nan])
