"""Made-up predictions and labels, and `replication evaluate` called on them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from replication.cli import app
from replication.data.labels import write_label
from replication.errors import ReplicationError

SIZES = {"a": (20, 31), "b": (17, 12), "c": (40, 33)}


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


def _call(folders: tuple[Path, Path], *more: str, classes: int = 4) -> Result:
    predictions, labels = map(str, folders)
    arguments = ["evaluate", "--predictions", predictions, "--labels", labels]
    return CliRunner().invoke(app, [*arguments, "--num-classes", str(classes), *more])


def _figures(folders: tuple[Path, Path], *more: str, classes: int = 4) -> dict[str, Any]:
    done = _call(folders, *more, classes=classes)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _refused(folders: tuple[Path, Path], *more: str, classes: int = 4) -> str:
    done = _call(folders, *more, classes=classes)
    assert isinstance(done.exception, ReplicationError), done.output
    assert done.stdout == ""
    message = str(done.exception)
    assert "\n" not in message
    return message


@pytest.fixture(scope="session")
def call() -> Callable[..., Result]:
    """A function of both folders and more options that calls the command."""
    return _call


@pytest.fixture(scope="session")
def figures() -> Callable[..., dict[str, Any]]:
    """A function that calls the command, and returns the JSON that it prints."""
    return _figures


@pytest.fixture(scope="session")
def refused() -> Callable[..., str]:
    """A function that calls the command, which must fail, and returns the error's one line."""
    return _refused
