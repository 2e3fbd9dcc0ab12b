"""The command from end to end: one checkpoint, any images, label maps, scores and their record."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from replication.cli import app
from replication.crf.engine import mean_field
from replication.crf.parameters import PRESETS
from replication.inference.enlarge import enlarge
from replication.provenance import sha256_file


def test_a_folder_of_images_becomes_a_folder_of_labels(
    tmp_path: Path, checkpoint: Path, photos: Path, predict: Any
) -> None:
    out = tmp_path / "out"
    assert (
        predict.done(photos, "--checkpoint", checkpoint, "--out", out) == f"3 label maps in {out}\n"
    )
    names = sorted(path.name for path in out.iterdir())
    assert names == ["a.png", "b.png", "grey.png", "predict.json"]
    with Image.open(photos / "b.jpg") as image:
        stored = np.array(image)
    grey = np.stack([predict.photograph(30, 20)[..., 0]] * 3, axis=2)
    for name, rgb, size in (
        ("a", predict.photograph(40, 57), (57, 57)),
        ("b", stored, (105, 73)),  # larger than the test size
        ("grey", grey, (57, 57)),
    ):
        found, expected = predict.label_of(out / f"{name}.png"), predict.expected_label(rgb, *size)
        assert found.shape == rgb.shape[:2]
        assert (found == expected).mean() > 0.999  # equal but for ties
    record = json.loads((out / "predict.json").read_text())
    assert record["classes"] == predict.names
    assert record["checkpoint"] == sha256_file(checkpoint)
    assert record["setting"] == {
        "fit": "pad",
        "size": 57,
        "tile_overlap": 0,
        "scales": [1.0],
        "crf": None,
    }


def test_the_label_has_the_size_of_the_image_as_it_is_seen(
    tmp_path: Path, checkpoint: Path, predict: Any
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.fromarray(predict.photograph(40, 57)).save(tmp_path / "a.png", exif=exif)
    predict.done(tmp_path / "a.png", "--checkpoint", checkpoint, "--out", tmp_path / "out")
    upright = np.rot90(predict.photograph(40, 57), -1)
    found = predict.label_of(tmp_path / "out" / "a.png")
    assert (found == predict.expected_label(upright, 57, 57)).mean() > 0.999


def test_the_crf_refines_the_enlarged_scores(
    tmp_path: Path, checkpoint: Path, photos: Path, predict: Any
) -> None:
    out, a = tmp_path / "out", photos / "a.png"
    options = ["--crf", "--crf-parameters", "v1,iterations=2", "--save-scores"]
    predict.done(a, "--checkpoint", checkpoint, "--out", out, *options)
    with np.load(out / "scores" / "a.npz") as archive:
        scores = archive["scores"]
    assert (scores.shape, scores.dtype) == ((4, 8, 8), np.float16)
    expected = predict.scores_of(predict.photograph(40, 57), 57, 57).numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)
    parameters = PRESETS["v1"].parameters.model_copy(update={"iterations": 2})
    wide = enlarge(expected, 8, (40, 57))
    found = predict.label_of(out / "a.png")
    belief = mean_field(wide, predict.photograph(40, 57), parameters)
    assert (found == belief.argmax(0)).mean() > 0.999
    setting = json.loads((out / "predict.json").read_text())["setting"]
    assert setting["crf"] == parameters.model_dump()


@pytest.mark.parametrize("fit", ["pad", "resize", "tile"])
def test_saved_scores_are_what_replication_crf_reads(
    tmp_path: Path, checkpoint: Path, photos: Path, fit: str, predict: Any
) -> None:
    """With no iteration the CRF is the best class of the saved scores: the very label map."""
    out = tmp_path / "out"
    b = photos / "b.jpg"
    predict.done(
        b, "--checkpoint", checkpoint, "--out", out, "--fit", fit, "--save-scores", "--overlay"
    )
    (photos / "a.png").unlink()
    (photos / "grey.tif").unlink()
    stride = "1" if fit == "resize" else "8"
    options = ["--out", str(tmp_path / "refined"), "--iterations", "0", "--output-stride", stride]
    folders = ["--images", str(photos), "--scores", str(out / "scores")]
    result = CliRunner().invoke(app, ["crf", "refine", *folders, *options])
    assert result.exit_code == 0, result.exception
    with Image.open(tmp_path / "refined" / "b.png") as image:
        refined = np.array(image)
    assert (refined == predict.label_of(out / "b.png")).mean() > 0.99  # float16 breaks few ties
    with Image.open(out / "overlays" / "b.png") as image:
        assert image.mode == "RGB"
        assert (image.width >= 70, image.height > 100) == (True, True)


def test_tiles_and_several_scales_are_in_the_record(
    tmp_path: Path, checkpoint: Path, photos: Path, predict: Any
) -> None:
    out = tmp_path / "out"
    options = ["--fit", "tile", "--size", "65", "--tile-overlap", "20", "--multi-scale"]
    predict.done(photos, "--checkpoint", checkpoint, "--out", out, *options)
    setting = json.loads((out / "predict.json").read_text())["setting"]
    assert (setting["size"], setting["tile_overlap"]) == (65, 20)
    assert setting["scales"] == [1.0, 0.75, 0.5]
    predict.done(photos, "--checkpoint", checkpoint, "--out", tmp_path / "single", *options[:-1])
    several, single = (predict.label_of(f / "b.png") for f in (out, tmp_path / "single"))
    assert (several != single).any()
