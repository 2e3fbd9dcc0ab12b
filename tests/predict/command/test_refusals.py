"""What the command keeps, what it refuses, and that the rest is done."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from replication.cli import app
from replication.errors import ReplicationError
from replication.models.checkpoint import write_checkpoint


def test_what_is_there_is_kept_and_told(
    tmp_path: Path, checkpoint: Path, photos: Path, predict: Any
) -> None:
    out = tmp_path / "out"
    again = [photos, "--checkpoint", checkpoint, "--out", out]
    predict.done(*again)
    (out / "b.png").unlink()
    a = out / "a.png"
    a.write_bytes(b"touched")
    assert predict.done(*again) == f"3 label maps in {out} (2 were there already)\n"
    assert (a.read_bytes(), predict.label_of(out / "b.png").shape) == (b"touched", (100, 70))
    said = predict.refused(*again, "--fit", "resize")
    assert "other options (`fit` was 'pad', is 'resize'); give --overwrite, or another" in said
    assert a.read_bytes() == b"touched"
    predict.done(*again, "--overlay")  # what is missing makes the image anew
    assert predict.label_of(a).shape == (40, 57)
    a.write_bytes(b"touched")
    predict.done(*again, "--fit", "resize", "--overwrite")
    assert predict.label_of(a).shape == (40, 57)
    assert not [path for path in out.rglob("*") if ".part" in path.name]


def test_results_of_another_checkpoint_or_of_nobody_are_not_written_over(
    tmp_path: Path, checkpoint: Path, photos: Path, predict: Any
) -> None:
    out = tmp_path / "out"
    again = [photos / "a.png", "--checkpoint", checkpoint, "--out", out]
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    assert predict.refused(*again).startswith(f"{out / 'a.png'} is there already; give --overwrite")
    predict.done(*again, "--overwrite")
    other = predict.network().state_dict()
    other["classifier.branches.0.fc8.bias"] += 1
    notes = {"run": "made_up", "profile": "test", "classes": predict.names, "test_size": 57}
    write_checkpoint(checkpoint, other, **notes, configuration=predict.configuration)
    assert "holds results of another checkpoint" in predict.refused(*again)
    (out / "predict.json").write_text("[")
    assert "holds results of another checkpoint" in predict.refused(*again)


def test_bad_images_are_named_and_the_others_done(
    tmp_path: Path, checkpoint: Path, photos: Path, predict: Any
) -> None:
    (photos / "b.jpg").write_bytes((photos / "b.jpg").read_bytes()[:300])
    (photos / "c.png").write_bytes(b"no image")
    command = [sys.executable, "-m", "replication", "predict", str(photos)]
    command += ["--checkpoint", str(checkpoint), "--out", str(tmp_path / "out")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    first, second, last = ran.stderr.splitlines()
    assert first.startswith(f"error: {photos / 'b.jpg'}: the image is missing, broken")
    assert second.startswith(f"error: {photos / 'c.png'}: the image is missing, broken")
    assert last == "error: 2 of 4 images failed, named above; the others are done"
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.png", "grey.png", "predict.json"]
    alone = predict.refused(
        photos / "c.png", "--checkpoint", checkpoint, "--out", tmp_path / "alone"
    )
    assert alone.startswith(f"{photos / 'c.png'}: the image is missing, broken")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--fit", "crop"], "`--fit` is 'crop'; use one of pad, resize, tile"),
        (["--size", "64"], "`--size` is 64; align-corners at output stride 8 needs 8 k + 1"),
        (["--fit", "tile", "--tile-overlap", "57"], "tiles are 57 pixels wide; give 0 to 49"),
        (["--tile-overlap", "9"], "`--tile-overlap` is 9, which needs --fit tile"),
        (["--crf-parameters", "v1"], "`--crf-parameters` is 'v1', which needs --crf"),
        (["--crf", "--crf-parameters", "v9"], "`--crf-parameters` is 'v9': 'v9' is no file"),
        (["--device", "tpu"], "`--device` is 'tpu'; use one of auto, cuda, mps, cpu"),
        (["--precision", "8"], "`--precision` is '8'; use one of auto, 32-true, bf16-mixed"),
    ],
)
def test_bad_options_are_one_line_and_nothing_is_made(
    tmp_path: Path, checkpoint: Path, photos: Path, options: list[str], said: str
) -> None:
    out = tmp_path / "out"
    arguments = [str(photos), "--checkpoint", str(checkpoint), "--out", str(out), *options]
    result = CliRunner().invoke(app, ["predict", *arguments])
    assert isinstance(result.exception, ReplicationError)
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not out.exists()


def test_images_that_cannot_be_meant_are_refused_before_anything(
    tmp_path: Path, checkpoint: Path, photos: Path, predict: Any
) -> None:
    out = tmp_path / "out"
    rest = ["--checkpoint", checkpoint, "--out", out]
    Image.fromarray(predict.photograph(9, 9)).save(photos / "a.bmp")
    assert "would both become a.png" in predict.refused(photos, *rest)
    assert "does not exist" in predict.refused(photos / "z.jpg", photos / "a.bmp", *rest)
    assert predict.refused(photos / "a.bmp", "--checkpoint", checkpoint, "--out", photos).endswith(
        f"is the folder of {photos / 'a.bmp'}; give another one"
    )
    missing = predict.refused(photos / "a.bmp", "--checkpoint", tmp_path / "none", "--out", out)
    assert missing.startswith(f"{tmp_path / 'none'} does not exist")
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, checkpoint: Path, photos: Path, predict: Any
) -> None:
    (tmp_path / "file").write_bytes(b"")
    said = predict.refused(photos, "--checkpoint", checkpoint, "--out", tmp_path / "file" / "out")
    assert "can't be written" in said
