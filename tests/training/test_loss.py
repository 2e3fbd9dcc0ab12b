"""Shrunk labels and the loss, against indexing by hand and a log-sum-exp written out."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from replication.training.loss import shrink_labels, summed_loss


def random_labels(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 21, (batch, height, width), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = 255
    return labels.to(torch.uint8)


@settings(deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), st.sampled_from([2, 8, 16]), st.integers(0, 99))
def test_every_strideth_pixel_is_kept(h: int, w: int, stride: int, seed: int) -> None:
    labels = random_labels(2, stride * h + 1, stride * w + 1, seed)
    shrunk = shrink_labels(labels, stride)
    assert shrunk.shape == (2, h + 1, w + 1)
    assert shrunk.dtype == torch.uint8
    for row in range(h + 1):
        for column in range(w + 1):
            assert torch.equal(shrunk[:, row, column], labels[:, stride * row, stride * column])


def test_321_becomes_41_with_corners_and_void_kept() -> None:
    labels = random_labels(1, 321, 321)
    labels[0, 0, 0], labels[0, 320, 320], labels[0, 8, 16] = 7, 9, 255
    shrunk = shrink_labels(labels)
    assert shrunk.shape == (1, 41, 41)
    assert (shrunk[0, 0, 0], shrunk[0, 40, 40], shrunk[0, 1, 2]) == (7, 9, 255)
    assert set(shrunk.unique().tolist()) <= set(labels.unique().tolist())  # no new class number


@pytest.mark.parametrize("size", [(320, 321), (321, 320), (8, 9)])
def test_sizes_that_do_not_fit_are_our_fault(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"can't shrink by 8: need 8 k \+ 1"):
        shrink_labels(torch.zeros(1, *size, dtype=torch.uint8))


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_log_sum_exp_by_hand(seed: int) -> None:
    torch.manual_seed(seed)
    scores = 5 * torch.randn(2, 21, 3, 4)
    labels = random_labels(2, 3, 4, seed)
    expected = 0.0
    for b in range(2):
        for y in range(3):
            for x in range(4):
                label = int(labels[b, y, x])
                if label != 255:
                    all_scores = [float(s) for s in scores[b, :, y, x]]
                    expected += math.log(math.fsum(map(math.exp, all_scores))) - all_scores[label]
    assert float(summed_loss(scores, labels)) == pytest.approx(expected, rel=1e-5)


def test_void_has_neither_loss_nor_gradient() -> None:
    scores = torch.randn(2, 21, 3, 4, requires_grad=True)
    labels = random_labels(2, 3, 4)
    labels[1] = 255
    summed_loss(scores, labels).backward()
    assert scores.grad is not None
    void = labels == 255
    assert not scores.grad.permute(0, 2, 3, 1)[void].any()
    assert scores.grad.permute(0, 2, 3, 1)[~void].any(-1).all()
    only_void = summed_loss(scores.detach(), torch.full((2, 3, 4), 255, dtype=torch.uint8))
    assert float(only_void) == 0


def test_gradient_is_softmax_minus_one_hot() -> None:
    scores = torch.randn(1, 5, 2, 2, requires_grad=True)
    labels = torch.tensor([[[0, 4], [255, 2]]], dtype=torch.uint8)
    summed_loss(scores, labels).backward()
    expected = scores.detach().softmax(1)
    for y, x, label in ((0, 0, 0), (0, 1, 4), (1, 1, 2)):
        expected[0, label, y, x] -= 1
    expected[0, :, 1, 0] = 0
    torch.testing.assert_close(scores.grad, expected)


def test_huge_and_half_precision_scores_stay_finite_in_float32() -> None:
    scores = torch.tensor([60_000.0, -60_000.0]).view(1, 2, 1, 1)
    labels = torch.tensor([[[1]]], dtype=torch.uint8)
    for dtype in (torch.float32, torch.bfloat16):
        loss = summed_loss(scores.to(dtype), labels)
        assert loss.dtype == torch.float32
        assert float(loss) == pytest.approx(120_000, rel=0.01)
