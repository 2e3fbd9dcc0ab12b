"""`replication evaluate`: its figures against independent ones, its options, its formats."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import maximum_filter

from replication.data.labels import write_label
from replication.evaluation.folder import Options, evaluate_folder
from replication.evaluation.run import best_class
from replication.inference.enlarge import enlarge
from replication.inference.store import read_scores

SIZES = {"a": (20, 31), "b": (17, 12), "c": (40, 33)}  # as the fixture folders has them
KEYS = {
    "miou", "per_class_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "images",
    "confusion", "trimap", "confidence_interval", "num_classes", "ignore_index",
}  # fmt: skip


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def iou(pairs: list[tuple[np.ndarray, np.ndarray]], classes: int) -> list[float | None]:
    """IOU by class from flat arrays of the pixels that count, class by class, in percent."""
    found: list[float | None] = []
    for k in range(classes):
        both = sum(int(((t == k) & (p == k)).sum()) for t, p in pairs)
        either = sum(int(((t == k) | (p == k)).sum()) for t, p in pairs)
        found.append(100 * both / either if either else None)
    return found


def mean(values: list[float | None]) -> float | None:
    defined = [v for v in values if v is not None]
    return sum(defined) / len(defined) if defined else None


def independently(
    folders: tuple[Path, Path], classes: int, widths: list[int]
) -> tuple[list[float | None], list[float | None]]:
    """IOU by class and mean IOU by width, by dilating with a square and counting sets of pixels."""
    images = [(read(p), read(folders[0] / p.name)) for p in sorted(folders[1].glob("*.png"))]
    whole = iou([(t[t != 255], p[t != 255]) for t, p in images], classes)
    curve = []
    for width in widths:
        pairs = []
        for truth, guess in images:
            void = (truth == 255).astype(np.uint8)
            near = maximum_filter(void, 2 * width + 1, mode="constant") > 0
            band = near & (void == 0)
            pairs.append((truth[band], guess[band]))
        curve.append(mean(iou(pairs, classes)))
    return whole, curve


def test_figures_equal_an_independent_computation(folders: tuple[Path, Path], figures: Any) -> None:
    found = figures(folders)
    assert set(found) == KEYS
    whole, curve = independently(folders, 4, list(range(1, 41)))
    assert found["per_class_iou"] == pytest.approx(whole, abs=1e-9)
    assert found["per_class_iou"][3] is None
    assert found["miou"] == pytest.approx(mean(whole), abs=1e-9)
    assert found["trimap"]["width"] == list(range(1, 41))
    assert found["trimap"]["miou"] == pytest.approx(curve, abs=1e-9)
    confusion = np.array(found["confusion"])
    assert confusion.sum() == sum(h * w - 9 for h, w in SIZES.values())
    assert found["pixel_accuracy"] == pytest.approx(100 * np.trace(confusion) / confusion.sum())
    assert found["images"] == 3
    interval = found["confidence_interval"]
    low, high = interval.pop("miou")
    assert low < found["miou"] < high
    assert interval == {"level": 95.0, "resamples": 1000, "seed": 0}


def test_real_predictions_equal_an_independent_computation(
    shared: Path, tmp_path: Path, figures: Any
) -> None:
    """Mean IOU and all forty widths to 1e-9, on enlarged scores of a real network."""
    root = shared / "data" / "voc100"
    folders = tmp_path / "predictions", tmp_path / "labels"
    folders[1].mkdir()
    ids = (root / "ImageSets" / "Segmentation" / "val.txt").read_text().split()
    for name in ids:
        (folders[1] / f"{name}.png").symlink_to(root / "SegmentationClass" / f"{name}.png")
        truth = read(root / "SegmentationClass" / f"{name}.png")
        scores = enlarge(read_scores(root / "scores" / f"{name}.npz"), 16, truth.shape)
        write_label(folders[0] / f"{name}.png", best_class(scores))
    found = figures(folders, classes=21)
    truths = {name: read(folders[1] / f"{name}.png") for name in ids}
    guesses = {name: read(folders[0] / f"{name}.png").astype(int) for name in ids}
    whole = iou([(t[t != 255], guesses[n][t != 255]) for n, t in truths.items()], 21)
    assert found["miou"] == pytest.approx(mean(whole), abs=1e-9)
    bands = {name: truth == 255 for name, truth in truths.items()}
    for width in range(1, 41):
        total = np.zeros(21 * 21, int)
        for name, truth in truths.items():
            bands[name] = band = grown(bands[name])  # w squares of side 3 make one of 2w + 1
            pairs = (truth.astype(int) * 21 + guesses[name])[band & (truth != 255)]
            total += np.bincount(pairs, minlength=21 * 21)
        counts = total.reshape(21, 21)
        union = counts.sum(0) + counts.sum(1) - np.diag(counts)
        expected = np.mean(100 * np.diag(counts)[union > 0] / union[union > 0])
        assert found["trimap"]["miou"][width - 1] == pytest.approx(expected, abs=1e-9)


def grown(void: np.ndarray) -> np.ndarray:
    """Dilate by a square of side 3: first along rows, then along columns."""
    wide = void.copy()
    wide[:, 1:] |= void[:, :-1]
    wide[:, :-1] |= void[:, 1:]
    high = wide.copy()
    high[1:] |= wide[:-1]
    high[:-1] |= wide[1:]
    return high


def test_options_are_obeyed(folders: tuple[Path, Path], tmp_path: Path, figures: Any) -> None:
    plain = figures(folders, "--trimap", "0", "--bootstrap", "0")
    assert plain["trimap"] is None
    assert plain["confidence_interval"] is None
    assert plain["miou"] == figures(folders)["miou"]
    assert figures(folders, "--trimap", "3")["trimap"]["width"] == [1, 2, 3]
    again = [figures(folders, "--seed", seed)["confidence_interval"] for seed in "778"]
    assert again[0] == again[1] != again[2]
    ids = tmp_path / "ids.txt"
    ids.write_text("c\na\n")
    assert figures(folders, "--ids", str(ids))["images"] == 2
    names = tmp_path / "classes.txt"
    names.write_text("sky\nsea\nsand\nship\n")
    assert figures(folders, "--classes", str(names))["classes"] == ["sky", "sea", "sand", "ship"]


def test_another_void_label(folders: tuple[Path, Path], figures: Any, refused: Any) -> None:
    expected = figures(folders)
    for path in folders[1].glob("*.png"):
        label = read(path).copy()
        label[label == 255] = 9
        write_label(path, label)
    found = figures(folders, "--ignore-index", "9")
    assert found.pop("ignore_index") == 9
    assert expected.pop("ignore_index") == 255
    assert found == expected
    assert "value 9 (9 pixels) is outside the 4 classes and is not void (255)" in refused(folders)


def test_grey_predictions_are_read_as_palette_ones(
    folders: tuple[Path, Path], figures: Any
) -> None:
    expected = figures(folders)
    for path in folders[0].glob("*.png"):
        Image.fromarray(read(path).copy()).save(path)
        with Image.open(path) as image:
            assert image.mode == "L"
    assert figures(folders) == expected


def test_several_processes_give_the_same(folders: tuple[Path, Path]) -> None:
    for name in list(SIZES):
        for n in range(200):
            for folder in folders:
                os.link(folder / f"{name}.png", folder / f"{name}{n}.png")
    one, two = (evaluate_folder(*folders, Options(4, jobs=n, width=5)) for n in (1, 2))
    assert one == two
    assert one["images"] == 603


def test_out_and_markdown(folders: tuple[Path, Path], tmp_path: Path, call: Any) -> None:
    names = tmp_path / "classes.txt"
    names.write_text("sky\nsea\nsand | mud\nship\n")
    out = tmp_path / "new" / "mine.json"
    done = call(folders, "--out", str(out), "--markdown", "--classes", str(names))
    found = json.loads(out.read_text())
    assert f"| mean IOU | {found['miou']:.2f} [" in done.stdout
    assert f"| sky | {found['per_class_iou'][0]:.2f} |" in done.stdout
    assert r"| sand \| mud |" in done.stdout
    assert "| ship | - | - | 0 |" in done.stdout
    assert "| trimap width (pixels) | 1 | 2 | 5 | 10 | 20 | 40 |" in done.stdout
    short = call(folders, "--out", str(out)).stdout
    assert short.count("\n") == 1
    assert f"mean IOU {found['miou']:.2f} % over 3 images" in short
    bare = call(folders, "--markdown", "--bootstrap", "0", "--trimap", "0").stdout
    assert f"| mean IOU | {found['miou']:.2f} |" in bare
    assert "trimap" not in bare


def test_all_void_is_null(tmp_path: Path, call: Any, figures: Any) -> None:
    write_label(tmp_path / "p" / "a.png", np.zeros((4, 5), np.uint8))
    write_label(tmp_path / "t" / "a.png", np.full((4, 5), 255, np.uint8))
    found = figures((tmp_path / "p", tmp_path / "t"))
    assert found["miou"] is None
    assert set(found["trimap"]["miou"]) == {None}
    assert found["confidence_interval"]["miou"] is None
    assert "| mean IOU | - |" in call((tmp_path / "p", tmp_path / "t"), "--markdown").stdout
