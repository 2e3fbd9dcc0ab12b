"""Figure 4 of the paper: what the branches of ASPP see around one pixel, drawn to scale.

A tap of fc6 reads one position of pool5, which stands for 8 x 8 pixels; at rate r the taps are
8 r pixels apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, UInt8

from replication.data.labels import read_image, read_label
from replication.plan import OUTPUT_STRIDE
from replication.reporting.captions import Caption
from replication.reporting.context import EXAMPLE_RULE, Context
from replication.reporting.style import COLOURS, LINES, PAGE, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RUN = "aspp_l"
Point = tuple[int, int]  # row, column; pixels


def make(context: Context) -> Caption:
    """Draw figure 4: ASPP-L's taps around the example's class."""
    head, dataset = context.settings.plan(RUN).head, context.dataset
    name, label = context.example
    path = dataset.image_path(name)
    image = read_image(path)
    centre = centre_of(read_label(dataset.label_path(name), dataset.num_classes) == label)
    save(_draw(image, centre, head.kernel, head.rates), context.out("figure4"))
    inside = [
        f"{taps_inside(taps(centre, head.kernel, rate), image.shape[:2])} at rate {rate}"
        for rate in head.rates
    ]
    height, width = image.shape[:2]
    return Caption(
        name="figure4",
        title="Figure 4: fields of view of atrous spatial pyramid pooling",
        caption=(
            f"The {head.kernel}x{head.kernel} taps of the {len(head.rates)} branches of {RUN} "
            f"around one position of {name} ({width}x{height} pixels), to scale: each tap is a "
            f"square of {OUTPUT_STRIDE} pixels, at rate r {OUTPUT_STRIDE} r pixels from the next. "
            f"Of {head.kernel**2} taps the image holds {', '.join(inside)}; the others see "
            f"padding. {EXAMPLE_RULE}; the position is the one nearest to that class's middle."
        ),
        alt=(
            "A photograph, and around one position in it nested squares of nine dots each, the "
            f"outermost {(head.kernel - 1) * max(head.rates) * OUTPUT_STRIDE} pixels wide."
        ),
        runs=(RUN,),
        files=("experiments.yaml", context.name(path)),
    )


def centre_of(mask: np.ndarray) -> Point:
    """Return the pixel of the score position nearest to the middle of a mask (H, W).

    Align-corners: position i of the scores lies on pixel 8 i.
    """
    row, column = (
        min(round(float(at.mean()) / OUTPUT_STRIDE), (size - 1) // OUTPUT_STRIDE)
        for at, size in zip(np.nonzero(mask), mask.shape, strict=True)
    )
    return row * OUTPUT_STRIDE, column * OUTPUT_STRIDE


def taps(centre: Point, kernel: int, rate: int) -> Float64[np.ndarray, "taps 2"]:
    """Return where a kernel's taps lie around ``centre``: (row, column) in pixels, float64."""
    offsets = (np.arange(kernel) - (kernel - 1) / 2) * rate * OUTPUT_STRIDE
    rows, columns = np.meshgrid(offsets, offsets, indexing="ij")
    at = np.stack([rows.ravel(), columns.ravel()], axis=1) + np.array(centre, np.float64)
    return np.asarray(at)


def taps_inside(at: Float64[np.ndarray, "taps 2"], size: Sequence[int]) -> int:
    """Count the taps that lie on an image of ``size`` (H, W)."""
    return int(((at >= 0) & (at < np.array(size[:2]))).all(axis=1).sum())


def _draw(
    image: UInt8[np.ndarray, "H W 3"], centre: Point, kernel: int, rates: Sequence[int]
) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    height, width = image.shape[:2]
    spread = np.concatenate([taps(centre, kernel, rate) for rate in rates])
    spread = np.concatenate([spread, [[0, 0], [height, width]]])
    (top, left), (bottom, right) = spread.min(axis=0) - 12, spread.max(axis=0) + 12
    drawn = 0.62 * PAGE  # inches, the rest is the legend
    figure = Figure(
        figsize=(PAGE, drawn * (bottom - top) / (right - left) + 0.1), layout="constrained"
    )
    axis = figure.subplots()
    axis.imshow(image, extent=(0, width, height, 0), interpolation="antialiased")
    axis.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor="0.5", linewidth=0.6))
    handles = []
    for index, rate in reversed(list(enumerate(rates))):
        at, colour = taps(centre, kernel, rate), COLOURS[index % len(COLOURS)]
        line: Any = LINES[index % len(LINES)]
        (first, last), side = (at[0], at[-1]), OUTPUT_STRIDE
        axis.add_patch(
            Rectangle(
                (first[1], first[0]),
                last[1] - first[1],
                last[0] - first[0],
                fill=False,
                edgecolor=colour,
                linewidth=1.8,
                linestyle=line,
            )
        )
        for tap in at:
            _tap(axis, tap, colour)
        span = (kernel - 1) * rate * side
        text = (
            f"rate {rate}: taps {rate * side} pixels apart, {span} across;\n"
            f"{taps_inside(at, (height, width))} of {kernel**2} on the image"
        )
        handles.append(Line2D([], [], color=colour, linestyle=line, linewidth=1.8, label=text))
    _tap(axis, centre, "black")
    handles.append(
        Line2D([], [], color="black", marker="s", linestyle="", label="the position classified")
    )
    axis.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
    axis.set_aspect("equal")
    for side_ in axis.spines.values():
        side_.set_visible(False)
    figure.legend(  # inner to outer
        handles=handles[::-1],
        loc="outside right center",
        fontsize=8,
        frameon=False,
        handlelength=3,
        labelspacing=1.2,
    )
    return figure


def _tap(axis: Axes, at: Sequence[float] | np.ndarray, colour: str) -> None:
    """Draw what one position of pool5 stands for: a square of 8 x 8 pixels."""
    from matplotlib.patches import Rectangle

    axis.add_patch(
        Rectangle(
            (at[1] - OUTPUT_STRIDE / 2, at[0] - OUTPUT_STRIDE / 2),
            OUTPUT_STRIDE,
            OUTPUT_STRIDE,
            facecolor=colour,
            edgecolor="white",
            linewidth=0.6,
        )
    )
