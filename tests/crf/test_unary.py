"""Scores to potentials: the full range of the softmax, against double precision."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special

from replication.crf.unary import unary_from_probabilities, unary_from_scores

maps = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=5),
    elements=st.floats(-1000, 1000, width=32),
)


@given(maps)
def test_equals_scipy_in_double_precision(scores: np.ndarray) -> None:
    before = scores.copy()
    unary = unary_from_scores(scores)
    expected = -special.log_softmax(scores.astype(np.float64), axis=0)
    np.testing.assert_allclose(unary, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(scores, before)
    assert unary.dtype == np.float32
    assert unary.flags.c_contiguous


def test_nothing_is_clipped_at_1e_5() -> None:
    scores = np.array([0.0, 40.0, 300.0], np.float32).reshape(3, 1, 1)
    np.testing.assert_allclose(unary_from_scores(scores).ravel(), [300, 260, 0], atol=1e-4)


def test_half_precision_is_summed_in_single() -> None:
    scores = np.full((256, 1, 1), 60_000, np.float16)
    np.testing.assert_allclose(unary_from_scores(scores), np.log(256), rtol=1e-6)


def test_probabilities_of_zero_stay_finite() -> None:
    p = np.array([1.0, 0.25, 0.0]).reshape(3, 1, 1)
    unary = unary_from_probabilities(p).ravel()
    np.testing.assert_allclose(unary[:2], [0, np.log(4)], rtol=1e-6)
    assert 87 < unary[2] < 88
