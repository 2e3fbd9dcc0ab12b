"""Figure 7 of the paper: LargeFOV's one branch beside ASPP's, read off the networks themselves.

The networks are built as training builds them, on torch's ``meta`` device, which holds shapes and
no numbers; what the boxes say is what their layers are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from replication.plan import Plan
from replication.reporting.captions import Caption
from replication.reporting.context import Context
from replication.reporting.style import COLOURS, PAGE, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import nn

RUNS = {"poly_b10_20k": "DeepLab-LargeFOV", "aspp_l": "DeepLab-ASPP-L"}
_WIDTH, _HEIGHT, _ACROSS, _UP = 1.0, 0.62, 1.12, 1.0  # of a box, and from one to the next


class Layer(NamedTuple):
    """One layer of a head as its box shows it; ``channels`` None where the layer keeps them."""

    name: str
    kernel: int
    rate: int
    channels: int | None


class Drawn(NamedTuple):
    """One network's head.

    Attributes:
        below: pool5, and the average pool after it where there is one.
        branches: of each, its convolutions from fc6 on.
        parameters: learned numbers of the head.
    """

    below: list[Layer]
    branches: list[list[Layer]]
    parameters: int


def make(context: Context) -> Caption:
    """Draw figure 7 for the profile's LargeFOV and ASPP-L, trained or not."""
    classes = context.dataset.num_classes
    plans = [context.settings.plan(run) for run in RUNS]
    heads = [read_head(plan, classes) for plan in plans]
    save(_draw(heads, list(RUNS.values()), list(RUNS)), context.out("figure7"))
    return Caption(
        name="figure7",
        title="Figure 7: LargeFOV and atrous spatial pyramid pooling",
        caption=(
            "The heads of runs "
            + " and ".join(
                f"{run} ({len(head.branches)} branch{'' if len(head.branches) == 1 else 'es'}, "
                f"{head.parameters:,} parameters)"
                for run, head in zip(RUNS, heads, strict=True)
            )
            + f", read off the networks that profile {context.profile} trains (width "
            f"{context.settings.profile.width:g}, {classes} classes). Each box is a layer with its "
            "kernel, atrous rate and output channels; the branches' scores are added."
        ),
        alt=(
            "Two block diagrams from pool5 upwards: on the left fc6, fc7 and fc8 in one column; on "
            f"the right {len(heads[1].branches)} such columns at rates "
            f"{', '.join(str(branch[0].rate) for branch in heads[1].branches)}, which end in a sum."
        ),
        runs=tuple(RUNS),
        files=("experiments.yaml", f"profiles/{context.profile}.yaml"),
    )


def read_head(plan: Plan, num_classes: int) -> Drawn:
    """Build a run's network without numbers, and read its head's layers in order."""
    import torch
    from torch import nn

    from replication.models.deeplab import DeepLab

    with torch.device("meta"):
        network = DeepLab(plan, num_classes)
    pools = [m for m in network.backbone if isinstance(m, nn.MaxPool2d | nn.AvgPool2d)]
    below = [Layer(f"pool{len(pools)}", _side(pools[-1]), 1, None)]
    if isinstance(pools[-1], nn.AvgPool2d):
        below = [
            Layer(f"pool{len(pools) - 1}", _side(pools[-2]), 1, None),
            Layer("average pool", _side(pools[-1]), 1, None),
        ]
    below[0] = below[0]._replace(channels=network.backbone.out_channels)
    branches = [
        [
            Layer(name, layer.kernel_size[0], layer.dilation[0], layer.out_channels)
            for name, layer in branch.named_children()
            if isinstance(layer, nn.Conv2d)
        ]
        for branch in network.classifier.branches
    ]
    return Drawn(below, branches, sum(p.numel() for p in network.classifier.parameters()))


def _side(pool: nn.MaxPool2d | nn.AvgPool2d) -> int:
    """Return the side of a pool's square window."""
    return pool.kernel_size if isinstance(pool.kernel_size, int) else pool.kernel_size[0]


