"""The stage `evaluate`: one matrix over the set, every file accounted for, a known real figure."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from replication.data.canonical import DataSet
from replication.data.labels import write_label
from replication.errors import ReplicationError
from replication.evaluation.class_counts import HIT, PREDICTED, TRUE
from replication.evaluation.confusion import confusion_matrix, mean_iou
from replication.evaluation.parallel import over_images, processes
from replication.evaluation.run import best_class, evaluate_seed
from replication.inference.enlarge import enlarge
from replication.inference.store import read_scores, write_scores

IDS = ["c", "a", "b"]
SIZES = [(20, 27), (25, 33), (9, 8)]


@pytest.fixture
def dataset(tmp_path: Path, write_dataset: Callable[..., DataSet]) -> DataSet:
    """Three labels of different sizes with void; scores of 4x5; refined labels at random."""
    rng = np.random.default_rng(0)
    pixels = {}
    for name, size in zip(IDS, SIZES, strict=True):
        truth = rng.choice(np.array([0, 1, 2, 255], np.uint8), size)
        pixels[name] = np.zeros((*size, 3), np.uint8), truth
        write_scores(tmp_path / "scores" / f"{name}.npz", rng.normal(size=(4, 4, 5)))
        refined = rng.integers(0, 4, size).astype(np.uint8)
        write_label(tmp_path / "refined" / f"{name}.png", refined)
    (tmp_path / "scores" / "score.json").write_text("{}")
    (tmp_path / "refined" / "refine.json").write_text("{}")
    return write_dataset(pixels, ["a", "b", "c", "d"])


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "scores", tmp_path / "refined"


def read(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def test_equals_counting_by_hand(dataset: DataSet, places: tuple[Path, Path]) -> None:
    scores, refined = places
    before, after = np.zeros((4, 4), int), np.zeros((4, 4), int)
    for name, size in zip(IDS, SIZES, strict=True):
        truth = read(dataset.label_path(name))
        valid = truth != 255
        best = enlarge(read_scores(scores / f"{name}.npz"), 8, size).argmax(0)
        np.add.at(before, (truth[valid], best[valid]), 1)
        np.add.at(after, (truth[valid], read(refined / f"{name}.png")[valid]), 1)
    result = evaluate_seed(dataset, "val", scores, refined, stride=8).measured
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    np.testing.assert_array_equal(result["before"]["confusion"], before)
    np.testing.assert_array_equal(result["after"]["confusion"], after)
    assert result["before"]["miou"] == pytest.approx(mean_iou(before))
    assert result["after"]["miou"] == pytest.approx(mean_iou(after))


def test_images_are_counted_in_the_order_of_their_ids(
    dataset: DataSet, places: tuple[Path, Path]
) -> None:
    counts = evaluate_seed(dataset, "val", *places, stride=8).image_counts
    assert counts.shape == (2, 3, 3, 4)
    for place, name in enumerate(IDS):
        truth = read(dataset.label_path(name))
        expected = confusion_matrix(truth, read(places[1] / f"{name}.png"), 4)
        np.testing.assert_array_equal(counts[1, place, HIT], np.diag(expected))
        np.testing.assert_array_equal(counts[1, place, TRUE], expected.sum(axis=1))
        np.testing.assert_array_equal(counts[1, place, PREDICTED], expected.sum(axis=0))
    other = evaluate_seed(dataset, "val", *places, stride=8, ids=IDS[::-1]).image_counts
    np.testing.assert_array_equal(other[:, ::-1], counts)


def test_pixels_near_contours_are_those_of_a_band_of_ten(
    dataset: DataSet, places: tuple[Path, Path]
) -> None:
    counts = evaluate_seed(dataset, "val", *places, stride=8).near_counts
    for place, name in enumerate(IDS):
        truth = read(dataset.label_path(name))
        void = truth == 255
        band = binary_dilation(void, np.ones((21, 21))) & ~void
        expected = np.zeros((4, 4), int)
        np.add.at(expected, (truth[band], read(places[1] / f"{name}.png")[band]), 1)
        np.testing.assert_array_equal(counts[1, place, HIT], np.diag(expected))
        np.testing.assert_array_equal(counts[1, place, TRUE], expected.sum(axis=1))
        np.testing.assert_array_equal(counts[1, place, PREDICTED], expected.sum(axis=0))


def test_the_trimap_is_mean_iou_within_a_dilated_contour(
    dataset: DataSet, places: tuple[Path, Path]
) -> None:
    measured = evaluate_seed(dataset, "val", *places, stride=8).measured
    labels = {
        "before": lambda name, size: enlarge(
            read_scores(places[0] / f"{name}.npz"), 8, size
        ).argmax(0),
        "after": lambda name, size: read(places[1] / f"{name}.png"),
    }
    for stage, label in labels.items():
        curve = measured[stage]["trimap"]
        assert curve["width"] == list(range(1, 41))
        for width in (1, 2, 40):
            total = np.zeros((4, 4), int)
            for name, size in zip(IDS, SIZES, strict=True):
                truth = read(dataset.label_path(name))
                void = truth == 255
                band = binary_dilation(void, np.ones((2 * width + 1,) * 2)) & ~void
                np.add.at(total, (truth[band], label(name, size)[band]), 1)
            assert curve["miou"][width - 1] == pytest.approx(mean_iou(total), abs=1e-9)


def test_part_of_a_split_and_only_that(dataset: DataSet, places: tuple[Path, Path]) -> None:
    with pytest.raises(ReplicationError, match=r"scores: stale scores for 1 images \(b\)"):
        evaluate_seed(dataset, "val", *places, stride=8, ids=["a", "c"])
    (places[0] / "b.npz").unlink()
    with pytest.raises(ReplicationError, match=r"refined: stale refined labels .*\(b\)"):
        evaluate_seed(dataset, "val", *places, stride=8, ids=["a", "c"])
    (places[1] / "b.png").unlink()
    evaluate_seed(dataset, "val", *places, stride=8, ids=["a", "c"])
    with pytest.raises(ReplicationError, match=r"scores: no scores for 1 images \(b\)"):
        evaluate_seed(dataset, "val", *places, stride=8)


def test_a_refined_label_of_another_size_is_named(
    dataset: DataSet, places: tuple[Path, Path]
) -> None:
    write_label(places[1] / "a.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(ReplicationError, match=r"a\.png: 5x6 pixels, and its true label has 25x33"):
        evaluate_seed(dataset, "val", *places, stride=8)


def test_void_in_a_refined_label_is_named(dataset: DataSet, places: tuple[Path, Path]) -> None:
    write_label(places[1] / "a.png", np.full((25, 33), 255, np.uint8))
    with pytest.raises(ReplicationError, match=r"a\.png: value 255 \(825 pixels\) is outside"):
        evaluate_seed(dataset, "val", *places, stride=8)


def test_scores_of_another_stride_are_named(dataset: DataSet, places: tuple[Path, Path]) -> None:
    with pytest.raises(ReplicationError, match=r"\w\.npz: 4x5 scores at output stride 4 reach"):
        evaluate_seed(dataset, "val", *places, stride=4)


def test_best_class_is_argmax_with_ties() -> None:
    scores = np.random.default_rng(0).integers(0, 3, (21, 30, 40)).astype(np.float32)
    label = best_class(scores)
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, scores.argmax(0))


def test_processes_are_not_started_for_a_handful() -> None:
    assert processes(8, 20, few=100) == 1
    assert processes(8, 250, few=100) == 2
    assert processes(2, 10_000, few=100) == 2
    assert processes(None, 10_000, few=1) >= 1
    with pytest.raises(ReplicationError, match="`jobs` is -1"):
        processes(-1, 10)


def test_results_come_from_several_processes() -> None:
    assert sorted(over_images(pow, [(n, 2) for n in range(6)], "square", 2, few=3)) == [
        0, 1, 4, 9, 16, 25,
    ]  # fmt: skip


def test_a_killed_process_is_one_line() -> None:
    import os

    with pytest.raises(ReplicationError, match="one of 2 processes was killed") as caught:
        list(over_images(os._exit, [(9,)] * 6, "refine", 2, few=3))
    assert "\n" not in str(caught.value)


def test_real_scores_give_the_known_figure(shared: Path) -> None:
    root = shared / "data" / "voc100"
    ids = (root / "ImageSets" / "Segmentation" / "val.txt").read_text().split()
    total = np.zeros((21, 21), np.int64)
    for name in ids:
        truth = read(root / "SegmentationClass" / f"{name}.png")
        scores = read_scores(root / "scores" / f"{name}.npz", 21)
        large = enlarge(scores, 16, (truth.shape[0], truth.shape[1]))
        total += confusion_matrix(truth, best_class(large), 21)
    assert len(ids) == 100
    assert round(mean_iou(total), 2) == 61.67  # ../shared/paper/crf_engine.md


def test_images_of_a_search_can_be_left_out(dataset: DataSet, places: tuple[Path, Path]) -> None:
    scores, refined = places
    left = evaluate_seed(dataset, "val", scores, refined, stride=8, leave_out=["a"])
    alone = evaluate_seed(dataset, "val", *_copies(places, ["c", "b"]), stride=8, ids=["c", "b"])
    assert left.measured == alone.measured
    np.testing.assert_array_equal(left.image_counts, alone.image_counts)
    with pytest.raises(ReplicationError, match=r"all 3 images .* `crf\.search\.exclude`"):
        evaluate_seed(dataset, "val", scores, refined, stride=8, leave_out=IDS)


def _copies(places: tuple[Path, Path], ids: list[str]) -> tuple[Path, Path]:
    """Return folders that hold these ids alone."""
    copies = []
    for place, suffix in zip(places, (".npz", ".png"), strict=True):
        copy = place.with_name(f"{place.name} of some")
        copy.mkdir()
        for name in ids:
            shutil.copy(place / f"{name}{suffix}", copy)
        copies.append(copy)
    return copies[0], copies[1]
