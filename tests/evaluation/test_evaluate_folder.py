"""`replication evaluate` as anyone would call it: figures, formats, each mistake in one line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from scipy.ndimage import maximum_filter
from typer.testing import CliRunner

from replication.cli import app
from replication.data.labels import write_label
from replication.errors import ReplicationError
from replication.evaluation.folder import Options, evaluate_folder
from replication.evaluation.run import best_class
from replication.inference.enlarge import enlarge
from replication.inference.store import read_scores

SIZES = {"a": (20, 31), "b": (17, 12), "c": (40, 33)}
KEYS = {
    "miou", "per_class_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "images",
    "confusion", "trimap", "confidence_interval", "num_classes", "ignore_index",
}  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and labels of three images: classes 0, 1, 2 of 4; 255 is void."""
    rng = np.random.default_rng(0)
    guessed, true = tmp_path / "predictions", tmp_path / "labels"
    for name, size in SIZES.items():
        truth = rng.integers(0, 3, size).astype(np.uint8)
        truth[5:8, 3:6] = 255
        write_label(true / f"{name}.png", truth)
        guess = np.where(rng.random(size) < 0.5, truth % 255, rng.integers(0, 3, size))
        write_label(guessed / f"{name}.png", guess.astype(np.uint8))
    return guessed, true


def call(folders: tuple[Path, Path], *more: str, classes: int = 4) -> Result:
    predictions, labels = map(str, folders)
    arguments = ["evaluate", "--predictions", predictions, "--labels", labels]
    return CliRunner().invoke(app, [*arguments, "--num-classes", str(classes), *more])


def figures(folders: tuple[Path, Path], *more: str, classes: int = 4) -> dict[str, Any]:
    done = call(folders, *more, classes=classes)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(folders: tuple[Path, Path], *more: str, classes: int = 4) -> str:
    done = call(folders, *more, classes=classes)
    assert isinstance(done.exception, ReplicationError), done.output
    assert done.stdout == ""
    message = str(done.exception)
    assert "\n" not in message
    return message


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


def test_figures_equal_an_independent_computation(folders: tuple[Path, Path]) -> None:
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


def test_real_predictions_equal_an_independent_computation(shared: Path, tmp_path: Path) -> None:
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


def test_options_are_obeyed(folders: tuple[Path, Path], tmp_path: Path) -> None:
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


def test_another_void_label(folders: tuple[Path, Path]) -> None:
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


def test_grey_predictions_are_read_as_palette_ones(folders: tuple[Path, Path]) -> None:
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


def test_out_and_markdown(folders: tuple[Path, Path], tmp_path: Path) -> None:
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


