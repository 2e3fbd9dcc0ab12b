"""Figures 2 and 3: what they draw is an atrous convolution, by scipy's and by hand."""

import dataclasses
import re

import numpy as np
import pytest
from scipy import ndimage

from replication.reporting import figure2, figure3
from replication.reporting.context import Context


@pytest.mark.parametrize("rate", [1, 2, 3])
def test_one_dimension_is_the_papers_equation(rate: int) -> None:
    values = np.random.default_rng(0).normal(size=17)
    expected = [
        sum(
            tap * values[i + rate * k]
            for k, tap in zip((-1, 0, 1), figure2.KERNEL, strict=True)
            if 0 <= i + rate * k < 17
        )
        for i in range(17)
    ]
    assert figure2.respond(values, rate) == pytest.approx(expected, abs=1e-12)


def test_the_sparse_responses_are_among_the_dense() -> None:
    values = figure2.signal()
    sparse = figure2.respond(values[::2], 1)
    assert figure2.respond(values, 2)[::2] == pytest.approx(sparse, abs=1e-15)
    # every number of the print is exact: inputs have one decimal, responses two
    assert np.round(sparse, 2) == pytest.approx(sparse, abs=1e-12)


def test_figure_2_prints_what_was_computed() -> None:
    figure = figure2._draw()
    dense = [
        f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
        for value in figure2.respond(figure2.signal(), 2)
    ]
    above, below = ([text.get_text() for text in axis.texts] for axis in figure.axes)
    assert [text for text in below if re.search(r"\.\d\d$", text)] == dense
    assert [text for text in above if re.search(r"\.\d\d$", text)] == dense[::2]


@pytest.mark.parametrize(("rate", "size"), [(1, (33, 41)), (2, (33, 41)), (2, (21, 61))])
def test_two_dimensions_is_scipys_correlation_with_a_filter_with_holes(
    rate: int, size: tuple[int, int]
) -> None:
    grey = np.random.default_rng(0).uniform(0, 255, size).astype(np.float32)
    holes = np.zeros((6 * rate + 1,) * 2)
    holes[::rate, ::rate] = figure3.derivative()
    expected = ndimage.correlate(grey.astype(np.float64), holes, mode="mirror")
    np.testing.assert_allclose(figure3.respond(grey, rate), expected, atol=1e-3)


def test_the_filter_is_a_gaussians_vertical_derivative() -> None:
    kernel = figure3.derivative()
    at = np.arange(7) - 3
    gaussian = np.exp(-(at**2) / (2 * figure3.SIGMA**2))
    closed = np.outer(-at * gaussian, gaussian)
    np.testing.assert_allclose(kernel, closed / np.abs(closed).sum(), rtol=1e-6)
    assert np.abs(kernel).sum() == pytest.approx(1)
    # an image that gets darker downwards by 2 a row, from sideways nothing
    ramp = np.repeat(200 - 2 * np.arange(31, dtype=np.float32)[:, None], 31, axis=1)
    inside = figure3.respond(ramp, 1)[3:-3, 3:-3]
    assert inside == pytest.approx(
        2 * float((np.abs(kernel) * np.abs(at)[:, None]).sum()), rel=1e-4
    )
    assert figure3.respond(ramp.T.copy(), 1) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("size", [(40, 57), (41, 58), (33, 33)])
def test_downsampled_responses_are_every_second_dense_one(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    grey = figure3.luminance(image)
    assert all(side % 2 for side in grey.shape)
    sparse, dense = figure3.respond(grey[::2, ::2], 1), figure3.respond(grey, 2)
    np.testing.assert_allclose(dense[::2, ::2], sparse, atol=1e-4)
    placed = figure3.upsample(sparse, (dense.shape[0], dense.shape[1]))
    assert np.isfinite(placed).sum() == sparse.size
    assert np.array_equal(placed[::2, ::2], sparse)


def test_the_close_up_is_the_strongest_window() -> None:
    response = np.random.default_rng(0).normal(size=(45, 51)).astype(np.float32)
    windows = {
        (row, column): np.abs(response[row : row + 32, column : column + 32]).sum(dtype=np.float64)
        for row in range(0, 45 - 31, 2)
        for column in range(0, 51 - 31, 2)
    }
    assert figure3.strongest(response) == max(windows, key=lambda place: windows[place])
    assert figure3.strongest(np.ones((40, 40), np.float32)) == (0, 0)


def test_both_are_the_same_each_time(context: Context) -> None:
    for module, name in ((figure2, "figure2"), (figure3, "figure3")):
        caption = module.make(context)
        assert caption.name == name
        paths = [context.out(f"{name}.{suffix}") for suffix in ("png", "pdf")]
        first = [path.read_bytes() for path in paths]
        assert module.make(dataclasses.replace(context)) == caption
        assert [path.read_bytes() for path in paths] == first
    assert caption.files == ("datasets/demo/voc2012/images/c.png",)
    assert "same 49 taps" in caption.caption
