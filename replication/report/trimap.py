"""The trimap chart (figure 10b): mean IOU within bands of 1 to 40 pixels around contours, as SVG.

The curves are drawn here, so that they show without a script; the script chooses among them and
reads off values. A run has its own pair of colour and marker. After the CRF: solid line, filled
markers; before it: dashed, hollow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from replication.evaluation.image_counts import STAGES, Stage
from replication.paper.reported import COMPARED, Reported
from replication.report.links import run_page
from replication.reporting.results import Result
from replication.reporting.style import COLOURS

WIDTH, HEIGHT = 720, 400  # of the drawing, SVG's own units
LEFT, RIGHT, TOP, BOTTOM = 64, 704, 16, 340  # of the frame within it
MARKERS = 5
_EVERY = 5  # pixels of band between two markers
_SIZE = 4.5  # of a marker, from its middle
_DEFAULT_RUNS = 3


@dataclass(frozen=True)
class Curve:
    """One line. ``values`` in percent by width from 1 on, None where no pixel lies in the band."""

    stage: Stage
    values: list[float | None]
    line: str
    markers: str

    @property
    def data(self) -> str:
        """The values as the script reads them: two decimals, a dash for none."""
        return " ".join("-" if value is None else f"{value:.2f}" for value in self.values)


@dataclass(frozen=True)
class RunCurves:
    """A run's curves and looks; ``swatch`` is its marker around the origin."""

    run: str
    href: str
    colour: int
    swatch: str
    shown: bool
    curves: list[Curve]


@dataclass(frozen=True)
class Chart:
    """The drawing: curves by run, ticks as (place, label)."""

    runs: list[RunCurves]
    widths: int
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]

    @property
    def frame(self) -> dict[str, int]:
        """Corners of the frame and of the drawing."""
        return {
            "left": LEFT,
            "right": RIGHT,
            "top": TOP,
            "bottom": BOTTOM,
            "width": WIDTH,
            "height": HEIGHT,
        }


def chart(results: Sequence[Result], reported: Reported) -> Chart | None:
    """Draw the curves of all results that have them; None where none has.

    Shown at first: the two networks of the paper's figure, if both have results; else the runs of
    the last table that has any, at most three from its end.
    """
    found = {
        result.run: values
        for result in results
        if (values := {s: v for s in STAGES if (v := seed_mean(result, s))})
    }
    lines = [line for values in found.values() for line in values.values()]
    known = [value for line in lines for value in line if value is not None]
    if not known:
        return None
    widths = max(map(len, lines))
    ticks = _ticks(min(known), max(known))
    low, high = ticks[0], ticks[-1]

    def x(width: float) -> float:
        return LEFT + (RIGHT - LEFT) * width / widths

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low)

    shown = _shown(list(found), reported)
    runs = [
        RunCurves(
            run=run,
            href=run_page(run),
            colour=place % len(COLOURS),
            swatch=marker(place % MARKERS, 0, 0),
            shown=run in shown,
            curves=[
                _curve(
                    stage,
                    values,
                    [None if v is None else (x(w), y(v)) for w, v in enumerate(values, 1)],
                    place % MARKERS,
                )
                for stage, values in stages.items()
            ],
        )
        for place, (run, stages) in enumerate(found.items())
    ]
    return Chart(
        runs=runs,
        widths=widths,
        x_ticks=[(round(x(w), 1), str(w)) for w in [1, *range(_EVERY, widths + 1, _EVERY)]],
        y_ticks=[(round(y(tick), 1), f"{tick:g}") for tick in ticks],
    )


def seed_mean(result: Result, stage: Stage) -> list[float | None]:
    """Return the mean over seeds of the trimap curve, by width from 1 on; empty if one lacks it.

    A width without pixels in the band of any one seed is None.
    """
    evaluations = [seed.before if stage == "before" else seed.after for seed in result.seeds]
    curves = [None if e is None or e.trimap is None else e.trimap for e in evaluations]
    by_width = [dict(zip(c.width, c.miou, strict=True)) for c in curves if c is not None]
    if len(by_width) < len(curves):
        return []
    widest = max((max(c, default=0) for c in by_width), default=0)
    means: list[float | None] = []
    for width in range(1, widest + 1):
        values = [c.get(width) for c in by_width]
        there = [value for value in values if value is not None]
        means.append(fmean(there) if len(there) == len(values) else None)
    return means


def _shown(runs: list[str], reported: Reported) -> list[str]:
    if set(COMPARED) <= set(runs):
        return list(COMPARED)
    for table in reversed(reported.tables.values()):
        if there := [run for run in table.runs() if run in runs]:
            return there[-_DEFAULT_RUNS:]
    return runs[:_DEFAULT_RUNS]


def _ticks(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(nbins=7, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks]


def _curve(
    stage: Stage, values: list[float | None], places: list[tuple[float, float] | None], kind: int
) -> Curve:
    line, pen_down = [], False
    for place in places:
        if place is not None:
            line.append(f"{'L' if pen_down else 'M'}{place[0]:.1f} {place[1]:.1f}")
        pen_down = place is not None
    marked = [places[0], *places[_EVERY - 1 :: _EVERY]]
    return Curve(
        stage=stage,
        values=values,
        line="".join(line),
        markers="".join(marker(kind, *place) for place in marked if place is not None),
    )


def marker(kind: int, x: float, y: float) -> str:
    """Return the outline of a marker as an SVG path: circle, square, triangle, diamond, wedge."""
    s = _SIZE
    if kind == 0:
        return f"M{x - s:.1f} {y:.1f}a{s} {s} 0 1 0 {2 * s} 0a{s} {s} 0 1 0 {-2 * s} 0z"
    corners = [
        [(-s, -s), (s, -s), (s, s), (-s, s)],
        [(0, -s - 1), (s + 1, s), (-s - 1, s)],
        [(0, -s - 2), (s + 1, 0), (0, s + 2), (-s - 1, 0)],
        [(-s - 1, -s), (s + 1, -s), (0, s + 1)],
    ][kind - 1]
    return "M" + "L".join(f"{x + dx:.1f} {y + dy:.1f}" for dx, dy in corners) + "z"