def _draw(heads: Sequence[Drawn], titles: Sequence[str], runs: Sequence[str]) -> Figure:
    from matplotlib.figure import Figure

    widths = [max(len(head.branches), 1) for head in heads]
    figure = Figure(figsize=(PAGE, 4.6), layout="constrained")
    axes = figure.subplots(1, len(heads), width_ratios=widths, squeeze=False)[0]
    floors = max(len(head.below) for head in heads)
    rates = sorted({branch[0].rate for head in heads for branch in head.branches})
    tints = {rate: COLOURS[place % len(COLOURS)] for place, rate in enumerate(rates)}
    for axis, head, title, run, letter in zip(axes, heads, titles, runs, "abcdef", strict=False):
        _diagram(axis, head, floors, tints)
        axis.set_title(f"({letter}) {title}\n{run}", fontsize=9)
    return figure


def _diagram(axis: Axes, head: Drawn, floors: int, tints: Mapping[int, str]) -> None:
    """Draw one head upwards; branches begin above ``floors`` boxes, so that heads line up.

    A branch has the colour of its rate in ``tints``.
    """
    places = [_ACROSS * (n - (len(head.branches) - 1) / 2) for n in range(len(head.branches))]
    start = floors - len(head.below)
    for floor, layer in enumerate(head.below, start=start):
        _box(axis, 0.0, floor, layer, "0.9")
        if floor > start:
            _arrow(axis, 0.0, floor - 1, 0.0, floor)
    for x, branch in zip(places, head.branches, strict=True):
        _arrow(axis, 0.0, floors - 1, x, floors)
        for floor, layer in enumerate(branch, start=floors):
            _box(axis, x, floor, layer, tints[branch[0].rate])
            if floor > floors:
                _arrow(axis, x, floor - 1, x, floor)
    top = floors + len(head.branches[0])
    if len(head.branches) > 1:
        for x in places:
            _arrow(axis, x, top - 1, 0.0, top)
        _text_box(axis, 0.0, top, "sum", "0.9", bold=True)
    edge = (places[-1] + _WIDTH / 2) + 0.08
    axis.set(xlim=(-edge, edge), ylim=(-0.4 * _UP, (top + 0.4) * _UP))
    axis.set_axis_off()


def _box(axis: Axes, x: float, floor: int, layer: Layer, colour: str) -> None:
    lines = [f"{layer.kernel}x{layer.kernel}" + (f", rate {layer.rate}" if layer.rate > 1 else "")]
    if layer.channels is not None:
        lines.append(f"{layer.channels:,} channels")
    _text_box(axis, x, floor, "\n".join([layer.name, *lines]), colour)


def _text_box(
    axis: Axes, x: float, floor: int, text: str, colour: str, *, bold: bool = False
) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import FancyBboxPatch

    pale = tuple(0.75 + 0.25 * part for part in to_rgb(colour))
    axis.add_patch(
        FancyBboxPatch(
            (x - _WIDTH / 2 + 0.04, floor * _UP - _HEIGHT / 2),
            _WIDTH - 0.08,
            _HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=pale,
            edgecolor=colour if colour != "0.9" else "0.4",
            linewidth=1.2,
            zorder=2,
        )
    )
    axis.text(
        x,
        floor * _UP,
        text,
        ha="center",
        va="center",
        fontsize=7,
        linespacing=1.3,
        fontweight="bold" if bold else "normal",
        zorder=3,
    )


def _arrow(axis: Axes, x: float, floor: int, to_x: float, to_floor: int) -> None:
    """Draw an arrow from the top of one box to the bottom of another."""
    axis.annotate(
        "",
        xy=(to_x, to_floor * _UP - _HEIGHT / 2),
        xytext=(x, floor * _UP + _HEIGHT / 2),
        arrowprops={
            "arrowstyle": "-|>",
            "color": "0.3",
            "linewidth": 0.8,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )
