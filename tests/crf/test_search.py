"""The search against brute force: every point by itself, counted by the evaluation room."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from replication.crf import search as searching
from replication.crf.engine import engine_version, mean_field
from replication.crf.folder import read_folders
from replication.crf.grid import Point, finer, parse_grid
from replication.crf.kept import partial_folder
from replication.crf.options import found_parameters
from replication.crf.parameters import PRESETS, CrfParameters
from replication.crf.published import measure_published
from replication.crf.search import search
from replication.crf.tally import Fixed
from replication.data.labels import read_label
from replication.errors import ReplicationError
from replication.evaluation import confusion
from replication.evaluation.trimap import keep_band
from replication.inference.enlarge import enlarge

GRID = parse_grid("2:4:2", "6:12:6", "10:20:10")
FIXED = Fixed(num_classes=3, iterations=4, w2=1.0, sigma_gamma=2.0)
PYDENSECRF = pytest.param(
    "pydensecrf",
    marks=pytest.mark.skipif(
        engine_version("pydensecrf") is None, reason="pydensecrf2 is not installed"
    ),
)


def brute_force(folders: Any, parameters: CrfParameters | None, engine: str, trimap: int) -> float:
    """Mean IOU in percent of one setting, or of the scores alone for None."""
    counts = np.zeros((3, 3), np.int64)
    for name in folders.ids:
        image = np.array(Image.open(folders.images / f"{name}.png"))
        with np.load(folders.scores / f"{name}.npz") as stored:
            scores = enlarge(stored["scores"], 8, image.shape[:2])
        if parameters is not None:
            scores = mean_field(scores, image, parameters, engine)
        truth = np.array(Image.open(folders.labels / f"{name}.png"))
        if trimap:
            truth = keep_band(truth, trimap)
        labels = scores.argmax(axis=0).astype(np.uint8)
        counts += confusion.confusion_matrix(truth, labels, 3)
    return confusion.mean_iou(counts)


def run(folders: Any, out: Path, **options: Any) -> dict[str, Any]:
    fixed = options.pop("fixed", FIXED)
    items = read_folders(folders.images, folders.scores, folders.labels)
    return search(items, fixed, out, **{"grid": GRID, "jobs": 1, **options})


def point_of(row: dict[str, Any]) -> Point:
    return Point(row["w1"], row["sigma_alpha"], row["sigma_beta"])


def without_seconds(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if "seconds" not in key}


@pytest.mark.parametrize("trimap", [0, 2])
@pytest.mark.parametrize("engine", ["lattice", PYDENSECRF])
def test_every_point_equals_brute_force(
    folders: Any, tmp_path: Path, engine: str, trimap: int
) -> None:
    fixed = Fixed(
        num_classes=3, iterations=4, w2=1.0, sigma_gamma=2.0, engine=engine, trimap=trimap or None
    )
    out = tmp_path / "made" / "search.json"
    result = run(folders, out, fixed=fixed, finer_rounds=1, mode="exact")
    assert json.loads(out.read_text()) == result
    expected = {
        point_of(row): brute_force(folders, fixed.parameters(point_of(row)), engine, trimap)
        for row in result["points"]
    }
    for row in result["points"]:
        assert row["miou"] == pytest.approx(expected[point_of(row)], abs=1e-9)
        assert row["mode"] == "exact"
    before = brute_force(folders, None, engine, trimap)
    assert result["before_miou"] == pytest.approx(before, abs=1e-9)
    coarse = {p: score for p, score in expected.items() if p in GRID.points()}
    first = max(coarse, key=lambda p: coarse[p])
    assert set(expected) - set(coarse) == set(finer(first, GRID, 1, GRID.points()))
    assert {row["round"] for row in result["points"]} == {0, 1}
    assert result["best"]["miou"] == max(row["miou"] for row in result["points"])
    assert result["objective"] == (f"trimap_{trimap}" if trimap else "miou")
    assert result["ids"] == list(folders.ids)
    assert not partial_folder(out).exists()
    assert found_parameters(result) == fixed.parameters(point_of(result["best"]))


def test_the_fast_search_settles_on_an_exact_best(folders: Any, tmp_path: Path) -> None:
    result = run(folders, tmp_path / "search.json")
    assert result["mode"] == "fast"
    assert {row["round"] for row in result["points"]} == {0, 1, 2}
    exact = {row["mode"]: 0 for row in result["points"]}
    assert exact.keys() == {"exact", "fast"}
    best = result["best"]
    alone = brute_force(folders, FIXED.parameters(point_of(best)), "lattice", 0)
    assert best["miou"] == pytest.approx(alone, abs=1e-9)
    for row in result["points"]:
        if row["mode"] == "fast":  # all three classes are true ones here
            assert row["miou"] + result["noise"] < best["miou"]
    # The rounds' centres were those of the exact search too.
    exactly = run(folders, tmp_path / "exact.json", mode="exact")
    assert [point_of(row) for row in exactly["points"]] == [point_of(x) for x in result["points"]]
    assert exactly["best"] == best


_KILLED = """
import os, signal, sys
from pathlib import Path
from replication.crf import kept, search
from replication.crf.folder import read_folders
from replication.crf.grid import parse_grid
from replication.crf.tally import Fixed

