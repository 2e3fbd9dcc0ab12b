"""Dropout's draws by another generator: torch's law, torch's seed."""

import pytest
import torch
from torch import nn

from replication.models import dropout
from replication.models.dropout import LEAST, Dropout


def ones(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.ones(1, 16, 256, 256, dtype=dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_as_many_are_dropped_as_the_law_says_and_the_rest_is_scaled(
    p: float, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    x = ones(dtype).requires_grad_()
    y = Dropout(p)(x)
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    kept = y != 0
    spread = (p * (1 - p) / y.numel()) ** 0.5
    assert abs(float(kept.double().mean()) - (1 - p)) < 5 * spread
    assert y[kept].unique().tolist() == [pytest.approx(1 / (1 - p), rel=2**-8)]
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, y.detach())  # of ones, the mask is the value


@pytest.mark.parametrize("apart", [1, 2, 3, 4, 16, 4_096])
def test_a_draw_says_nothing_of_the_next(apart: int) -> None:
    """The correlation of values so far apart in memory, against what chance allows."""
    torch.manual_seed(1)
    drawn = (Dropout()(torch.ones(LEAST)) != 0).double() - 0.5
    correlation = float((drawn[apart:] * drawn[:-apart]).mean() / 0.25)
    assert abs(correlation) < 5 / LEAST**0.5


def test_the_seed_decides() -> None:
    x, drop = ones(), Dropout()

    def draw(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(seed)
        return drop(x), drop(x)

    first, second = draw(3)
    again, _ = draw(3)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, draw(4)[0])


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_and_everything(p: float) -> None:
    assert torch.equal(Dropout(p)(ones()), ones() * (1 - p))


def test_small_maps_and_tests_are_torchs() -> None:
    small = torch.ones(3, 5)
    torch.manual_seed(0)
    ours = Dropout()(small)
    torch.manual_seed(0)
    assert torch.equal(ours, nn.Dropout()(small))
    assert torch.equal(Dropout().eval()(ones()), ones())


def test_a_map_of_any_length_and_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropout, "LEAST", 0)
    torch.manual_seed(0)
    maps = (
        torch.ones(7),
        torch.ones(3, 10)[:, ::3],
        torch.ones(5, 1).expand(5, 9),
        torch.ones(2, 3).T,
    )
    for x in maps:
        y = Dropout(0.25)(x)
        assert y.shape == x.shape
        kept = y[y != 0]
        torch.testing.assert_close(kept, torch.full_like(kept, 4 / 3))
