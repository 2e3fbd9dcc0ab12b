"""The search's heat map: each number in its place, and the same bytes each time."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from replication.errors import ReplicationError
from replication.reporting.context import Context
from replication.reporting.heatmap import _dots, _draw, _limits, heatmap, make, nearest, table

GRID = {"w1": [3.0, 4.0, 5.0], "sigma_alpha": [30.0, 40.0, 50.0, 60.0], "sigma_beta": [3.0, 4.0]}
FINER = [(4.5, 65.0, 3.5), (4.0, 65.0, 3.5), (4.5, 60.0, 2.5), (4.6, 60.0, 2.5)]


def row(point: tuple[float, ...], number: int, **changes: Any) -> dict[str, Any]:
    w1, alpha, beta = point
    miou = 60 + w1 / 10 + alpha / 1_000 + beta / 100
    made = {"w1": w1, "sigma_alpha": alpha, "sigma_beta": beta, "miou": miou, "mode": "fast"}
    return {**made, "round": number, **changes}


@pytest.fixture
def result() -> dict[str, Any]:
    points = [row(p, 0) for p in product(*GRID.values())] + [row(p, 1) for p in FINER]
    best = row((4.5, 65.0, 3.5), 1)
    return {
        "points": points,
        "grid": GRID,
        "best": {key: best[key] for key in ("w1", "sigma_alpha", "sigma_beta", "miou")},
        "before_miou": 58.0,
        "objective": "miou",
        "ids": ["a", "b"],
    }


def test_squares_hold_the_coarse_points(result: dict[str, Any]) -> None:
    values = table(result["points"], GRID, 4.0)
    assert values.shape == (2, 4)
    assert values[1, 2] == row((4.0, 50.0, 4.0), 0)["miou"]
    assert not np.isnan(values).any()
    assert np.isnan(table(result["points"], GRID, 9.0)).all()


def test_dots_are_the_finer_points_of_the_nearest_panel(result: dict[str, Any]) -> None:
    places = [
        [
            (p["w1"], p["sigma_alpha"], p["sigma_beta"])
            for p in _dots(result["points"], GRID["w1"], k)
        ]
        for k in range(3)
    ]
    # 4.5 is as near to 4 as to 5, and hides 4 at the same place, being better
    assert places == [[], [(4.5, 60.0, 2.5), (4.5, 65.0, 3.5)], [(4.6, 60.0, 2.5)]]
    assert [nearest(x, [3, 4, 5]) for x in (1, 3.5, 3.6, 9)] == [0, 0, 1, 2]


def test_axes_make_room_for_dots(result: dict[str, Any]) -> None:
    assert _limits(result["points"], "sigma_alpha", [25.0, 65.0]) == (25.0, 67.0)
    least, most = _limits(result["points"], "sigma_beta", [2.5, 4.5])
    assert (least, most) == (pytest.approx(2.4), 4.5)


def test_one_panel_for_each_w1_and_one_ring(result: dict[str, Any]) -> None:
    figure = _draw(result)
    panels = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title() for axis in panels] == ["$w_1$ = 3", "$w_1$ = 4", "$w_1$ = 5"]
    rings = [
        [c.get_offsets().tolist() for c in axis.collections if not c.get_facecolors().size]
        for axis in panels
    ]
    assert rings == [[], [[[65.0, 3.5]]], []]
    assert figure.axes[-1].get_ylabel() == "mean IOU (%)"
    assert "58.00 %" in figure.get_suptitle()


def test_writes_both_files_the_same_each_time(result: dict[str, Any], tmp_path: Path) -> None:
    written = heatmap(result, tmp_path / "figures" / "crf.demo")
    assert [p.name for p in written] == ["crf.demo.png", "crf.demo.pdf"]
    with Image.open(written[0]) as image:
        assert image.width > 1000
    again = heatmap(result, tmp_path / "again")
    assert [p.read_bytes() for p in written] == [p.read_bytes() for p in again]


def test_a_single_point_and_a_trimap_are_drawn(result: dict[str, Any], tmp_path: Path) -> None:
    point = row((4.0, 50.0, 3.0), 0)
    grid = {"w1": [4.0], "sigma_alpha": [50.0], "sigma_beta": [3.0]}
    best = {key: point[key] for key in ("w1", "sigma_alpha", "sigma_beta", "miou")}
    small = {**result, "points": [point], "grid": grid, "best": best, "objective": "trimap_5"}
    assert _draw(small).axes[-1].get_ylabel() == "mean IOU (%), 5 px trimap"
    assert heatmap(small, tmp_path / "small")


def test_nine_panels_fill_three_rows(result: dict[str, Any]) -> None:
    grid = {**GRID, "w1": [float(k) for k in range(1, 10)]}
    figure = _draw({**result, "grid": grid, "points": [row(p, 0) for p in product(*grid.values())]})
    assert len([axis for axis in figure.axes if axis.get_title()]) == 9


def test_the_caption_names_the_search_and_its_best(
    result: dict[str, Any], context: Context
) -> None:
    with pytest.raises(ReplicationError, match=r"vgg_aspp\.json does not exist"):
        make(context, "vgg_aspp")
    path = context.settings.place("searches") / "vgg_aspp.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"chosen": "fixed", "parameters": {}}))
    with pytest.raises(ReplicationError, match="were given, not searched"):
        make(context, "vgg_aspp")
    found = result | {"chosen": "searched", "run": "aspp_l", "fixed": {}}
    path.write_text(json.dumps(found))
    caption = make(context, "vgg_aspp")
    assert caption.runs == ("aspp_l",)
    assert caption.files == ("searches/demo/vgg_aspp.json",)
    assert "sigma alpha 65, sigma beta 3.5" in caption.alt
    assert context.out(caption.name + ".png").is_file()
