"""A checkpoint of `replication stage train` by itself: the scores of the pipeline, by `predict`."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from replication import stages
from replication.cli import app
from replication.inference.store import read_scores
from replication.models.checkpoint import read_checkpoint
from replication.plan import Settings, load

RUN, SEED = "aspp_l", 3


@pytest.fixture
def trained(tiny: Settings, tmp_path: Path) -> Path:
    """The checkpoint of a run that the command trained, moved away from all that made it."""
    done = CliRunner().invoke(app, ["stage", "train", RUN, "--root", str(tiny.root)])
    assert done.exit_code == 0, done.exception
    file = tiny.place("runs", RUN, SEED) / "weights.safetensors"
    return Path(shutil.copy(file, tmp_path / "alone.safetensors"))


def test_the_file_alone_gives_the_scores_and_labels_of_the_pipeline(
    tiny: Settings, trained: Path, tmp_path: Path
) -> None:
    stages.score(load(tiny.root), RUN)
    (images,) = tiny.place("datasets").rglob("images")
    scores = tiny.place("scores", RUN, SEED)
    out = tmp_path / "out"
    chosen = [str(images / f"{name}.png") for name in ("v0", "v1")]
    rest = ["--out", str(out), "--save-scores", "--device", "cpu", "--precision", "32-true"]
    done = CliRunner().invoke(app, ["predict", *chosen, "--checkpoint", str(trained), *rest])
    assert done.exit_code == 0, done.exception
    for name in ("v0", "v1"):
        expected = read_scores(scores / f"{name}.npz", 3)
        assert expected.std() > 0
        np.testing.assert_array_equal(read_scores(out / "scores" / f"{name}.npz", 3), expected)
        with Image.open(images / f"{name}.png") as image, Image.open(out / f"{name}.png") as label:
            assert label.size == image.size
            assert np.array(label).max() < 3


def test_training_again_gives_the_same_bytes(tiny: Settings, trained: Path, tmp_path: Path) -> None:
    """In another folder, too: the file tells of no place and no time."""
    other = tmp_path / "other"
    shutil.copytree(tiny.root, other, ignore=shutil.ignore_patterns("runs", "checkpoints"))
    stages.train(load(other), RUN)
    again = load(other).place("runs", RUN, SEED) / "weights.safetensors"
    assert again.read_bytes() == trained.read_bytes()
    assert read_checkpoint(trained).notes.classes == ["ground", "sheep", "tree"]
