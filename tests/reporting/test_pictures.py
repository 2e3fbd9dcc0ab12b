"""Which images are shown, in which colours, and that nothing is mixed up in a grid."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from replication.data.canonical import DataSet
from replication.data.palette import voc_palette
from replication.errors import ReplicationError
from replication.reporting.context import Context, choose
from replication.reporting.pictures import (
    Row,
    colours,
    evenly_spaced,
    in_lines,
    lay_out,
    read_after,
    read_before,
    read_truth,
)
from replication.reporting.style import save


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(1, "5"), (2, "27"), (4, "1368"), (5, "13579"), (10, "0123456789"), (12, "0123456789")],
)
def test_evenly_spaced(count: int, chosen: str) -> None:
    assert evenly_spaced("9876543210", count) == list(chosen)


def test_void_is_white_and_the_palette_untouched() -> None:
    palette = voc_palette()
    label = np.array([[0, 1], [2, 255]], np.uint8)
    coloured = colours(label, palette)
    assert coloured.tolist() == [[[0, 0, 0], [128, 0, 0]], [[0, 128, 0], [255, 255, 255]]]
    assert palette[255].tolist() == [224, 224, 192]


def test_a_grid_shows_each_picture_in_its_place_and_names_the_classes(
    context: Context, tmp_path: Path
) -> None:
    rows = []
    for name in "ab":
        image, truth = read_truth(context.dataset, name)
        rows.append(Row(f"{name}!", (image, truth)))
    figure = lay_out(context.dataset, ["Image", "Truth"], rows, "two", more={"else": "0.5"})
    axes = np.array(figure.axes).reshape(2, 2)
    for line, name in enumerate("ab"):
        image, truth = read_truth(context.dataset, name)
        expected = colours(truth, context.dataset.palette)
        assert np.array_equal(axes[line, 0].images[0].get_array(), image)
        assert np.array_equal(axes[line, 1].images[0].get_array(), expected)
        assert axes[line, 0].get_ylabel() == f"{name}!"
    assert [axis.get_title() for axis in axes[0]] == ["Image", "Truth"]
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["background", "disc", "star", "void (not judged)", "else"]
    save(figure, tmp_path / "grid")
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.width > 1000


@pytest.mark.parametrize(
    ("name", "length", "lines"),
    [
        ("2007_000129", 11, ["2007_000129"]),
        ("frankfurt_000066_000019", 18, ["frankfurt_000066_", "000019"]),
        ("frankfurt_000066_000019", 10, ["frankfurt_", "000066_", "000019"]),
        ("a_b__c", 3, ["a_", "b__", "c"]),
        ("_a", 2, ["_a"]),
        ("photograph of a cat", 8, ["photogra", "ph of a ", "cat"]),
    ],
)
def test_long_names_are_broken_after_underscores(name: str, length: int, lines: list[str]) -> None:
    assert in_lines(name, length).split("\n") == lines


@pytest.mark.parametrize("columns", [4, 6])
def test_names_do_not_leave_their_rows(write_dataset: Callable[..., DataSet], columns: int) -> None:
    names = ["frankfurt_000066_000019", "munster_000083_000019", "without_any_underscore" * 2]
    picture = np.zeros((20, 40, 3), np.uint8)
    dataset = write_dataset({"a": (picture, np.zeros((20, 40), np.uint8))}, ["background"])
    rows = [Row(name, [picture] * columns) for name in names]
    figure = lay_out(dataset, ["picture"] * columns, rows, "wide pictures", more={"one": "0.5"})
    figure.draw_without_rendering()
    for row, name in zip(np.array(figure.axes).reshape(3, columns), names, strict=True):
        text, room = row[0].yaxis.label, row[0].get_window_extent()
        assert text.get_text().replace("\n", "") == name
        box = text.get_window_extent()
        assert room.y0 <= box.y0
        assert box.y1 <= room.y1
        assert box.x0 >= 0


def test_before_is_the_best_enlarged_score_and_after_the_stored_label(
    context: Context, predict: Callable[..., None]
) -> None:
    stored = np.full((41, 57), 2, np.uint8)
    predict("aspp_l", a=stored)
    place = context.place("refined", "aspp_l")
    assert np.array_equal(read_after(context.dataset, "a", place, (41, 57)), stored)
    with pytest.raises(ReplicationError, match=r"a\.png: 57x41 pixels, its image has 57x40"):
        read_after(context.dataset, "a", place, (40, 57))
    before = read_before(context.dataset, "a", context.place("scores", "aspp_l"), (41, 57), 8)
    with np.load(context.place("scores", "aspp_l") / "a.npz") as archive:
        assert np.array_equal(before[::8, ::8], archive["scores"].argmax(axis=0))


def test_the_example_covers_nearest_to_a_quarter(context: Context) -> None:
    assert choose(context.dataset, context.ids) == ("c", 1)  # 24 x 24 of 41 x 57
    assert choose(context.dataset, ["a", "b"]) == ("b", 2)  # 11 x 11 of 33 x 49 over 10 x 10
