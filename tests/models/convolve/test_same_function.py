"""Winograd's, Fourier's and the taps' convolutions against torch's own in double precision."""

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from replication.models.convolve import fourier as transforms
from replication.models.convolve import scratch
from replication.models.convolve.fourier import fourier
from replication.models.convolve.scratch import CHUNK, chunks, shares
from replication.models.convolve.taps import taps
from replication.models.convolve.winograd import winograd

Case = tuple[Tensor, Tensor, Tensor, Tensor]


def draw(
    size: tuple[int, int, int, int], outputs: int, kernel: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, generator=generator)
    weight = torch.randn(outputs, size[1], kernel, kernel, generator=generator)
    return x, weight, torch.randn(outputs, generator=generator)


def compare(way: object, given_: tuple[Tensor, ...], rate: int) -> None:
    """Compare the map and every gradient: off by less than 1e-5 of the largest value."""
    assert callable(way)
    kernel = given_[1].shape[2]
    ours = [each.clone().requires_grad_() for each in given_]
    theirs = [each.double().requires_grad_() for each in given_]
    y = way(*ours, rate)
    expected = F.conv2d(*theirs, padding=rate * (kernel - 1) // 2, dilation=rate)
    assert y.shape == expected.shape
    assert y.dtype == torch.float32
    towards = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    got = [y, *torch.autograd.grad(y, ours, towards)]
    asked = [expected, *torch.autograd.grad(expected, theirs, towards.double())]
    for one, other in zip(got, asked, strict=True):
        scale = max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-5 * scale)


SIDES = st.integers(1, 23)


@pytest.mark.parametrize("chunk", [CHUNK, 20_000])
@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(1, 3), st.sampled_from([8, 24, 72]), SIDES, SIDES),
    outputs=st.sampled_from([8, 40]),
    rate=st.sampled_from([1, 2, 3, 4, 6, 12, 24]),
    seed=st.integers(0, 9),
)
def test_winograd_is_the_same_convolution(
    chunk: int, size: tuple[int, int, int, int], outputs: int, rate: int, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "CHUNK", chunk)
        compare(winograd, draw(size, outputs, 3, seed), rate)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 9), SIDES, SIDES),
    outputs=st.integers(1, 9),
    fc6=st.sampled_from([(7, 4), (4, 4), (4, 8), (3, 12), (3, 24), (3, 1), (2, 2), (1, 1)]),
    seed=st.integers(0, 9),
)
def test_taps_are_the_same_convolution(
    size: tuple[int, int, int, int], outputs: int, fc6: tuple[int, int], seed: int
) -> None:
    kernel, rate = fc6
    compare(taps, draw(size, outputs, kernel, seed), rate)


@pytest.mark.parametrize("chunk", [transforms.CHUNK, 10_000])
@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 9), SIDES, SIDES),
    outputs=st.integers(1, 9),
    fc6=st.sampled_from([(7, 4), (4, 4), (4, 8), (3, 12), (3, 24), (3, 1), (2, 2), (1, 1)]),
    seed=st.integers(0, 9),
)
def test_fourier_is_the_same_convolution(
    chunk: int, size: tuple[int, int, int, int], outputs: int, fc6: tuple[int, int], seed: int
) -> None:
    kernel, rate = fc6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transforms, "CHUNK", chunk)
        compare(fourier, draw(size, outputs, kernel, seed), rate)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 9), SIDES, SIDES),
    outputs=st.integers(1, 9),
    fc6=st.sampled_from([(7, 4), (4, 4), (4, 8), (3, 12), (3, 24), (3, 1), (1, 1)]),
    seed=st.integers(0, 9),
)
def test_taps_in_bfloat16_are_the_same_convolution(
    size: tuple[int, int, int, int], outputs: int, fc6: tuple[int, int], seed: int
) -> None:
    """Of what bfloat16 holds, against double precision: off by a few of its 2^-8."""
    kernel, rate = fc6
    halves = [each.bfloat16() for each in draw(size, outputs, kernel, seed)]
    ours = [each.clone().requires_grad_() for each in halves]
    theirs = [each.double().requires_grad_() for each in halves]
    y = taps(*ours, rate)
    expected = F.conv2d(*theirs, padding=rate * (kernel - 1) // 2, dilation=rate)
    towards = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    got = [y, *torch.autograd.grad(y, ours, towards)]
    asked = [expected, *torch.autograd.grad(expected, theirs, towards.double())]
    for one, other in zip(got, asked, strict=True):
        assert one.dtype == torch.bfloat16
        scale = max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one.double(), other, rtol=0, atol=2**-6 * scale)


