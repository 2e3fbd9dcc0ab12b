"""The heat map of a CRF search: sigma_alpha by sigma_beta, one panel for each w1.

Squares are the coarse grid's points. Dots are the finer rounds' points, each on the panel of the
nearest w1 (of two equally near, the lower), and of several at one place the best. The ring marks
the best point. All share one colour scale, whose order colour-blind readers and grey print keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from replication.crf.options import read_search
from replication.errors import ReplicationError
from replication.provenance import read_record
from replication.reporting.captions import Caption
from replication.reporting.context import Context
from replication.reporting.style import PAGE, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 4
_COLOURS = "cividis"
_MARK = "#D55E00"  # Okabe and Ito's vermilion: seen on every colour of the scale

Row = Mapping[str, Any]


def make(context: Context, search: str) -> Caption:
    """Draw one search of experiments.yaml; ReplicationError where none was made."""
    path = context.settings.place("searches") / f"{search}.json"
    if read_record(path).get("chosen") != "searched":
        raise ReplicationError(f"{path}: the CRF's parameters were given, not searched")
    result, name = read_search(path), f"crf_search_{search}"
    heatmap(result, context.out(name))
    best = result["best"]
    return Caption(
        name=name,
        title=f"Search of the CRF's parameters: {search}",
        caption=(
            f"Mean IOU of run {result['run']} on {len(result['ids']):,} images of val over the "
            "CRF's bilateral parameters: squares are the coarse grid, dots the finer rounds on the "
            "panel of the nearest w1, the ring is the best point."
        ),
        alt=(
            f"{len(result['grid']['w1'])} heat maps, one for each w1, of sigma alpha by sigma "
            f"beta. Best: w1 {best['w1']:g}, sigma alpha {best['sigma_alpha']:g}, sigma beta "
            f"{best['sigma_beta']:g}, {best['miou']:.2f} %; before the CRF "
            f"{result['before_miou']:.2f} %."
        ),
        runs=(result["run"],),
        files=(context.name(path),),
    )


def heatmap(result: Mapping[str, Any], out: Path) -> list[Path]:
    """Draw the result of a search (see `replication.crf.search`) and write PNG and PDF.

    Args:
        result: as `replication.crf.options.read_search` returns it.
        out: the figure's path without suffix.

    Returns:
        The two files.
    """
    return save(_draw(result), out)


def nearest(value: float, values: Sequence[float]) -> int:
    """Return the place of the nearest of ascending values; of two equally near, the lower."""
    return int(np.argmin([abs(value - x) for x in values]))


def table(
    points: Sequence[Row], grid: Mapping[str, Sequence[float]], w1: float
) -> Float64[np.ndarray, "sigma_beta sigma_alpha"]:
    """Return the coarse grid's mean IOU at one w1, percent; NaN where there is no point."""
    values = np.full((len(grid["sigma_beta"]), len(grid["sigma_alpha"])), np.nan)
    for point in points:
        if point["round"] == 0 and point["w1"] == w1:
            row = list(grid["sigma_beta"]).index(point["sigma_beta"])
            values[row, list(grid["sigma_alpha"]).index(point["sigma_alpha"])] = point["miou"]
    return values


def _edges(values: Sequence[float]) -> list[float]:
    """Return the outer edges of the squares around evenly spaced values."""
    half = (values[1] - values[0]) / 2 if len(values) > 1 else 0.5
    return [values[0] - half, values[-1] + half]


def _limits(points: Sequence[Row], key: str, edges: Sequence[float]) -> tuple[float, float]:
    """Return an axis's ends: the squares, and room for dots beside them."""
    margin = 0.05 * (edges[1] - edges[0])
    values = [point[key] for point in points if point["round"] > 0]
    return (
        min([edges[0], *(x - margin for x in values)]),
        max([edges[1], *(x + margin for x in values)]),
    )


def _dots(points: Sequence[Row], panels: Sequence[float], panel: int) -> list[Row]:
    """Return the finer points of one panel, the best of those at one place, worst first."""
    best: dict[tuple[float, float], Row] = {}
    for point in points:
        if point["round"] > 0 and nearest(point["w1"], panels) == panel:
            place = (point["sigma_alpha"], point["sigma_beta"])
            if place not in best or point["miou"] > best[place]["miou"]:
                best[place] = point
    return sorted(best.values(), key=lambda point: float(point["miou"]))


def _draw(result: Mapping[str, Any]) -> Figure:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    points, grid, best = result["points"], result["grid"], result["best"]
    panels = list(grid["w1"])
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    scores = [point["miou"] for point in points]
    scale = Normalize(min(scores), max(scores))
    figure = Figure(figsize=(PAGE, 0.9 + 2.0 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    extent = [*_edges(grid["sigma_alpha"]), *_edges(grid["sigma_beta"])]
    for panel, axis in enumerate(axes.flat):
        if panel >= len(panels):
            axis.set_visible(False)
            continue
        axis.imshow(
            table(points, grid, panels[panel]),
            origin="lower",
            extent=extent,
            aspect="auto",
            interpolation="nearest",
            cmap=_COLOURS,
            norm=scale,
        )
        dots = _dots(points, panels, panel)
        if dots:
            axis.scatter(
                [p["sigma_alpha"] for p in dots],
                [p["sigma_beta"] for p in dots],
                c=[p["miou"] for p in dots],
                s=12,
                cmap=_COLOURS,
                norm=scale,
                edgecolors="black",
                linewidths=0.5,
            )
        if nearest(best["w1"], panels) == panel:
            axis.scatter(
                best["sigma_alpha"],
                best["sigma_beta"],
                s=70,
                facecolors="none",
                edgecolors=_MARK,
                linewidths=1.6,
                zorder=3,
            )
        axis.set_title(f"$w_1$ = {panels[panel]:g}", fontsize=9)
        axis.set_xlabel(r"$\sigma_\alpha$ (pixels)", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.label_outer()
    axes[0, 0].set_xlim(_limits(points, "sigma_alpha", extent[:2]))
    axes[0, 0].set_ylim(_limits(points, "sigma_beta", extent[2:]))
    for axis in axes[:, 0]:
        axis.set_ylabel(r"$\sigma_\beta$ (grey levels)", fontsize=8)
        axis.set_yticks(grid["sigma_beta"] if len(grid["sigma_beta"]) <= 8 else axis.get_yticks())
    bar = figure.colorbar(ScalarMappable(scale, _COLOURS), ax=axes, pad=0.01)
    bar.set_label(_measured(result), fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.suptitle(_title(result), fontsize=9)
    return figure


def _measured(result: Mapping[str, Any]) -> str:
    objective = str(result["objective"])
    if objective == "miou":
        return "mean IOU (%)"
    return f"mean IOU (%), {objective.removeprefix('trimap_')} px trimap"


def _title(result: Mapping[str, Any]) -> str:
    best, points = result["best"], result["points"]
    finer = sum(point["round"] > 0 for point in points)
    return (
        f"CRF search on {len(result['ids']):,} images: squares the coarse grid"
        + (f", dots {finer} finer points on the panel of the nearest $w_1$" if finer else "")
        + f"\nring: the best, $w_1$ {best['w1']:g}, $\\sigma_\\alpha$ {best['sigma_alpha']:g}, "
        f"$\\sigma_\\beta$ {best['sigma_beta']:g}, {best['miou']:.2f} % "
        f"(before the CRF {result['before_miou']:.2f} %)"
    )