Change = Callable[[Path, Path], Any]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda p, _: write_label(p / "b.png", np.zeros((12, 17), np.uint8)),
            r"b.png: 12x17 pixels, and its true label has 17x12",
        ),
        (
            lambda p, _: write_label(p / "b.png", np.full((17, 12), 4, np.uint8)),
            "b.png: value 4 (204 pixels) is outside the 4 classes",
        ),
        (
            lambda p, _: write_label(p / "b.png", np.full((17, 12), 255, np.uint8)),
            "b.png: value 255 (204 pixels) is outside the 4 classes",
        ),
        (
            lambda _, t: write_label(t / "b.png", np.full((17, 12), 7, np.uint8)),
            "b.png: in its true label, value 7 (204 pixels)",
        ),
        (
            lambda p, _: Image.new("RGB", (12, 17)).save(p / "b.png"),
            "predictions/b.png: the label is RGB, colours in place of class indices",
        ),
        (
            lambda _, t: Image.new("RGB", (12, 17)).save(t / "b.png"),
            "labels/b.png: the label is RGB, colours in place of class indices",
        ),
        (lambda p, _: (p / "b.png").write_bytes(b"nonsense"), "b.png: the label is no PNG"),
        (
            lambda p, _: (p / "b.png").write_bytes((p / "b.png").read_bytes()[:90]),
            "b.png: the label PNG is broken or cut short",
        ),
        (lambda p, _: (p / "b.png").unlink(), "no prediction for 1 of 3 images (b)"),
        (lambda _, t: (t / "b.png").unlink(), "1 predictions have no label (b)"),
        (
            lambda p, _: [f.rename(f.with_suffix(".jpg")) for f in p.glob("*")],
            "predictions: no predictions, ID.png, in this folder (it holds 3 other files",
        ),
        (lambda _, t: [f.unlink() for f in t.glob("*")], "labels: no labels, ID.png, in this"),
        (lambda p, _: p.rename(p.with_name("elsewhere")), "predictions: the folder can't be read"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    folders: tuple[Path, Path], tmp_path: Path, change: Change, said: str
) -> None:
    out = tmp_path / "out" / "mine.json"
    change(*folders)
    assert said in refused(folders, "--out", str(out))
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "ids.txt: the list of ids can't be read"),
        ("", "ids.txt: the list of ids is empty"),
        ("a\nb\na\n", "ids.txt: id `a` is listed 2 times"),
        ("labels/a.png\n", "ids.txt: `labels/a.png` is no id"),
        ("a\nzebra\n", "labels: no label for 1 of 2 images (zebra)"),
    ],
)
def test_bad_lists_of_ids_are_named(
    folders: tuple[Path, Path], tmp_path: Path, content: str | None, said: str
) -> None:
    path = tmp_path / "ids.txt"
    if content is not None:
        path.write_text(content)
    assert said in refused(folders, "--ids", str(path))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--num-classes", "0"), "--num-classes is 0; it must be 1 to 256"),
        (("--ignore-index", "256"), "--ignore-index is 256"),
        (("--trimap", "128"), "--trimap is 128; it must be 0 to 127"),
        (("--bootstrap", "-1"), "--bootstrap is -1"),
        (("--seed", "-1"), "--seed is -1"),
        (("--jobs", "0"), "`jobs` is 0"),
        (("--out", "."), "--out . is a folder"),
        (("--classes", "nowhere.txt"), "nowhere.txt: the classes can't be read"),
    ],
)
def test_bad_options_are_named(
    folders: tuple[Path, Path], more: tuple[str, ...], said: str
) -> None:
    assert said in refused(folders, *more)


def test_another_number_of_class_names_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("sky\nsea\n")
    assert "2 class names, and --num-classes is 4" in refused(
        folders, "--classes", str(tmp_path / "classes.txt")
    )


def test_a_failure_leaves_an_older_file_as_it_was(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "mine.json"
    call(folders, "--out", str(out))
    before = out.read_bytes()
    (folders[0] / "b.png").unlink()
    refused(folders, "--out", str(out))
    assert out.read_bytes() == before


def test_all_void_is_null(tmp_path: Path) -> None:
    write_label(tmp_path / "p" / "a.png", np.zeros((4, 5), np.uint8))
    write_label(tmp_path / "t" / "a.png", np.full((4, 5), 255, np.uint8))
    found = figures((tmp_path / "p", tmp_path / "t"))
    assert found["miou"] is None
    assert set(found["trimap"]["miou"]) == {None}
    assert found["confidence_interval"]["miou"] is None
    assert "| mean IOU | - |" in call((tmp_path / "p", tmp_path / "t"), "--markdown").stdout


def test_a_mistake_exits_with_status_2_and_no_torch_is_loaded(
    folders: tuple[Path, Path],
) -> None:
    command = [sys.executable, "-m", "replication", "evaluate", "--predictions", str(folders[0])]
    command += ["--labels", str(folders[1]), "--num-classes"]
    done = subprocess.run([*command, "2"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: ")
    code = f"import sys; sys.argv = {command[2:]!r} + ['4']\nfrom replication.cli import app\n"
    code += "app(standalone_mode=False); print('torch' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"
