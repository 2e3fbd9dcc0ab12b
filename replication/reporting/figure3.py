"""Figure 3 of the paper: a filter's response to a real image, sparse and dense.

Sparse: the image downsampled by 2, convolved, its responses put back where they belong: one pixel
in four has one. Dense: the full image and atrous convolution at rate 2, the same filter with holes:
every pixel has one, at the same cost a pixel. The filter is the paper's, the vertical derivative of
a Gaussian, here of 7 x 7 taps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8

from replication.data.labels import read_image
from replication.errors import ReplicationError
from replication.reporting.captions import Caption
from replication.reporting.context import EXAMPLE_RULE, Context
from replication.reporting.style import COLOURS, PAGE, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TAPS = 7
SIGMA = 1.5  # pixels
RATE = 2
_WINDOW = 32  # side of the close-up, pixels
_RESPONSES = "PuOr_r"
_LEAST = RATE * (TAPS - 1) + 1  # smaller images can't be reflected at their edges
Map = Float32[np.ndarray, "H W"]
Small = Float32[np.ndarray, "h w"]  # a smaller one


def make(context: Context) -> Caption:
    """Draw figure 3 on the example image."""
    name, _ = context.example
    path = context.dataset.image_path(name)
    grey = luminance(read_image(path))
    if min(grey.shape) < max(_LEAST, _WINDOW):
        raise ReplicationError(f"{path}: too small for the figure, which shows {_WINDOW} pixels")
    sparse, dense = respond(grey[::RATE, ::RATE], 1), respond(grey, RATE)
    save(_draw(grey, sparse, dense), context.out("figure3"))
    return Caption(
        name="figure3",
        title="Figure 3: atrous convolution in two dimensions",
        caption=(
            f"The vertical derivative of a Gaussian ({TAPS}x{TAPS} taps, sigma {SIGMA:g}) on "
            f"{name}. Above: the image downsampled by 2, standard convolution; upsampled by 2, a "
            "quarter of the positions has a response. Below: the full image, atrous convolution "
            f"at rate {RATE}, the same {TAPS * TAPS} taps; every position has a response, and "
            "those above are among them (largest difference "
            f"{np.abs(dense[::RATE, ::RATE] - sparse).max():.1g} on a scale of 0..255). "
            f"{EXAMPLE_RULE}; the close-up is where the mean response is strongest."
        ),
        alt=(
            "Two rows of four pictures: image, filter, response, close-up. In the upper row image "
            "and response have half the size, and the close-up is a grid of scattered pixels; in "
            "the lower row the filter has holes, and the close-up is filled."
        ),
        files=(context.name(path),),
    )


def luminance(image: UInt8[np.ndarray, "H W 3"]) -> Small:
    """Return grey, 0..255 float32, cut to odd height and width.

    Odd, so that downsampling by 2 keeps both edges and reflects at the same places.
    """
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    height, width = ((size - 1) // 2 * 2 + 1 for size in grey.shape)
    cut: Small = grey[:height, :width]
    return cut


def derivative() -> Float32[np.ndarray, "taps taps"]:
    """Return the filter: -y exp(-(x^2 + y^2) / 2 sigma^2), y downwards, absolute values sum to 1.

    Positive where an image gets darker downwards.
    """
    at = np.arange(TAPS) - TAPS // 2
    values = -at[:, None] * np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * SIGMA**2))
    kernel: Float32[np.ndarray, "taps taps"] = (values / np.abs(values).sum()).astype(np.float32)
    return kernel


def respond(grey: Map, rate: int) -> Map:
    """Convolve (H, W) with the filter at ``rate``, reflected at the edges; as large as ``grey``."""
    import torch
    from torch.nn.functional import conv2d, pad

    image = torch.from_numpy(np.ascontiguousarray(grey))[None, None]  # (1, 1, H, W)
    reach = rate * (TAPS // 2)
    padded = pad(image, (reach,) * 4, mode="reflect")
    response: Map = conv2d(padded, torch.from_numpy(derivative())[None, None], dilation=rate)[
        0, 0
    ].numpy()
    return response


def upsample(sparse: Small, shape: tuple[int, int]) -> Map:
    """Put responses back at every second position of ``shape``; NaN where there is none."""
    placed = np.full(shape, np.nan, np.float32)
    placed[::RATE, ::RATE] = sparse
    return placed


def strongest(dense: Map) -> tuple[int, int]:
    """Return the top left corner of the close-up: the window of the largest mean |response|.

    An even corner; of equal windows, the first in reading order.
    """
    sums = np.abs(dense).cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    sums = np.pad(sums, ((1, 0), (1, 0)))
    side = _WINDOW
    total = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    even = total[::RATE, ::RATE]
    row, column = np.unravel_index(int(even.argmax()), even.shape)
    return RATE * int(row), RATE * int(column)


def _draw(grey: Map, sparse: Small, dense: Map) -> Figure:
    from matplotlib.figure import Figure

    height, width = grey.shape
    figure = Figure(figsize=(PAGE, 0.58 * PAGE * height / width + 0.7), layout="constrained")
    axes = figure.subplots(2, 4, width_ratios=[1.3, 0.75, 1.3, 0.9])
    limit = float(np.quantile(np.abs(dense), 0.995))
    row, column = strongest(dense)
    window = slice(row, row + _WINDOW), slice(column, column + _WINDOW)
    lines = (
        (grey[::RATE, ::RATE], sparse, upsample(sparse, dense.shape), RATE),
        (grey, dense, dense, 1),
    )
    for line, (image, response, whole, step) in enumerate(lines):
        _map(axes[line, 0], image, "gray", (0.0, 255.0))
        _kernel(axes[line, 1], RATE // step)
        _map(axes[line, 2], response, _RESPONSES, (-limit, limit))
        for axis in axes[line, ::2]:
            axis.set(xlim=(0, width), ylim=(height, 0))  # half the size is drawn half as large
        _frame(axes[line, 2], column / step, row / step, _WINDOW / step)
        _map(axes[line, 3], whole[window], _RESPONSES, (-limit, limit))
    _headings(axes)
    return figure


def _map(axis: Axes, values: Map, colours: str, limits: tuple[float, float]) -> None:
    height, width = values.shape
    axis.imshow(
        values,
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        extent=(0, width, height, 0),
        interpolation="nearest",
    )
    axis.set(xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set_visible(False)
    _frame(axis, 0.0, 0.0, width, height, colour="0.6", line=0.6)


def _frame(
    axis: Axes,
    left: float,
    top: float,
    width: float,
    height: float | None = None,
    *,
    colour: str = COLOURS[2],
    line: float = 1.6,
) -> None:
    from matplotlib.patches import Rectangle

    size = width, width if height is None else height
    axis.add_patch(
        Rectangle((left, top), *size, fill=False, edgecolor=colour, linewidth=line, clip_on=False)
    )


def _kernel(axis: Axes, rate: int) -> None:
    """Draw the filter's taps ``rate`` apart, in the middle of a square that holds the larger."""
    from matplotlib.patches import Rectangle

    half, reach = RATE * (TAPS // 2) + 0.5, rate * (TAPS // 2) + 0.5
    spread = np.full((2 * int(reach) + 1,) * 2, np.nan, np.float32)
    spread[::rate, ::rate] = derivative()
    largest = float(np.nanmax(spread))
    axis.imshow(
        spread,
        cmap=_RESPONSES,
        vmin=-largest,
        vmax=largest,
        extent=(-reach, reach, reach, -reach),
        interpolation="nearest",
    )
    for at in np.arange(-reach, reach + 1):
        axis.plot([at, at], [-reach, reach], color="0.75", linewidth=0.4)
        axis.plot([-reach, reach], [at, at], color="0.75", linewidth=0.4)
    axis.add_patch(Rectangle((-reach, -reach), 2 * reach, 2 * reach, fill=False, linewidth=0.8))
    axis.set(xlim=(-half - 0.5, half + 0.5), ylim=(half + 0.5, -half - 0.5), xticks=[], yticks=[])
    axis.set_aspect("equal")
    for side in axis.spines.values():
        side.set_visible(False)


def _headings(axes: np.ndarray) -> None:
    size = f"{TAPS}x{TAPS} taps"
    headings = (
        ("image, downsampled by 2", f"filter, {size}", "response", "upsampled by 2, close-up"),
        ("image", f"rate {RATE}, {size}", "response", "close-up"),
    )
    for line, texts in enumerate(headings):
        for axis, text in zip(axes[line], texts, strict=True):
            axis.set_title(text, fontsize=8, loc="left")
            axis.set_anchor("NW")
    axes[0, 0].set_ylabel("sparse: standard convolution", fontsize=8)
    axes[1, 0].set_ylabel("dense: atrous convolution", fontsize=8)
