"""`replication evaluate`: each mistake in one line, with nothing written."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from replication.data.labels import write_label

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
    folders: tuple[Path, Path], tmp_path: Path, change: Change, said: str, refused: Any
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
    folders: tuple[Path, Path], tmp_path: Path, content: str | None, said: str, refused: Any
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
    folders: tuple[Path, Path], more: tuple[str, ...], said: str, refused: Any
) -> None:
    assert said in refused(folders, *more)


def test_another_number_of_class_names_is_named(
    folders: tuple[Path, Path], tmp_path: Path, refused: Any
) -> None:
    (tmp_path / "classes.txt").write_text("sky\nsea\n")
    assert "2 class names, and --num-classes is 4" in refused(
        folders, "--classes", str(tmp_path / "classes.txt")
    )


def test_a_failure_leaves_an_older_file_as_it_was(
    folders: tuple[Path, Path], tmp_path: Path, call: Any, refused: Any
) -> None:
    out = tmp_path / "mine.json"
    call(folders, "--out", str(out))
    before = out.read_bytes()
    (folders[0] / "b.png").unlink()
    refused(folders, "--out", str(out))
    assert out.read_bytes() == before


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
