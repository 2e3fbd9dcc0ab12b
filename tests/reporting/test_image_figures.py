"""Figures 8, 10a and 14: the images that their rules name, and the pixels that a trimap holds."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from replication.data.labels import read_label, write_label
from replication.errors import ReplicationError
from replication.evaluation.class_counts import class_counts
from replication.reporting import figure8, figure10a, figure14
from replication.reporting.context import Context
from replication.reporting.pictures import read_before

Predict = Callable[..., None]


def band(truth: np.ndarray, width: int) -> np.ndarray:
    """The authors' script: void dilated by a square of side 2 width + 1, without void itself."""
    square = np.ones((2 * width + 1,) * 2, bool)
    return np.asarray(ndimage.binary_dilation(truth == 255, square) & (truth != 255))


@pytest.mark.parametrize("width", figure10a.WIDTHS)
def test_figure_10a_colours_the_band_alone(context: Context, width: int) -> None:
    truth = read_label(context.dataset.label_path("c"), 3)
    picture, near = figure10a.band(truth, width, context.dataset.palette), band(truth, width)
    assert np.array_equal(picture[near], context.dataset.palette[truth[near]])
    assert (picture[truth == 255] == 255).all()
    assert (picture[~near & (truth != 255)] == 200).all()


def test_figure_10a_needs_a_void_contour(context: Context) -> None:
    assert figure10a.make(context).files[1] == "datasets/demo/voc2012/labels/c.png"
    path = context.dataset.label_path("c")
    truth = read_label(path, 3)
    write_label(path, np.where(truth == 255, 0, truth).astype(np.uint8))
    with pytest.raises(ReplicationError, match=r"c\.png: no pixel is void"):
        figure10a.make(context)


def drop_by_hand(context: Context, name: str, after: np.ndarray) -> float:
    """Mean IOU over true classes in the trimap of 10 pixels, before minus after, by loops."""
    truth = read_label(context.dataset.label_path(name), 3)
    near = band(truth, 10)
    size = truth.shape[0], truth.shape[1]
    before = read_before(context.dataset, name, context.place("scores", "aspp_l"), size, 8)
    means = []
    for label in (before, after):
        ious = [
            100
            * np.sum((label == k) & (truth == k) & near)
            / np.sum(((label == k) | (truth == k)) & near)
            for k in np.unique(truth[near])
        ]
        means.append(np.mean(ious))
    return float(means[0] - means[1])


def test_figure_14_takes_the_largest_drops(context: Context, predict: Predict) -> None:
    rng = np.random.default_rng(3)
    refined = {}
    for name in "abde":
        truth = read_label(context.dataset.label_path(name), 3)
        refined[name] = rng.integers(0, 3, truth.shape).astype(np.uint8)
        if name in "bd":
            refined[name][:] = 3 - truth.clip(1, 2)  # the wrong class everywhere
    predict("aspp_l", **refined)
    expected = {name: drop_by_hand(context, name, label) for name, label in refined.items()}
    worse = sorted((n for n in expected if expected[n] > 0), key=lambda n: -expected[n])
    assert len(worse) >= 2
    places = context.place("scores", "aspp_l"), context.place("refined", "aspp_l")
    drops = figure14.largest_drops(context.dataset, context.ids, *places, jobs=1)
    assert [drop.name for drop in drops] == worse
    assert [drop.points for drop in drops] == pytest.approx([expected[n] for n in worse])
    top = figure14.largest_drops(context.dataset, context.ids, *places, count=1, jobs=1)
    assert top == drops[:1]
    caption = figure14.make(context)
    assert f"{worse[0]} (\N{MINUS SIGN}{expected[worse[0]]:.1f} points)" in caption.alt
    assert caption.runs == ("aspp_l",)


def test_equal_drops_stand_by_name_and_gains_are_not_shown(
    context: Context, predict: Predict
) -> None:
    predict("aspp_l")  # the CRF finds the truth
    with pytest.raises(ReplicationError, match="makes no image worse"):
        figure14.make(context)


def test_a_class_that_is_only_predicted_does_not_halve_the_mean() -> None:
    confusion = np.array([[98, 0, 2], [0, 0, 0], [0, 0, 0]])
    (mean,) = figure14.mean_iou_of_true(class_counts(confusion)[None])
    assert mean == pytest.approx(98.0)
    assert np.isnan(figure14.mean_iou_of_true(np.zeros((1, 3, 3), np.int64))).all()


def test_figure_8_shows_three_networks_on_other_images_than_figure_6(
    context: Context, predict: Predict
) -> None:
    for run in ("poly_b10_20k", "aspp_l"):
        predict(run)
    with pytest.raises(ReplicationError, match=r"`dvc repro score@aspp_s`"):
        figure8.make(context)
    predict("aspp_s")
    caption = figure8.make(context)
    assert caption.runs == ("poly_b10_20k", "aspp_s", "aspp_l")
    assert caption.files[1] == "scores/demo/aspp_s/seed_0"
    assert "5 of 6 images" in caption.caption
    assert context.out("figure8.pdf").read_bytes().startswith(b"%PDF")
