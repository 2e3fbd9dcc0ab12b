"""Figure 10b and the dot plot: the numbers of the results, and what is missing."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from replication.errors import ReplicationError
from replication.paper import reported
from replication.reporting import dot_plot, figure10b
from replication.reporting.comparison import compare
from replication.reporting.context import Context
from replication.reporting.evidence import Evidence
from replication.reporting.tables import write_tables

MakeResult = Callable[..., dict[str, Any]]


@pytest.fixture
def write(context: Context, make_result: MakeResult) -> Callable[..., None]:
    """A function that writes a result with a trimap for each seed, linear in the width."""

    def write_result(run: str, starts: Sequence[float] = (40.0,), **more: Any) -> None:
        result = make_result(
            run,
            before=starts,
            after=[start + 9 for start in starts],
            speeds=[1.0] * len(starts),
            **more,
        )
        for seed, start in zip(result["seeds"], starts, strict=True):
            for stage, more_ in (("before", 0), ("after", 5)):
                miou = [None, *(start + more_ + width / 10 for width in range(2, 41))]
                seed[stage]["trimap"] = {"width": list(range(1, 41)), "miou": miou}
        path = context.result_path(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result))

    return write_result


def test_curves_are_means_over_seeds_and_stand_in_a_table(
    context: Context, write: Callable[..., None]
) -> None:
    write("aspp_l", (40.0, 46.0))
    write("poly_b10_20k", (30.0,))
    caption = figure10b.make(context)
    assert caption.runs == ("poly_b10_20k", "aspp_l")
    assert "numbers not comparable with the paper's" in caption.caption
    table = pd.read_csv(context.out("figure10b.tsv"), sep="\t", index_col="width")
    assert list(table.index) == list(range(1, 41))
    # every column that dvc.yaml names, filled or empty
    runs = reported.load().runs()
    assert list(table.columns) == [f"{run}_{s}" for run in runs for s in ("before", "after")]
    assert table["aspp_l_before"][2] == pytest.approx(43.2)
    assert table["aspp_l_after"][40] == pytest.approx(52.0)
    assert table["poly_b10_20k_before"][40] == pytest.approx(34.0)
    assert table.loc[1].isna().all()  # no pixel in the narrowest band
    assert table["aspp_s_after"].isna().all()


def test_before_is_dashed_and_the_figure_the_same_each_time(
    context: Context, write: Callable[..., None]
) -> None:
    write("poly_b10_20k")
    curves = figure10b.trimap_curves(context.results(["poly_b10_20k"]))
    figure = figure10b._draw(curves, {"Table 2": ["poly_b10_20k"]}, "note")
    before, after = figure.axes[0].lines
    assert np.allclose(after.get_ydata()[1:] - before.get_ydata()[1:], 5)
    assert (before.get_linestyle(), after.get_linestyle()) == ("--", "-")
    first = [context.out(f"figure10b.{s}") for s in ("png", "pdf")]
    figure10b.make(context)
    bytes_ = [path.read_bytes() for path in first]
    figure10b.make(context)
    assert [path.read_bytes() for path in first] == bytes_


def test_results_without_a_trimap_or_a_crf(
    context: Context, write: Callable[..., None], make_result: MakeResult
) -> None:
    path = context.result_path("aspp_s")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(make_result("aspp_s")))
    with pytest.raises(ReplicationError, match="no result has a trimap"):
        figure10b.make(context)
    write("aspp_l")
    result = json.loads(context.result_path("aspp_l").read_text())
    result["seeds"][0]["after"] = None
    context.result_path("aspp_l").write_text(json.dumps(result))
    context = Context(context.settings)  # results are read once
    assert figure10b.make(context).runs == ("aspp_l",)


def dots(folder: Path) -> dict[str, dot_plot.Panel]:
    paper = reported.load()
    evidence = Evidence(folder, "demo")
    blocks = dot_plot.lay_out_cells([compare(t, evidence, paper) for t in paper.tables.values()])
    return {panel.title: panel for block in blocks for panel in block.panels}


def test_dots_are_the_cells_of_the_tables(
    write_counted: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_counted("aspp_l", before=(0.75, 0.74), after=(0.8, 0.8))
    write_counted("fov_3x3_r12", before=(0.7,), after=(0.75,))
    write_tables(folder, tmp_path / "out", "demo")
    rows = []
    for n in (1, 2, 3):
        with (tmp_path / "out" / f"table{n}.csv").open(newline="") as stream:
            rows += list(csv.DictReader(stream))
    panels = dots(folder)
    others = {  # of tables 4, 6, 7, 9: one column there, whose rows differ in the CRF
        "before": [
            *(68.72, 71.27, 73.28, 74.87, 75.54, 76.35, 37.6, 39.6, 41.4, 42.9, 43.5, 44.7),
            *(58.90, 63.10, 64.40, 62.18, 62.76, 62.97, 64.89, 66.6, 69.2, 70.4, 71.0),
        ],
        "after": [77.69, 39.6, 45.7, 64.94, 64.18, 65.94, 71.4],
    }
    for title, name in (("before", "miou_before"), ("after", "miou_after")):
        printed = [row for row in rows if f"reported_{name}" in row]
        drawn = panels[f"Mean IOU, {title} CRF (%)"].dots
        drawn, rest = drawn[: len(printed)], drawn[len(printed) :]
        assert [dot.paper for dot in rest] == others[title]
        assert [dot.paper for dot in drawn] == [float(row[f"reported_{name}"]) for row in printed]
        for dot, row in zip(drawn, printed, strict=True):
            assert ("" if dot.ours is None else f"{dot.ours:.2f}") == row[f"ours_{name}"]
            bounds = json.loads(row[f"ours_interval_{name}"] or "null")
            assert (None if dot.interval is None else list(dot.interval)) == bounds
    assert [dot.ours for dot in panels["training speed\n(ratio to the first row)"].dots] == [
        None
    ] * 4
    missing = [dot.missing for dot in panels["training speed\n(ratio to the first row)"].dots]
    assert missing == [*["not run"] * 3, "no ratio"]  # 3x3 rate 12 ran, the first row did not
    sizes = panels["parameters\n(millions)"].dots
    assert [dot.paper for dot in sizes] == [134.3, 65.1, 65.1, 20.5]
    assert [dot.ours for dot in sizes] == [None, None, None, 0.3]
    lines = [dot.line for dot in panels["Mean IOU, before CRF (%)"].dots]
    assert lines[:13] == [
        1,
        2,
        3,
        4,
        6,
        7,
        8,
        9,
        10,
        12,
        13,
        14,
        16,
    ]  # between them the tables' names


def test_rows_are_named_by_their_keys() -> None:
    tables = reported.load().tables
    names = [dot_plot.row_name(t, t.rows[0]) for t in tables.values()]
    assert names == [
        *("7x7, rate 4", "step, batch 30, iterations 6,000", "LargeFOV, rates 12", "plain"),
        *("DeepLab-CRF-LargeFOV-COCO", "vgg16, LargeFOV", "resnet101"),
        *("Adelaide_Context, pre-release", "vgg16, LargeFOV"),
    ]


def test_rows_of_flags_are_named_by_those_that_are_set() -> None:
    table = reported.load().tables["table3"].model_dump()
    table["keys"] = [{"name": name, "title": name.upper()} for name in ("msc", "aug")]
    row = table["rows"][0]
    table["rows"] = [
        {**row, "id": f"{msc} {aug}", "keys": {"msc": msc, "aug": aug}}
        for msc, aug in ((False, False), (True, False), (True, True))
    ]
    flags = reported.Table.model_validate({**table, "effects": []})
    assert [dot_plot.row_name(flags, r) for r in flags.rows] == ["plain", "MSC", "MSC, AUG"]


def test_the_dot_plot_says_that_sample_data_is_not_comparable(
    context: Context, write: Callable[..., None]
) -> None:
    with pytest.raises(ReplicationError, match="no result yet"):
        dot_plot.make(context)
    write("aspp_l")
    context = Context(context.settings)
    caption = dot_plot.make(context)
    assert "numbers not comparable with the paper's" in caption.caption
    assert "2 of 6" in caption.caption
    assert caption.files == ("results/demo/aspp_l.json",)
    path = context.out("paper_against_ours.png")
    first = path.read_bytes()
    assert dot_plot.make(context) == caption
    assert path.read_bytes() == first
    with Image.open(path) as picture:
        assert picture.width > 1000


def test_no_text_of_the_dot_plot_leaves_its_panel(
    context: Context, write: Callable[..., None]
) -> None:
    write("aspp_l")
    write("fov_7x7_r4")
    paper = reported.load()
    compared = [compare(t, context.evidence, paper) for t in paper.tables.values()]
    tables = [table for table in compared if table.results()]
    assert [table.table.number for table in tables] == [1, 3]
    figure = dot_plot._draw(dot_plot.lay_out_cells(tables), "note")
    figure.draw_without_rendering()
    axes = [axis for part in figure.subfigs for axis in part.axes]
    assert len(axes) == 5
    for axis in axes:
        for text in axis.texts:
            box, room = text.get_window_extent(), axis.get_window_extent()
            assert room.x0 <= box.x0
            assert box.x1 <= room.x1
