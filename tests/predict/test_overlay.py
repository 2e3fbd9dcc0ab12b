"""Overlays: each pixel's colour by hand, background left alone, a legend that fits."""

import numpy as np
import pytest

from replication.data.palette import voc_palette
from replication.predict.overlay import blend_labels, draw_overlay

NAMES = ["background", "aeroplane", "Straßenbahn und Oberleitung", "sheep"]


def test_colours_are_blended_and_background_stays() -> None:
    image = np.full((1, 3, 3), 100, np.uint8)
    label = np.array([[0, 1, 2]], np.uint8)
    found = blend_labels(image, label, NAMES, voc_palette())
    # VOC's colours: class 1 is (128, 0, 0), class 2 (0, 128, 0); 0.45 * 100 + 0.55 * colour
    assert found.tolist() == [[[100, 100, 100], [115, 45, 45], [45, 115, 45]]]
    other = blend_labels(image, label, ["road", *NAMES[1:]], voc_palette())
    assert other[0, 0].tolist() == [45, 45, 45]


@pytest.mark.parametrize("shape", [(300, 500), (60, 20), (1, 1), (30, 3000)])
def test_the_photograph_keeps_its_size_and_the_legend_fits(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    label = rng.integers(0, 4, shape).astype(np.uint8)
    picture = np.asarray(draw_overlay(image, label, NAMES, voc_palette()))
    height, width = shape
    assert picture.shape[1] >= width
    assert picture.shape[0] > height
    blended = blend_labels(image, label, NAMES, voc_palette())
    np.testing.assert_array_equal(picture[:height, :width], blended)
    legend = picture[height:]
    assert (legend[:, -2:] == 255).all()  # no name is cut off
    assert (legend[-1] == 255).all()
    for k in np.unique(label[label > 0]):
        assert (legend == voc_palette()[k]).all(axis=2).any()


def test_only_classes_that_occur_are_in_the_legend() -> None:
    image = np.zeros((50, 400, 3), np.uint8)
    legend = np.asarray(draw_overlay(image, np.ones((50, 400), np.uint8), NAMES, voc_palette()))
    coloured = {tuple(c) for c in legend[50:].reshape(-1, 3).tolist() if len(set(c)) > 1}
    assert coloured == {(128, 0, 0)}


def test_names_with_line_breaks_and_without_end_fit_a_legend() -> None:
    names = ["a\nb", "<b>" * 10_000]
    label = np.array([[0, 1]], np.uint8)
    picture = draw_overlay(np.zeros((1, 2, 3), np.uint8), label, names, voc_palette())
    assert picture.width < 2_000
