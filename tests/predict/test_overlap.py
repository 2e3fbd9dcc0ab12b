"""While the network scores an image, the CRF works on those before it; within bounds, in order."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from replication.errors import ReplicationError
from replication.inference.fit import Fit, Fitted
from replication.models.checkpoint import Notes
from replication.predict import run
from replication.predict.run import Setting, Target, predict, target_of

SETTING = Setting(Fit("pad", 57), [1.0], None)
WAIT = 60


class Scorer:
    device = "cpu"


@pytest.fixture
def tasks(tmp_path: Path) -> list[tuple[Path, Target]]:
    found = []
    for name in "abcd":
        path = tmp_path / f"{name}.png"
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)
        found.append((path, target_of(path, tmp_path / "out", overlay=False, scores=False)))
    return found


def label(tasks: list[tuple[Path, Target]]) -> None:
    notes: Any = type("Notes", (), {"classes": ["a", "b"], "colours": None})
    known: Notes = notes
    scorer: Any = Scorer()
    predict(tasks, scorer, known, SETTING)


def test_the_second_image_is_scored_before_the_first_one_is_labelled(
    tasks: list[tuple[Path, Target]], monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = [threading.Event() for _ in tasks]
    numbers = iter(range(len(tasks)))
    threads = set()

    def scoring(_: Any, image: np.ndarray, fit: Fit) -> Fitted:
        assert fit == SETTING.fit
        scored[next(numbers)].set()
        return Fitted(np.zeros((2, *image.shape[:2]), np.float32), 1)

    def labelling(image: np.ndarray, *_: Any) -> np.ndarray:
        threads.add(threading.current_thread())
        assert scored[1].wait(WAIT), "nothing was scored while the first image was labelled"
        return np.zeros(image.shape[:2], np.uint8)

    monkeypatch.setattr(run, "fit_and_score", scoring)
    monkeypatch.setattr(run, "_label", labelling)
    label(tasks)
    assert all(target.is_whole() for _, target in tasks)
    assert threading.main_thread() not in threads


def test_large_images_are_worked_on_alone(
    tasks: list[tuple[Path, Target]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two images of 600 pixels where 1,199 are allowed: one waits until the other is done."""
    labelled: list[int] = []
    waiting: list[int] = []

    def scoring(_: Any, image: np.ndarray, fit: Fit) -> Fitted:
        waiting.append(len(waiting) - len(labelled))  # scored and not yet labelled
        return Fitted(np.zeros((2, *image.shape[:2]), np.float32), 1)

    def labelling(image: np.ndarray, *_: Any) -> np.ndarray:
        labelled.append(1)
        return np.zeros(image.shape[:2], np.uint8)

    monkeypatch.setattr(run, "PIXELS", 1_199)
    monkeypatch.setattr(run, "fit_and_score", scoring)
    monkeypatch.setattr(run, "_label", labelling)
    label(tasks)
    assert max(waiting) <= 1
    assert len(labelled) == len(tasks)


def test_images_that_cannot_be_labelled_are_named_in_order(
    tasks: list[tuple[Path, Target]], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    names = iter("abcd")

    def scoring(_: Any, image: np.ndarray, fit: Fit) -> Fitted:
        name = next(names)
        if name == "c":
            raise ReplicationError("scoring c")
        return Fitted(np.zeros((2, *image.shape[:2]), np.float32), 1)

    def labelling(image: np.ndarray, fitted: Fitted, crf: None, name: str) -> np.ndarray:
        if Path(name).stem == "b":
            raise ReplicationError("labelling b")
        return np.zeros(image.shape[:2], np.uint8)

    monkeypatch.setattr(run, "fit_and_score", scoring)
    monkeypatch.setattr(run, "_label", labelling)
    monkeypatch.setattr(run.tqdm, "write", lambda text, **_: said.append(text))
    with pytest.raises(ReplicationError, match="2 of 4 images failed"):
        label(tasks)
    paths = [str(path) for path, _ in tasks]
    assert said == [f"error: {paths[1]}: labelling b", f"error: {paths[2]}: scoring c"]
    assert [target.label.exists() for _, target in tasks] == [True, False, False, True]
