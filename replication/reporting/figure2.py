"""Figure 2 of the paper: atrous convolution in one dimension, drawn from what torch computes.

Sparse: every second sample of a signal, convolved. Dense: all samples, convolved at rate 2. Both
share the kernel, and agree where the sparse one has a value at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from replication.reporting.captions import Caption
from replication.reporting.context import Context
from replication.reporting.style import COLOURS, MINUS, PAGE, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KERNEL = (-0.5, 1.0, 0.5)
RATE = 2
SAMPLES = 17
_SHOWN = 8  # the position whose taps are drawn in colour
_REACH = RATE  # positions beyond the ends that the taps read: zeros
_LIMIT = 3.0  # of the colour scale: far out, so that black numbers can be read on all colours
_SIZE = 460  # of a circle, points squared


def make(context: Context) -> Caption:
    """Draw figure 2, which needs no data."""
    save(_draw(), context.out("figure2"))
    return Caption(
        name="figure2",
        title="Figure 2: atrous convolution in one dimension",
        caption=(
            f"A kernel of three taps, {', '.join(f'{tap:g}' for tap in KERNEL)}, on a signal of "
            f"{SAMPLES} samples. (a) Every second sample, then standard convolution: a response at "
            f"every second position. (b) All samples, atrous convolution at rate {RATE}: a "
            "response at every position from as many taps, equal to (a) where that has one (thick "
            "rings). All numbers are computed by torch's conv1d; dashed circles are zero padding."
        ),
        alt=(
            "Two diagrams of circles with numbers, input below and output above. Above, nine "
            "outputs read three neighbours each of nine inputs; below, seventeen outputs read "
            "three of seventeen inputs each, two positions apart."
        ),
    )


def signal() -> Float64[np.ndarray, " samples"]:
    """Return the input: two sines, to one decimal, so that the print shows it exactly."""
    at = np.arange(SAMPLES)
    return np.round(np.sin(2 * np.pi * at / 16) + 0.5 * np.sin(2 * np.pi * at / 5), 1)


def respond(values: Float64[np.ndarray, " samples"], rate: int) -> Float64[np.ndarray, " samples"]:
    """Convolve ``values`` with `KERNEL` at ``rate``, zeros beyond the ends; as many come out.

    As networks do it, without turning the kernel round: y[i] = sum over k of
    kernel[k] values[i + rate (k - 1)], the paper's equation 1.
    """
    import torch
    from torch.nn.functional import conv1d

    kernel = torch.tensor(KERNEL, dtype=torch.float64)[None, None]  # (1, 1, 3)
    row = torch.from_numpy(values)[None, None]  # (1, 1, samples)
    response: Float64[np.ndarray, " samples"] = conv1d(
        row, kernel, padding=rate * (len(KERNEL) // 2), dilation=rate
    )[0, 0].numpy()
    return response


def _draw() -> Figure:
    from matplotlib.figure import Figure

    values, every = signal(), np.arange(SAMPLES)
    figure = Figure(figsize=(PAGE, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1)
    _panel(above, every[::RATE], values[::RATE], respond(values[::RATE], 1), RATE)
    _panel(below, every, values, respond(values, RATE), 1)
    above.set_title(
        "(a) sparse: every second sample, standard convolution (kernel 3, rate 1)", fontsize=9
    )
    below.set_title(
        f"(b) dense: all samples, atrous convolution (kernel 3, rate {RATE})", fontsize=9
    )
    return figure


def _panel(
    axis: Axes,
    at: Int64[np.ndarray, " n"],
    inputs: Float64[np.ndarray, " n"],
    outputs: Float64[np.ndarray, " n"],
    spacing: int,
) -> None:
    """Draw one row of inputs and one of outputs at the positions ``at``, and the taps between."""
    padding = [x for x in range(-_REACH, SAMPLES + _REACH) if not 0 <= x < SAMPLES]
    padding = [x for x in padding if x % spacing == 0]
    for centre in at:
        for place, tap in enumerate(KERNEL):
            marked = centre == _SHOWN
            start = centre + RATE * (place - 1)
            axis.plot(
                [start, centre],
                [0, 1],
                color=COLOURS[1] if marked else "0.8",
                linewidth=1.6 if marked else 0.6,
                zorder=2 if marked else 1,
            )
            if marked:
                axis.text(
                    start + 0.42 * (centre - start),
                    0.42,
                    f"{tap:g}".replace("-", MINUS),
                    fontsize=7,
                    ha="center",
                    va="center",
                    color=COLOURS[1],
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
                    zorder=3,
                )
    for x in padding:
        _circle(axis, x, 0, 0.0, dashed=True)
    for x, value in zip(at, inputs, strict=True):
        _circle(axis, x, 0, value)
    for x, value in zip(at, outputs, strict=True):
        _circle(axis, x, 1, value, thick=x % RATE == 0)
    axis.set(xlim=(-_REACH - 0.6, SAMPLES - 0.4 + _REACH), ylim=(-0.32, 1.32))
    axis.set_yticks([0, 1], ["input", "output"], fontsize=8)
    axis.set_xticks(np.arange(0, SAMPLES, RATE))
    axis.tick_params(length=0, labelsize=7)
    axis.set_xlabel("position", fontsize=8)
    for side in axis.spines.values():
        side.set_visible(False)


def _circle(
    axis: Axes, x: float, y: float, value: float, *, dashed: bool = False, thick: bool = False
) -> None:
    axis.scatter(
        [x],
        [y],
        s=_SIZE,
        c=[value],
        cmap="PuOr_r",
        vmin=-_LIMIT,
        vmax=_LIMIT,
        edgecolors="black",
        linewidths=1.7 if thick else 0.7,
        linestyles=(0, (2, 1.5)) if dashed else "-",
        zorder=4,
    )
    axis.text(
        x,
        y,
        f"{value:.{0 if dashed else 1 if y == 0 else 2}f}".replace("-", MINUS),
        fontsize=6,
        ha="center",
        va="center",
        zorder=5,
    )
