"""The forest plot of claims: the numbers and verdicts of ``claims.csv``, each on its line."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replication.errors import ReplicationError
from replication.paper import reported
from replication.reporting import claims_figure
from replication.reporting.claims import judge_claims
from replication.reporting.context import Context
from replication.reporting.tables import write_tables


@pytest.fixture
def measured(context: Context, write_counted: Callable[..., Path]) -> Context:
    """Four runs of tables 2 and 3 with counts of images."""
    folder = context.settings.place("results")
    for run, before in (("poly_b30_6k", 0.7), ("poly_b10_20k", 0.75), ("aspp_l", 0.74)):
        write_counted(run, before=(before,), after=(0.8,), images=12)
    written = write_counted("fov_3x3_r12", before=(0.6,), after=(0.61,), images=12)
    folder.parent.mkdir(parents=True, exist_ok=True)
    written.rename(folder)
    return Context(context.settings)


def test_every_number_of_the_claims_is_on_its_line(measured: Context, tmp_path: Path) -> None:
    folder = measured.settings.place("results")
    *_, path = write_tables(folder, tmp_path / "out", measured.profile)
    with path.open(newline="") as stream:
        written = [row for row in csv.DictReader(stream) if row["kind"] != "ratio"]
    assert sum(bool(row["ours"]) for row in written) >= 4

    lines = claims_figure.lay_out(judge_claims(measured.evidence, reported.load()))
    (axis,) = claims_figure._draw(lines, "note").axes
    drawn: dict[int, list[tuple[str, list[float]]]] = {}
    for line in axis.lines[1:]:  # after zero
        x, y = (np.asarray(values, dtype=float).tolist() for values in line.get_data())
        drawn.setdefault(round(y[0]), []).append((str(line.get_marker()), x))
    sources = {row["source"] for row in written if row["ours"]}
    assert len(sources) < len({row["source"] for row in written})
    written = [row for row in written if row["source"] in sources]
    places = [place for place, line in enumerate(lines) if line.part is not None]
    assert len(places) == len(written)
    marks = {verdict.value: mark for verdict, (_, mark) in claims_figure._MARKS.items()}
    for place, row in zip(places, written, strict=True):
        here = drawn.get(place, [])
        diamonds = [x for marker, x in here if marker == "D"]
        assert diamonds == ([[float(row["reported"])]] if row["reported"] else [])
        if row["ours"]:
            ((ours,),) = [x for marker, x in here if marker == marks[row["verdict"]]]
            assert ours == pytest.approx(float(row["ours"]), abs=0.0051)
            bars = [x for marker, x in here if marker == "None"]
            low_high = [float(row["low"]), float(row["high"])]
            assert any(bar == pytest.approx(low_high, abs=0.0051) for bar in bars)
        else:
            assert len(here) == len(diamonds)


def test_what_has_not_been_run_says_so(measured: Context) -> None:
    caption = claims_figure.make(measured)
    # Of 6, 4 and 4 differences in tables 1 to 3: LargeFOV's CRF; two over the step; ASPP-L twice.
    assert "5 of 14 have been run" in caption.caption
    assert "verdicts hold for these images alone" in caption.caption
    assert set(caption.runs) == {"poly_b30_6k", "poly_b10_20k", "aspp_l", "fov_3x3_r12"}
    first = measured.out("claims.png").read_bytes()
    claims_figure.make(measured)
    assert measured.out("claims.png").read_bytes() == first


def test_without_any_result_there_is_no_figure(context: Context) -> None:
    with pytest.raises(ReplicationError, match="no claim has its runs yet"):
        claims_figure.make(context)


def test_no_claims_text_is_cut(measured: Context) -> None:
    lines: list[Any] = claims_figure.lay_out(judge_claims(measured.evidence, reported.load()))
    figure = claims_figure._draw(lines, "note")
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    for text in figure.axes[0].get_yticklabels():
        box = text.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