add, done = kept.Kept.add, []

def add_and_die(self, part):
    add(self, part)
    done.append(part)
    if len(done) == 7:
        os.kill(os.getpid(), signal.SIGKILL)

kept.Kept.add = add_and_die
root, out = Path(sys.argv[1]), Path(sys.argv[2])
search.search(
    read_folders(root / "images", root / "scores", root / "labels"),
    Fixed(num_classes=3, iterations=4, w2=1.0, sigma_gamma=2.0),
    out,
    grid=parse_grid("2:4:2", "6:12:6", "10:20:10"),
    jobs=1,
)
"""


def test_killed_it_goes_on_and_comes_to_the_same(
    folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run(folders, tmp_path / "undisturbed.json")
    out = tmp_path / "search.json"
    command = [sys.executable, "-c", _KILLED, str(folders.root), str(out)]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not out.exists()
    kept = sorted(partial_folder(out).glob("*.npz"))
    assert len(kept) == 7
    kept[0].write_bytes(b"broken")  # as by a full disk: counted again
    counted = []
    true_tally = searching.tally_image

    def noted(item: Any, fixed: Any, mode: str, points: Any) -> Any:
        counted.append((item.id, mode, points))
        return true_tally(item, fixed, mode, points)

    monkeypatch.setattr(searching, "tally_image", noted)
    result = run(folders, out)
    assert without_seconds(result) == without_seconds(undisturbed)
    assert json.loads(out.read_text()) == result
    assert not partial_folder(out).exists()
    resumed = sum(len(points) for *_, points in counted)
    counted.clear()
    run(folders, tmp_path / "again.json")
    assert resumed < sum(len(points) for *_, points in counted)


def test_kept_counts_of_other_inputs_are_not_taken(
    folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "search.json"
    monkeypatch.setattr("replication.crf.kept.Kept.delete", lambda self: None)
    first = run(folders, out, mode="exact", finer_rounds=0)
    again = run(folders, out, mode="exact", finer_rounds=0)
    assert again["counting_seconds"] == first["counting_seconds"]  # nothing was counted
    label = read_label(folders.labels / "c.png", 3)
    Image.fromarray(255 - 0 * label).save(folders.labels / "c.png")
    changed = run(folders, out, mode="exact", finer_rounds=0)
    fresh = run(folders, tmp_path / "fresh.json", mode="exact", finer_rounds=0)
    assert without_seconds(changed) == without_seconds(fresh)
    assert changed["best"]["miou"] != first["best"]["miou"]
    other = Fixed(num_classes=3, iterations=5, w2=1.0, sigma_gamma=2.0)
    assert run(folders, out, fixed=other, mode="exact", finer_rounds=0)["fixed"]["iterations"] == 5


def test_two_processes_come_to_the_same(folders: Any, tmp_path: Path) -> None:
    alone = run(folders, tmp_path / "alone.json", finer_rounds=1)
    both = run(folders, tmp_path / "both.json", finer_rounds=1, jobs=2)
    assert without_seconds(both) == without_seconds(alone)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "quick"}, "`mode` is 'quick'; use one of: exact, fast"),
        ({"fixed": Fixed(num_classes=3, engine="magic")}, "'magic'; use one of"),
        (
            {"fixed": Fixed(num_classes=3, engine="pydensecrf"), "mode": "fast"},
            "`pydensecrf` has no mode `fast`",
        ),
        ({"jobs": 0}, "`jobs` is 0"),
        ({"fixed": Fixed(num_classes=4)}, r"a\.npz: scores have 3 channels"),
        ({"fixed": Fixed(num_classes=3, stride=4)}, r"a\.npz: .* at output stride 4 reach over"),
    ],
)
def test_bad_requests_are_named(
    folders: Any, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ReplicationError, match=words):
        run(folders, tmp_path / "search.json", **options)


def test_labels_that_do_not_fit_are_named(folders: Any, tmp_path: Path) -> None:
    out = tmp_path / "search.json"
    path = folders.labels / "b.png"
    label = read_label(path, 3)
    Image.fromarray(label[:-1]).save(path)
    with pytest.raises(ReplicationError, match=r"b\.png: the label has 30x41 pixels, .* 31x41"):
        run(folders, out)
    label[0, 0] = 3
    Image.fromarray(label).save(path)
    with pytest.raises(ReplicationError, match=r"b\.png: the label holds the value 3"):
        run(folders, out)
    assert len(list(partial_folder(out).glob("*.npz"))) > 0  # what was counted stays


@pytest.mark.parametrize("trimap", [None, 3])
def test_labels_without_a_pixel_that_counts_are_named(
    folders: Any, tmp_path: Path, trimap: int | None
) -> None:
    for path in folders.labels.glob("*.png"):
        label = read_label(path, 3)
        label[:] = 255 if trimap is None else 1
        Image.fromarray(label).save(path)
    fixed = Fixed(num_classes=3, iterations=2, trimap=trimap)
    with pytest.raises(ReplicationError, match=r"a\.png: neither this label nor any other"):
        run(folders, tmp_path / "search.json", fixed=fixed)


def test_on_real_scores_fast_and_exact_agree(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "voc100"
    ids = tmp_path / "ids.txt"
    ids.write_text("007\n042\n")
    items = read_folders(root / "JPEGImages", root / "scores", root / "SegmentationClass", ids)
    grid = parse_grid("4:5", "67", "3")
    fixed = Fixed(num_classes=21, stride=16, sigma_gamma=1.0)
    found = {
        mode: search(
            items, fixed, tmp_path / f"{mode}.json", grid=grid, finer_rounds=0, mode=mode, jobs=1
        )
        for mode in ("fast", "exact")
    }
    for fast, exact in zip(found["fast"]["points"], found["exact"]["points"], strict=True):
        assert fast["miou"] == pytest.approx(exact["miou"], abs=0.05)
    assert found["fast"]["best"] == found["exact"]["best"]


def test_a_canonical_data_set_is_searched_alike(
    folders: Any, tmp_path: Path, write_dataset: Any
) -> None:
    pixels = {
        name: (
            np.array(Image.open(folders.images / f"{name}.png")),
            np.array(Image.open(folders.labels / f"{name}.png")),
        )
        for name in folders.ids
    }
    dataset = write_dataset(pixels, ["a", "b", "c"])
    items = searching.items_of(dataset, dataset.ids("val"), folders.scores)
    options: dict[str, Any] = {"grid": GRID, "finer_rounds": 0, "jobs": 1}
    result = search(items, FIXED, tmp_path / "dataset.json", **options)
    alike = run(folders, tmp_path / "folders.json", finer_rounds=0)
    assert without_seconds(result) == without_seconds(alike)


@pytest.mark.parametrize("trimap", [0, 2])
def test_published_settings_equal_brute_force(folders: Any, trimap: int) -> None:
    """All five parameters are the preset's own; iterations and normalization the search's."""
    fixed = Fixed(num_classes=3, iterations=4, normalization="symmetric", trimap=trimap or None)
    items = read_folders(folders.images, folders.scores, folders.labels)
    measured = {row["name"]: row["miou"] for row in measure_published(items, fixed, jobs=1)}
    assert list(measured) == list(PRESETS)
    change = {"iterations": 4, "normalization": "symmetric"}
    for name in ("resnet_release", "vgg_aspp_release"):
        parameters = PRESETS[name].parameters.model_copy(update=change)
        expected = brute_force(folders, parameters, "lattice", trimap)
        assert measured[name] == pytest.approx(expected, abs=1e-9)
