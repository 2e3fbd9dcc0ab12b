"""Enlargement against scipy, torch and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from replication.errors import ReplicationError
from replication.inference.enlarge import enlarge


def _random(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("h", "w", "stride"), [(5, 7, 8), (65, 65, 8), (33, 33, 16), (2, 9, 3)])
def test_equals_scipy_zoom_on_the_full_grid(h: int, w: int, stride: int) -> None:
    scores = _random((3, h, w))
    size = ((h - 1) * stride + 1, (w - 1) * stride + 1)
    zoom = [1, size[0] / h, size[1] / w]
    expected = ndimage.zoom(scores.astype(np.float64), zoom, order=1, grid_mode=False)
    np.testing.assert_allclose(enlarge(scores, stride, size), expected, atol=2e-6)


def test_equals_torch_align_corners_then_crop() -> None:
    torch = pytest.importorskip("torch")
    scores = _random((21, 65, 65))
    whole = torch.nn.functional.interpolate(
        torch.from_numpy(scores)[None], size=(513, 513), mode="bilinear", align_corners=True
    )[0].numpy()
    expected = whole[:, :375, :500]
    np.testing.assert_allclose(enlarge(scores, 8, (375, 500)), expected, atol=3e-6)


@given(
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    stride=st.integers(1, 16),
    slope=st.tuples(st.integers(-8, 8), st.integers(-8, 8)),
    data=st.data(),
)
def test_keeps_linear_ramps(
    shape: tuple[int, int], stride: int, slope: tuple[int, int], data: st.DataObject
) -> None:
    size = tuple(data.draw(st.integers(1, (n - 1) * stride + 1)) for n in shape)
    i, j = np.mgrid[: shape[0], : shape[1]]
    ramp = ((slope[0] * i + slope[1] * j) * stride).astype(np.float32)[None]
    y, x = np.mgrid[: size[0], : size[1]]
    out = enlarge(ramp, stride, (size[0], size[1]))[0]
    np.testing.assert_allclose(out, slope[0] * y + slope[1] * x, atol=1e-3)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 16), st.integers(0, 99))
def test_keeps_scores_at_their_own_pixels_and_stays_between_them(
    h: int, w: int, stride: int, seed: int
) -> None:
    scores = _random((2, h, w), seed)
    out = enlarge(scores, stride, ((h - 1) * stride + 1, (w - 1) * stride + 1))
    np.testing.assert_array_equal(out[:, ::stride, ::stride], scores)
    assert out.max() <= scores.max() + 1e-6
    assert out.min() >= scores.min() - 1e-6


def test_cropping_commutes_with_enlarging() -> None:
    scores = _random((4, 20, 20))
    whole = enlarge(scores, 8, (153, 153))
    np.testing.assert_allclose(enlarge(scores, 8, (81, 66)), whole[:, :81, :66], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_takes_any_float_and_gives_float32(dtype: type) -> None:
    out = enlarge(_random((2, 3, 3)).astype(dtype), 8, (17, 17))
    assert out.dtype == np.float32


def test_is_exact_at_stride_8_for_float16_scores() -> None:
    scores = _random((2, 5, 5)).astype(np.float16)
    middle = enlarge(scores, 8, (33, 33))[:, 4::8, ::8]
    wide = scores.astype(np.float64)
    np.testing.assert_array_equal(middle, (wide[:, :-1] + wide[:, 1:]) / 2)


@pytest.mark.parametrize("size", [(34, 33), (33, 34), (500, 20)])
def test_scores_too_small_for_the_image_name_the_file(size: tuple[int, int]) -> None:
    with pytest.raises(ReplicationError, match=r"a/b\.npz: 5x5 scores .* 33x33 pixels") as caught:
        enlarge(_random((2, 5, 5)), 8, size, name="a/b.npz")
    assert f"{size[0]}x{size[1]}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("stride", "size"), [(0, (3, 3)), (8, (0, 3))])
def test_nonsense_arguments_are_our_fault(stride: int, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        enlarge(_random((2, 5, 5)), stride, size)
