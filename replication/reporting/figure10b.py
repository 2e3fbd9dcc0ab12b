"""Figure 10b of the paper: mean IOU near contours against the trimap's width, before and after CRF.

Beside the figure lie its numbers, ``figure10b.tsv``: a column for each run before and after the
CRF, which ``dvc plots show`` draws too.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float64

from replication.atomic import write_text
from replication.errors import ReplicationError
from replication.evaluation.image_counts import STAGES, Stage
from replication.paper import reported
from replication.reporting.captions import Caption
from replication.reporting.context import Context
from replication.reporting.origin import title_note
from replication.reporting.results import Result
from replication.reporting.style import COLOURS, PAGE, literal, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ABREAST = 3  # more panels than these make two columns
_MARKERS = "osD^vP"  # tell runs apart without colour
_STYLE: dict[Stage, Literal["--", "-"]] = {"before": "--", "after": "-"}
Curves = dict[str, dict[Stage, Float64[np.ndarray, " width"]]]  # percent, by run


def make(context: Context) -> Caption:
    """Draw figure 10b from results/; ReplicationError where no run has a trimap."""
    paper = reported.load()
    results = context.results(paper.runs())
    curves = trimap_curves(results)
    all_runs = context.settings.experiments.all_runs
    panels = {
        f"Table {table.number}": [
            run for run in table.runs() if run in curves and all_runs[run].data == "voc2012"
        ]
        for table in paper.own_tables()
    }
    panels = {title: runs for title, runs in panels.items() if runs}
    if not panels:
        raise ReplicationError(
            f"{context.settings.place('results')}: no result has a trimap; evaluate a run first"
        )
    drawn = [result for result in results if any(result.run in runs for runs in panels.values())]
    save(_draw(curves, panels, title_note(drawn, context.profile)), context.out("figure10b"))
    write_curves(curves, paper.runs(), context.out("figure10b.tsv"))
    return Caption(
        name="figure10b",
        title="Figure 10b: accuracy near contours",
        caption=(
            "Mean IOU of the pixels at most so far from a void contour, against that width, before "
            "(dashed) and after (solid) the CRF, one panel for each table of the paper on PASCAL "
            "VOC 2012; the mean over training seeds. The paper draws VGG-16 and ResNet-101. "
            f"Measured {title_note(drawn, context.profile)}. All numbers, those of other data "
            "sets too: figure10b.tsv."
        ),
        alt=(
            "Curves, from the narrowest to the widest band: "
            + "; ".join(_in_words(run, found) for run, found in curves.items())
            + "."
        ),
        runs=tuple(curves),
        files=tuple(context.name(context.result_path(run)) for run in curves),
    )


def trimap_curves(results: Sequence[Result]) -> Curves:
    """Return each run's curves, entry w - 1 for width w, the mean over seeds; NaN: no such pixel.

    A run is left out where a seed has no trimap, and a stage where the CRF was not run.
    """
    curves: Curves = {}
    for result in results:
        found: dict[Stage, Float64[np.ndarray, " width"]] = {}
        for stage in STAGES:
            parts = [getattr(seed, stage) for seed in result.seeds]
            if all(part is not None and part.trimap is not None for part in parts):
                rows = [[np.nan if v is None else v for v in part.trimap.miou] for part in parts]
                found[stage] = np.mean(np.array(rows, np.float64), axis=0)
        if found and not all(np.isnan(curve).all() for curve in found.values()):
            curves[result.run] = found
    return curves


def write_curves(curves: Curves, runs: Sequence[str], path: Path) -> None:
    """Write a line for each width: ``width``, then ``<run>_before`` and ``<run>_after``, percent.

    An empty field is a width without pixels, or a run that is not there: DVC, which is told the
    columns beforehand, draws nothing where one is missing.
    """
    none: Float64[np.ndarray, " width"] = np.empty(0)
    columns = {
        f"{run}_{stage}": curves.get(run, {}).get(stage, none) for run in runs for stage in STAGES
    }
    widths = max(len(curve) for curve in columns.values())
    stream = io.StringIO()
    print("width", *columns, sep="\t", file=stream)
    for place in range(widths):
        values = (curve[place] if place < len(curve) else np.nan for curve in columns.values())
        texts = ("" if np.isnan(value) else f"{value:.3f}" for value in values)
        print(place + 1, *texts, sep="\t", file=stream)
    write_text(path, stream.getvalue())


def _in_words(run: str, found: dict[Stage, Float64[np.ndarray, " width"]]) -> str:
    ends = (f"{curve[0]:.1f} to {curve[-1]:.1f} % {stage}" for stage, curve in found.items())
    return f"{run} {', '.join(ends)}"


def _draw(curves: Curves, panels: dict[str, list[str]], note: str) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = len(panels) if len(panels) <= _ABREAST else 2
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(PAGE, 3.3 * lines + 0.8), layout="constrained")
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axis in axes.ravel()[len(panels) :]:
        axis.remove()
    for axis, (title, runs) in zip(axes.ravel(), panels.items(), strict=False):
        for index, run in enumerate(runs):
            for stage, curve in curves[run].items():
                axis.plot(
                    np.arange(1, len(curve) + 1),
                    curve,
                    color=COLOURS[index % len(COLOURS)],
                    linestyle=_STYLE[stage],
                    linewidth=1.4,
                    marker=_MARKERS[index % len(_MARKERS)],
                    markersize=3.5,
                    markevery=(index, 8),
                    label=run if stage == list(curves[run])[-1] else None,
                )
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(color="0.9", linewidth=0.5)
        axis.set_axisbelow(True)
        axis.legend(fontsize=7, frameon=False, loc="best")  # where fewest points are
    for axis in axes[:, 0]:
        axis.set_ylabel("mean IOU (%)", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("trimap width (pixels)", fontsize=8)
    figure.suptitle(f"Mean IOU near contours\n{literal(note)}", fontsize=9)
    figure.legend(
        handles=[
            Line2D([], [], color="0.2", linestyle=style, label=f"{stage} CRF")
            for stage, style in _STYLE.items()
        ],
        loc="outside lower center",
        ncols=2,
        fontsize=8,
        frameon=False,
    )
    return figure
