"""What the search decides by: scores and their noise, tallies of classes, the images drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.crf import search as searching
from replication.crf.grid import Point
from replication.crf.search import draw
from replication.crf.tally import Score, mean_iou, score, tally
from replication.errors import ReplicationError
from replication.evaluation import confusion


def settle(
    monkeypatch: pytest.MonkeyPatch, fast: list[Score], exact: list[Score]
) -> tuple[list[list[int]], float]:
    """Which points of made-up scores run again, batch by batch; and the noise at the end."""
    points = [Point(float(k), 30.0, 3.0) for k in range(len(fast))]
    asked: list[list[int]] = []

    def scored(self: object, rest: list[Point], mode: str, label: str) -> dict[Point, Score]:
        assert mode == "exact"
        asked.append([int(p.w1) for p in rest])
        return {p: exact[int(p.w1)] for p in rest}

    monkeypatch.setattr(searching._Search, "run", scored)
    runner = searching._Search.__new__(searching._Search)
    return asked, runner.settle(dict(zip(points, fast, strict=True)), {})


def plain(*scores: float) -> list[Score]:
    return [Score(x, x) for x in scores]


def test_points_within_the_declared_noise_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = plain(60.1, 60.095, 60.07, 50.0)
    assert settle(monkeypatch, fast, fast) == ([[0, 1]], 0.01)


def test_a_larger_difference_widens_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = plain(60.1, 60.095, 60.0, 50.0)
    # 1 turns out 0.105 higher: 2 may be as much as 60.21 now, and is 60.3; 3 never could be.
    asked, noise = settle(monkeypatch, fast, plain(60.1, 60.2, 60.3, 99.0))
    assert asked == [[0, 1], [2]]
    assert noise == pytest.approx(0.6)


def test_a_pixel_of_a_class_that_is_not_there_hides_no_point(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As seen on real scores: one pixel in `fast` cost point 1 a class, 3.3 points of mean IOU.
    fast = [Score(42.6, 42.6), Score(39.4, 42.65)]
    asked, noise = settle(monkeypatch, fast, plain(42.6, 42.7))
    assert asked == [[0, 1]]
    assert noise == pytest.approx(0.1)


def test_the_most_that_a_score_can_be_leaves_out_what_few_pixels_say() -> None:
    counts = np.array([[900, 0, 0, 0], [1000, 1, 500, 0], [99_000, 0, 0, 0]])
    found = score(counts)
    assert found.miou == pytest.approx((90 + 0 + 0) / 3)
    assert found.most == pytest.approx((90 + 0) / 2)  # 1 of 99,000 pixels may be a mistake
    counts[2, 1] = 1  # a true pixel: the class is there
    assert score(counts) == (found.miou, found.miou)


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_tallies_give_the_mean_iou_of_the_confusion_matrix(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (2, 4, 5)).astype(np.uint8)
    truth[rng.random(truth.shape) < 0.3] = 255
    labels = rng.integers(0, classes, (2, 4, 5)).astype(np.uint8)
    pairs = list(zip(truth, labels, strict=True))
    counts = np.sum([tally(t, p, classes, "x") for t, p in pairs], axis=0)
    whole = sum(confusion.confusion_matrix(t, p, classes) for t, p in pairs)
    np.testing.assert_allclose(mean_iou(counts), confusion.mean_iou(whole), rtol=1e-12)


def test_the_draw_is_seeded_nested_and_blind_to_order() -> None:
    ids = [f"{n:03d}" for n in range(300)]
    first = draw(ids, 100, 0)
    assert first == sorted(set(first))
    assert len(first) == 100
    assert draw(ids[::-1], 100, 0) == first
    assert set(draw(ids, 50, 0)) < set(first)
    assert draw(ids, 100, 1) != first
    assert draw(ids[:7], 100, 0) == ids[:7]
    assert draw(ids, 3, 0) == ["024", "031", "057"]  # by sha256sum and sort
    with pytest.raises(ReplicationError, match="`samples` is 0"):
        draw(ids, 0, 0)
