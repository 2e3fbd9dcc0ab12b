"""Score and belief maps: what they show, and that they are drawn."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import special

from replication.crf.parameters import CrfParameters
from replication.errors import ReplicationError
from replication.reporting.figure5 import _draw, figure5, log_odds

PARAMETERS = CrfParameters(w1=3, sigma_alpha=8, sigma_beta=12)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """An image of 20x27 pixels and scores of 3 classes at stride 8."""
    rng = np.random.default_rng(0)
    image, scores = tmp_path / "x.png", tmp_path / "x.npz"
    Image.fromarray(rng.integers(0, 256, (20, 27, 3), np.uint8)).save(image)
    np.savez(scores, scores=rng.normal(scale=2, size=(3, 4, 5)).astype(np.float32))
    return image, scores


def test_of_two_classes_the_score_is_the_difference_of_scores() -> None:
    scores = np.random.default_rng(0).normal(scale=3, size=(2, 4, 5))
    belief = special.softmax(scores, axis=0).astype(np.float32)
    expected = np.clip(scores[1] - scores[0], -10, 10)
    np.testing.assert_allclose(log_odds(belief, 1), expected, rtol=1e-4)


def test_certain_beliefs_are_cut() -> None:
    belief = np.array([1, 0, 0], np.float32)[:, None, None]
    assert log_odds(belief, 0) == 10
    assert log_odds(belief, 2) == -10


def test_writes_both_files_the_same_each_time(files: tuple[Path, Path], tmp_path: Path) -> None:
    written = figure5(*files, PARAMETERS, 1, tmp_path / "out" / "figure5", class_name="bird")
    assert [p.name for p in written] == ["figure5.png", "figure5.pdf"]
    again = figure5(*files, PARAMETERS, 1, tmp_path / "again", class_name="bird")
    assert [p.read_bytes() for p in written] == [p.read_bytes() for p in again]


def test_columns_are_named_by_their_iterations() -> None:
    maps = [(np.zeros((4, 5), np.float32), np.full((4, 5), 0.5, np.float32))] * 4
    figure = _draw(np.zeros((4, 5, 3), np.uint8), maps, (0, 1, 2, 10), "title")
    titles = [axis.get_title() for axis in figure.axes[:5]]
    assert titles == ["Image", "Before the CRF", "1 iteration", "2 iterations", "10 iterations"]


@pytest.mark.parametrize("label", [-1, 3])
def test_a_class_that_is_not_there_is_named(
    files: tuple[Path, Path], tmp_path: Path, label: int
) -> None:
    with pytest.raises(ReplicationError, match=rf"x\.npz: has classes 0 to 2, and class {label}"):
        figure5(*files, PARAMETERS, label, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))
