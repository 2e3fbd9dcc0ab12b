"""Which way a convolution is computed, and how its multiplications are counted."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from replication.models.convolve import Conv2d, ways
from replication.models.convolve.ways import Shape, choose_way, multiplications, tile_starts


@given(length=st.integers(1, 90), rate=st.integers(1, 30))
def test_tiles_give_every_output_once(length: int, rate: int) -> None:
    outputs = [start + k * rate for start in tile_starts(length, rate) for k in range(4)]
    met = Counter(one for one in outputs if one < length)
    assert met == dict.fromkeys(range(length), 1)


@given(
    height=st.integers(1, 30), width=st.integers(1, 30), kernel=st.integers(1, 7),
    rate=st.integers(1, 12),
)  # fmt: skip
def test_taps_count_what_reads_the_map(height: int, width: int, kernel: int, rate: int) -> None:
    """By a convolution of ones: an output is the number of its taps that read no padding."""
    reach = rate * (kernel - 1)
    if reach % 2:
        reach, rate = 2 * reach, 2 * rate
    ones = torch.ones(1, 1, height, width), torch.ones(1, 1, kernel, kernel)
    expected = F.conv2d(*ones, padding=reach // 2, dilation=rate).sum()
    counted = multiplications(Shape(2, height, width, 3, 5, kernel, rate))["taps"]
    assert counted == 2 * 3 * 5 * int(expected)


def test_fc6_of_a_crop_of_209_pixels() -> None:
    """27 positions: at rate 24 the side taps of a row read 3 of them, so (27 + 3 + 3)^2 in all."""
    shape = Shape(1, 27, 27, 1, 1, 3, 24)
    assert multiplications(shape) == {"direct": 9 * 27**2, "taps": 33**2}
    seven = multiplications(shape._replace(kernel=7, rate=4))
    once = 148 * (16 * (7**2 + 7**2) + 7**2)  # a phase of 10 x 10 points: 48 pairs, 4 alone
    assert seven == {"direct": 49 * 27**2, "taps": 141**2, "fourier": 148 * 16 + once}
    eight = multiplications(shape._replace(inputs=8, outputs=8, rate=2))
    assert eight["winograd"] == 64 * 36 * 8**2  # 14 and 13 positions: four tiles each


@pytest.mark.parametrize(
    ("layer", "shape", "way"),
    [
        ("conv4_2 of a crop", Shape(6, 27, 27, 512, 512, 3, 1), "winograd"),
        ("LargeFOV's fc6", Shape(6, 27, 27, 512, 1024, 3, 12), "taps"),
        ("fc6 of 7 x 7", Shape(6, 27, 27, 512, 4096, 7, 4), "fourier"),
        ("fc6 of 4 x 4", Shape(6, 27, 27, 512, 4096, 4, 4), "fourier"),
        ("fc7", Shape(6, 27, 27, 1024, 1024, 1, 1), "taps"),
        ("layer3's last of ResNet-101", Shape(1, 41, 41, 256, 1024, 1, 1), "direct"),
        ("conv1_1", Shape(6, 209, 209, 3, 64, 3, 1), "direct"),
        ("conv5_3 at 1/8 width", Shape(12, 19, 19, 64, 64, 3, 2), "direct"),
    ],
)
def test_ways_of_known_layers(layer: str, shape: Shape, way: str) -> None:
    assert choose_way(shape) == way, layer


def test_without_numba_there_is_no_winograd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "_numba_is_here", lambda: False)
    assert choose_way(Shape(6, 27, 27, 512, 512, 3, 1)) == "direct"
    assert choose_way(Shape(6, 27, 27, 512, 512, 3, 12)) == "taps"


def layer(**settings: object) -> Conv2d:
    torch.manual_seed(0)
    return Conv2d(8, 16, **({"kernel_size": 3, "padding": 1} | settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "way"),
    [
        ({}, "winograd"),
        ({"bias": False}, "winograd"),
        ({"padding": 12, "dilation": 12}, "taps"),
        ({"kernel_size": 7, "padding": 12, "dilation": 4}, "fourier"),
        ({"kernel_size": 1, "padding": 0}, "taps"),
        ({"stride": 2}, "direct"),
        ({"padding": 0}, "direct"),
        ({"padding": "same"}, "direct"),
        ({"groups": 4}, "direct"),
        ({"padding_mode": "reflect"}, "direct"),
        ({"kernel_size": (3, 5), "padding": (1, 2)}, "direct"),
        ({"padding": (1, 2), "dilation": (1, 2)}, "direct"),
    ],
)
def test_whatever_the_way_it_is_torchs_convolution(
    settings: dict[str, object], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "LEAST", 0)
    monkeypatch.setattr(ways, "MORE_INPUTS", 0)
    monkeypatch.setattr(ways, "FOURIER", 0)
    ours, x = layer(**settings), torch.randn(2, 8, 14, 15)
    assert ours.way(x, ours.weight) == way
    theirs = nn.Conv2d(8, 16, **({"kernel_size": 3, "padding": 1} | settings))  # type: ignore[arg-type]
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-5)


def test_other_precisions_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "LEAST", 0)
    ours, x = layer(), torch.randn(2, 8, 14, 15)
    assert ours.double().way(x.double(), ours.weight) == "direct"
    ours.float()
    with torch.autocast("cpu", torch.float16):
        assert ours.way(x, ours.weight) == "direct"
    assert ours.to("meta").way(x.to("meta"), ours.weight) == "direct"


def test_what_is_learned_from_in_bfloat16_goes_by_taps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "LEAST", 0)
    monkeypatch.setattr(ways, "MORE_INPUTS", 0)
    ours, x = layer(padding=12, dilation=12), torch.randn(2, 8, 14, 15)
    theirs = nn.Conv2d(8, 16, 3, padding=12, dilation=12)
    theirs.load_state_dict(ours.state_dict())
    with torch.autocast("cpu", torch.bfloat16):
        assert ours.way(x, ours.weight) == ours.way(x.bfloat16(), ours.weight) == "taps"
        assert layer().way(x, layer().weight) == "direct"  # never Winograd's
        with torch.no_grad():
            assert ours.way(x, ours.weight) == "direct"
        got, expected = ours(x), theirs(x)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got, expected, rtol=0, atol=0.02)
    towards = torch.randn(got.shape).bfloat16()
    gradients = torch.autograd.grad(got, [*ours.parameters()], towards)
    asked = torch.autograd.grad(expected, [*theirs.parameters()], towards)
    for one, other in zip(gradients, asked, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0, atol=2**-6 * float(other.abs().max()))


def test_small_ones_are_torchs() -> None:
    ours, x = layer(), torch.randn(2, 8, 14, 15)
    assert ours.way(x, ours.weight) == "direct"


def test_a_convolution_in_parts_is_the_same_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, x = Conv2d(3, 10, 3, padding=2, dilation=2), torch.randn(2, 3, 7, 9)
    expected = F.conv2d(x, whole.weight, whole.bias, padding=2, dilation=2)
    towards = torch.randn_like(expected)
    asked = torch.autograd.grad(expected, (whole.weight, whole.bias), towards)
    monkeypatch.setattr(Conv2d, "most", 0)
    monkeypatch.setattr(Conv2d, "part", 4)  # 10 outputs: the last part is smaller
    got = whole(x)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad(got, (whole.weight, whole.bias), towards), asked)
