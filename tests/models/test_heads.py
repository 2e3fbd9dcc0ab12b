"""Heads against section 3.1's deinterlaced form, zero-filled filters, sums of branches, table 1."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from replication.models.heads import Branch, Classifier, field_of_view, initialise
from replication.settings import Head


def head(kernel: int = 3, rates: tuple[int, ...] = (12,), channels: int = 4) -> Head:
    return Head(kernel=kernel, rates=list(rates), channels=channels, average_pool=False)


def deinterlaced(features: Tensor, conv: nn.Conv2d, rate: int) -> Tensor:
    """Section 3.1's second method: rate^2 coarse maps, a dense convolution, interlaced again."""
    pad = (conv.kernel_size[0] - 1) * rate // 2
    height, width = features.shape[2:]
    # Room for the padding, and up to a multiple of the rate.
    below, right = -(height + 2 * pad) % rate, -(width + 2 * pad) % rate
    padded = F.pad(features, (pad, pad + right, pad, pad + below))
    out = torch.zeros(features.shape[0], conv.out_channels, *padded.shape[2:], dtype=features.dtype)
    for row in range(rate):
        for column in range(rate):
            coarse = padded[:, :, row::rate, column::rate]
            dense = F.conv2d(coarse, conv.weight, conv.bias)
            rows, columns = dense.shape[2] * rate + row, dense.shape[3] * rate + column
            out[:, :, row:rows:rate, column:columns:rate] = dense
    return out[:, :, :height, :width]


def zero_filled(weight: Tensor, rate: int) -> Tensor:
    """Put rate - 1 zeros between the taps: section 3.1's figure 2, the first way to see it."""
    size = (weight.shape[-1] - 1) * rate + 1
    out = torch.zeros(*weight.shape[:2], size, size, dtype=weight.dtype)
    out[:, :, ::rate, ::rate] = weight
    return out


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([(7, 4), (4, 4), (4, 8), (3, 12), (3, 2), (3, 6), (3, 24), (3, 1)]),
    st.integers(5, 30),
    st.integers(5, 30),
)
def test_fc6_equals_the_deinterlaced_and_the_zero_filled_form(
    setting: tuple[int, int], height: int, width: int
) -> None:
    kernel, rate = setting
    torch.manual_seed(height)
    fc6 = Branch(3, 2, head(kernel, (rate,)), rate).double().fc6
    features = torch.randn(2, 3, height, width, dtype=torch.float64)
    ours = fc6(features)
    assert ours.shape == (2, 4, height, width)
    torch.testing.assert_close(ours, deinterlaced(features, fc6, rate))
    pad = (kernel - 1) * rate // 2
    filled = F.conv2d(features, zero_filled(fc6.weight, rate), fc6.bias, padding=pad)
    torch.testing.assert_close(ours, filled)


@pytest.mark.parametrize(
    ("kernel", "rate", "expected"), [(7, 4, 224), (4, 4, 128), (4, 8, 224), (3, 12, 224)]
)
def test_fields_of_view_are_table_1s(kernel: int, rate: int, expected: int) -> None:
    assert field_of_view(kernel, rate) == expected


@pytest.mark.parametrize(("kernel", "rate"), [(7, 4), (4, 4), (4, 8), (3, 12), (3, 24)])
def test_one_score_reads_the_taps_that_its_rate_names(kernel: int, rate: int) -> None:
    branch = Branch(2, 3, head(kernel, (rate,)), rate).double()
    for layer in (branch.fc6, branch.fc7, branch.fc8):
        nn.init.constant_(layer.weight, 0.1)
        nn.init.ones_(layer.bias)  # type: ignore[arg-type]
    features = torch.ones(1, 2, 61, 61, dtype=torch.float64, requires_grad=True)
    branch.eval()(features)[0, :, 30, 30].sum().backward()
    assert features.grad is not None
    rows, columns = features.grad[0].abs().sum(0).nonzero(as_tuple=True)
    reach = (kernel - 1) * rate // 2
    assert sorted(set(rows.tolist())) == list(range(30 - reach, 31 + reach, rate))
    assert sorted(set(columns.tolist())) == sorted(set(rows.tolist()))
    assert len(rows) == kernel**2


def test_a_field_with_no_middle_is_refused() -> None:
    odd = head().model_copy(update={"kernel": 4})  # settings refuse it before
    with pytest.raises(ValueError, match=r"`kernel` 4 at `rate` 3 spans 10 positions"):
        Branch(3, 2, odd, 3)


def test_aspp_sums_the_scores_of_its_branches() -> None:
    torch.manual_seed(0)
    aspp = Classifier(3, 5, head(rates=(6, 12, 18, 24))).eval()
    features = torch.randn(2, 3, 9, 11)
    alone = []
    for rate, branch in zip((6, 12, 18, 24), aspp.branches, strict=True):
        assert isinstance(branch, Branch)
        assert branch.fc6.dilation == (rate, rate)
        hidden = F.conv2d(features, branch.fc6.weight, branch.fc6.bias, 1, rate, rate).relu()
        hidden = F.conv2d(hidden, branch.fc7.weight, branch.fc7.bias).relu()
        alone.append(F.conv2d(hidden, branch.fc8.weight, branch.fc8.bias))
    torch.testing.assert_close(aspp(features), torch.stack(alone).sum(0))


def test_dropout_of_one_half_follows_fc6_and_fc7() -> None:
    branch = Branch(3, 2, head(), 12)
    assert [type(layer).__name__ for layer in branch] == [
        *("Conv2d", "ReLU", "Dropout", "Conv2d", "ReLU", "Dropout", "Conv2d")
    ]
    assert [m.p for m in branch.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]


def test_initialisation_is_gaussian_with_zero_biases_and_follows_the_seed() -> None:
    def filled(seed: int) -> Classifier:
        classifier = Classifier(64, 21, head(rates=(6, 12), channels=128))
        initialise(classifier, 0.005, torch.Generator().manual_seed(seed))
        return classifier

    one = filled(0)
    for branch in one.branches:
        assert isinstance(branch, Branch)
        for layer, std in ((branch.fc6, 0.005), (branch.fc7, 0.005), (branch.fc8, 0.01)):
            assert layer.weight.std().item() == pytest.approx(std, rel=0.05)
            assert layer.weight.mean().item() == pytest.approx(0, abs=std / 20)
            assert layer.bias is not None
            assert not layer.bias.any()
    again, other = filled(0).state_dict(), filled(1).state_dict()
    assert all(torch.equal(v, again[k]) for k, v in one.state_dict().items())
    assert not any(torch.equal(v, other[k]) for k, v in one.state_dict().items() if "weight" in k)
    branches = [branch.fc6.weight for branch in one.branches if isinstance(branch, Branch)]
    assert not torch.equal(*branches)
