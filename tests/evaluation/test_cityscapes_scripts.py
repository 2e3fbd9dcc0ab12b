"""Our IOU of Cityscapes is that of cityscapesScripts, the data set's own evaluation."""

from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as theirs
from cityscapesscripts.helpers.labels import labels as their_labels
from PIL import Image

from replication.data.cityscapes import train_ids
from replication.data.classes import CITYSCAPES
from replication.data.labels import write_label
from replication.evaluation.folder import Options, evaluate_folder
from replication.submit.archive import encode
from replication.submit.servers import get_server

SIZE = (24, 40)
NAMES = [f"bonn_{k:06d}_000019" for k in range(3)]


def drawn(seed: int, never: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return labelIds (H, W), 0..33, and predicted train ids (H, W), 0..18, right in two of three.

    ``never`` are train ids that neither holds.
    """
    rng = np.random.default_rng(seed)
    table = train_ids()
    ids = np.array([k for k in range(34) if table[k] not in never])
    truth = rng.choice(ids, SIZE).astype(np.uint8)
    known = np.array([k for k in range(19) if k not in never])
    guess = rng.choice(known, SIZE)
    right = (rng.random(SIZE) < 2 / 3) & (table[truth] < 19)
    return truth, np.where(right, table[truth], guess).astype(np.uint8)


@pytest.mark.parametrize("never", [[], [4, 16]])
def test_same_iou_as_the_data_sets_own_script(tmp_path: Path, never: list[int]) -> None:
    server = get_server("cityscapes")
    pairs: list[tuple[str, str]] = []
    for seed, name in enumerate(NAMES):
        truth, guess = drawn(seed, never)
        official = tmp_path / f"{name}_gtFine_labelIds.png"
        Image.fromarray(truth).save(official)
        # made as for the server, so that the values of the submission are tried as well
        submitted = tmp_path / f"{name}.png"
        submitted.write_bytes(encode(guess, server))
        pairs.append((str(submitted), str(official)))
        write_label(tmp_path / "labels" / f"{name}.png", train_ids()[truth])
        write_label(tmp_path / "predictions" / f"{name}.png", guess)

    options = theirs.args
    options.quiet, options.JSONOutput, options.evalInstLevelScore = True, False, False
    scores = theirs.evaluateImgLists(*map(list, zip(*pairs, strict=True)), options)

    ours = evaluate_folder(
        tmp_path / "predictions", tmp_path / "labels", Options(num_classes=19, jobs=1)
    )
    table = {label.trainId: label.name for label in their_labels if not label.ignoreInEval}
    for k, value in enumerate(ours["per_class_iou"]):
        assert CITYSCAPES.names[k] == table[k]
        expected = scores["classScores"][table[k]]
        if k in never:
            assert value is None
            assert np.isnan(expected)
        else:
            assert value == pytest.approx(100 * expected, abs=1e-9)
    assert ours["miou"] == pytest.approx(100 * scores["averageScoreClasses"], abs=1e-9)