@pytest.mark.parametrize("way", [winograd, taps, fourier])
def test_maps_lie_in_memory_as_they_may(way: object) -> None:
    assert callable(way)
    x, weight, bias = draw((2, 8, 9, 10), 16, 3, 0)
    first = way(x, weight, bias, 1)
    torch.testing.assert_close(
        way(x.contiguous(memory_format=torch.channels_last), weight, bias, 1), first
    )
    torch.testing.assert_close(way(x.mT.contiguous().mT, weight, bias, 1), first)
    torch.testing.assert_close(way(x, weight.mT.contiguous().mT, bias, 1), first)
    assert first.is_contiguous(memory_format=torch.channels_last)
    learned = way(x, weight.requires_grad_(), bias, 1)
    learned.relu_().sum().backward()  # what follows may work in place


@pytest.mark.parametrize("way", [winograd, taps, fourier])
def test_nothing_is_added_where_there_is_no_bias(way: object) -> None:
    assert callable(way)
    x, weight, _ = draw((1, 8, 5, 6), 8, 3, 0)
    torch.testing.assert_close(way(x, weight, None, 1), way(x, weight, torch.zeros(8), 1))


@pytest.mark.parametrize("way", [winograd, taps, fourier])
def test_gradients_are_made_for_what_asks(way: object) -> None:
    assert callable(way)
    x, weight, bias = draw((1, 8, 5, 6), 8, 3, 0)
    for asks in range(3):
        given_ = [x.clone(), weight.clone(), bias.clone()]
        given_[asks].requires_grad_()
        way(*given_, 1).sum().backward()
        assert [each.grad is not None for each in given_] == [n == asks for n in range(3)]


@pytest.mark.parametrize("way", [winograd, taps, fourier])
def test_threads_change_no_bit_and_two_convolutions_share_the_memory(
    way: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both backward passes come after both forward ones, which used the same buffers."""
    assert callable(way)
    x, weight, bias = draw((3, 72, 11, 6), 40, 3, 0)

    def both() -> list[Tensor]:
        given_ = [each.clone().requires_grad_() for each in (x, weight, bias)]
        narrow = [each.clone().requires_grad_() for each in draw((1, 8, 30, 30), 8, 3, 2)]
        one, two = way(*given_, 2), way(*narrow, 1)
        gradients = torch.autograd.grad(two.square().sum() + one.square().sum(), given_ + narrow)
        return [one.detach(), two.detach(), *gradients]

    alone = both()
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)  # of the kernels; torch's stay
    for one, other in zip(both(), alone, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("way", [winograd, taps, fourier])
def test_training_follows_scoring_in_one_process(
    way: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory that scoring asked for, under inference mode, serves training as well."""
    assert callable(way)
    monkeypatch.setattr(scratch, "_buffers", scratch._Buffers())
    x, weight, bias = draw((2, 16, 40, 40), 16, 3, 0)
    with torch.inference_mode():
        scored = way(x, weight, bias, 1)
    compare(way, (x, weight, bias), 1)
    with torch.inference_mode():
        assert torch.equal(way(x, weight, bias, 1), scored)


@given(
    first=st.integers(0, 9),
    rows=st.integers(1, 300),
    blocks=st.integers(1, 80),
    threads=st.integers(1, 64),
    by=st.sampled_from(["rows", "channels"]),
)
def test_shares_are_disjoint_and_whole(
    first: int, rows: int, blocks: int, threads: int, by: Literal["rows", "channels"]
) -> None:
    parts = shares((first, first + rows), 8 * blocks, threads, by=by)
    met = [(n, c) for n0, n1, c0, c1 in parts for n in range(n0, n1) for c in range(c0, c1, 8)]
    assert sorted(met) == [
        (n, c) for n in range(first, first + rows) for c in range(0, 8 * blocks, 8)
    ]
    assert len(parts) == min(threads, rows if by == "rows" else blocks)


@given(rows=st.integers(1, 10**6), channels=st.integers(1, 4096))
def test_chunks_are_all_rows_in_memory_that_does_not_grow(rows: int, channels: int) -> None:
    ranges = chunks(rows, channels)
    assert [first for first, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
    assert ranges[-1][1] == rows
    assert max((end - first) * channels * 144 for first, end in ranges) <= CHUNK + channels * 144
