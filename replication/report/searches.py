"""The searches of the CRF's parameters for the page: a heat map of every point, and a table.

As in the figure: one panel for each w1 of the coarse grid, squares its points, dots the finer
rounds' points on the panel of the nearest w1 (of several at one place the best), a ring around the
best.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replication.report.links import relative, run_page
from replication.reporting.crf_table import setting_rows
from replication.reporting.heatmap import nearest

LEFT, RIGHT, TOP, BOTTOM = 34, 214, 8, 128  # of a panel's frame, SVG's own units
WIDTH, HEIGHT = 220, 164
_DOT = 3.4
_OVERLAP = 0.4  # of two squares: a browser may leave a seam where they only meet
_COLOURS = "cividis"
_MOST_TICKS = 4
_SEARCHED = ("w1", "sigma_alpha", "sigma_beta")

Point = Mapping[str, Any]


@dataclass(frozen=True)
class Mark:
    """A point as drawn: a square of the grid, or a dot; middle, size, colour and value in words."""

    is_dot: bool
    x: float
    y: float
    width: float
    height: float
    colour: str
    text: str


@dataclass(frozen=True)
class Panel:
    """The points near one w1; ``best`` is the place of the search's best point, if it is here."""

    w1: str
    marks: list[Mark]
    best: tuple[float, float] | None
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


@dataclass(frozen=True)
class SearchView:
    """All that the page says of one search."""

    name: str
    file: str
    run: str
    run_href: str
    measure: str
    best: str
    facts: list[tuple[str, str]]
    panels: list[Panel]
    stops: list[str]  # colours of the scale, from low to high
    low: str
    high: str
    settings: list[dict[str, Any]]
    points: list[Point]


def view_search(result: Mapping[str, Any], path: Path, root: Path) -> SearchView:
    """Lay a search's result out (see `replication.crf.search`), which came from file ``path``."""
    points, data, grid = result["points"], result["data"], result["grid"]
    scores = [float(point["miou"]) for point in points]
    low, high = min(scores), max(scores)
    colour = _colours(low, high)
    return SearchView(
        name=path.stem,
        file=relative(path, root),
        run=result["run"],
        run_href=run_page(result["run"]),
        measure=measured(str(result["objective"])),
        best=_words(result["best"]),
        facts=[
            (
                "data",
                f"{data['name']}, {len(result['ids'])} of {data['images']} images of "
                f"{data['split']}, drawn with seed {result['seed']}",
            ),
            ("points", f"{len(points)}, {sum(p['mode'] == 'exact' for p in points)} in mode exact"),
            ("engine", str(result["engine"])),
            ("held fixed", ", ".join(f"{key} {value}" for key, value in result["fixed"].items())),
            ("seconds", f"{result['seconds']:,.0f}" if "seconds" in result else "not recorded"),
            ("commit", str((result.get("environment") or {}).get("commit") or "not recorded")),
        ],
        panels=[_panel(place, result, colour) for place in range(len(grid["w1"]))],
        stops=[colour(low + (high - low) * step / 8) for step in range(9)],
        low=f"{low:.2f}",
        high=f"{high:.2f}",
        settings=setting_rows(result, ""),
        points=sorted(points, key=lambda point: -float(point["miou"])),
    )


def measured(objective: str) -> str:
    """Say what a search's ``objective`` (``miou``, ``trimap_10``) measures."""
    if objective == "miou":
        return "mean IOU"
    return f"mean IOU within {objective.removeprefix('trimap_')} pixels of a contour"


def _words(point: Point) -> str:
    return (
        f"w1 {point['w1']:g}, σα {point['sigma_alpha']:g}, σβ {point['sigma_beta']:g}: "
        f"{point['miou']:.2f} %"
    )


def _colours(low: float, high: float) -> Callable[[float], str]:
    """Return a function from mean IOU to a colour, as HTML writes it."""
    import matplotlib as mpl
    from matplotlib.colors import Normalize, to_hex

    scale, colours = Normalize(low, high), mpl.colormaps[_COLOURS]
    return lambda value: to_hex(colours(float(scale(value))))


@dataclass(frozen=True)
class _Axis:
    """From values to places; ``step`` is the size of a square, in SVG units, signed."""

    first: float
    start: float
    step: float
    spacing: float

    def at(self, value: float) -> float:
        return round(self.start + self.step * (value - self.first) / self.spacing, 1)


def _axis(values: Sequence[float], others: Sequence[float], start: int, end: int) -> _Axis:
    """Fit the squares around evenly spaced ``values``, and the dots at ``others``, in a frame."""
    spacing = (values[1] - values[0]) if len(values) > 1 else 1.0
    low = min([values[0] - spacing / 2, *(x - 0.1 * spacing for x in others)])
    high = max([values[-1] + spacing / 2, *(x + 0.1 * spacing for x in others)])
    step = (end - start) * spacing / (high - low)
    return _Axis(values[0], start + step * (values[0] - low) / spacing, step, spacing)


def _panel(place: int, result: Mapping[str, Any], colour: Callable[[float], str]) -> Panel:
    grid, points, best = result["grid"], result["points"], result["best"]
    finer = [point for point in points if point["round"] > 0]
    x = _axis(grid["sigma_alpha"], [p["sigma_alpha"] for p in finer], LEFT, RIGHT)
    y = _axis(grid["sigma_beta"], [p["sigma_beta"] for p in finer], BOTTOM, TOP)
    here = [p for p in points if nearest(p["w1"], grid["w1"]) == place]
    dots: dict[tuple[float, float], Point] = {}

    def order(point: Point) -> tuple[bool, float]:
        # The search's best may have a neighbour in mode fast whose score is higher by its noise.
        return all(point[key] == best[key] for key in _SEARCHED), float(point["miou"])

    for point in sorted((p for p in here if p["round"] > 0), key=order):
        dots[point["sigma_alpha"], point["sigma_beta"]] = point  # the last of a place stays

    def mark(point: Point, *, is_dot: bool) -> Mark:
        size = (_DOT, _DOT) if is_dot else (abs(x.step) + _OVERLAP, abs(y.step) + _OVERLAP)
        return Mark(
            is_dot=is_dot,
            x=x.at(point["sigma_alpha"]),
            y=y.at(point["sigma_beta"]),
            width=round(size[0], 1),
            height=round(size[1], 1),
            colour=colour(point["miou"]),
            text=_words(point),
        )

    squares = [mark(point, is_dot=False) for point in here if point["round"] == 0]
    return Panel(
        w1=f"{grid['w1'][place]:g}",
        marks=[*squares, *(mark(point, is_dot=True) for point in dots.values())],
        x_ticks=_ticks(grid["sigma_alpha"], x),
        best=(x.at(best["sigma_alpha"]), y.at(best["sigma_beta"]))
        if nearest(best["w1"], grid["w1"]) == place
        else None,
        y_ticks=_ticks(grid["sigma_beta"], y),
    )


def _ticks(values: Sequence[float], axis: _Axis) -> list[tuple[float, str]]:
    every = -(-len(values) // _MOST_TICKS)
    return [(axis.at(value), f"{value:g}") for value in values[::every]]
