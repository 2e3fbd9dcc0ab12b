"""The command from end to end: one checkpoint, any images, what is kept, what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from replication.cli import app
from replication.crf.engine import mean_field
from replication.crf.parameters import PRESETS
from replication.data.palette import voc_palette
from replication.errors import ReplicationError
from replication.inference.enlarge import enlarge
from replication.models.checkpoint import write_checkpoint
from replication.models.deeplab import DeepLab
from replication.provenance import sha256_file
from replication.settings import Architecture, Head

MEAN = np.array([104.008, 116.669, 122.675], np.float32)  # B, G, R
NAMES = ["background", "sheep", "tree", "grass"]
CONFIGURATION: dict[str, Any] = {
    "backbone": "vgg16",
    "width": 1 / 32,
    "head": {"kernel": 1, "rates": [1], "channels": 8, "average_pool": False, "dropout": 0.5},
}


def network() -> DeepLab:
    torch.manual_seed(2)
    head = Head(**CONFIGURATION["head"])
    model = DeepLab(Architecture(backbone="vgg16", width=1 / 32, head=head), len(NAMES)).eval()
    weight, bias = (
        model.get_parameter(f"classifier.branches.0.fc8.{k}") for k in ("weight", "bias")
    )
    with torch.no_grad():  # classes that change from place to place: mean 0, spread 1 each
        scores = model(torch.randn(1, 3, 129, 129) * 60)[0].flatten(1)  # (C, h w)
        bias.sub_(scores.mean(1)).div_(scores.std(1))
        weight.div_(scores.std(1)[:, None, None, None])
    return model


def colours() -> np.ndarray:
    table = voc_palette()
    table[1] = (1, 2, 3)
    return table


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    notes = {"run": "made_up", "profile": "test", "classes": NAMES, "test_size": 57}
    said = notes | {"palette": colours().tolist(), "configuration": CONFIGURATION}
    write_checkpoint(path, network().state_dict(), **said)
    return path


def photograph(height: int, width: int) -> np.ndarray:
    """Soft blobs of colour, which survive a JPEG."""
    rng = np.random.default_rng(height * width)
    coarse = rng.integers(0, 256, (4, 5, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(photograph(40, 57)).save(folder / "a.png")
    Image.fromarray(photograph(100, 70)).save(folder / "b.jpg")
    Image.fromarray(photograph(30, 20)[..., 0]).save(folder / "grey.tif")
    return folder


def call(*arguments: object) -> Result:
    options = ["--device", "cpu", "--precision", "32-true"]
    return CliRunner().invoke(app, ["predict", *map(str, arguments), *options])


def done(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.exception
    return result.output


def refused(*arguments: object) -> str:
    result = call(*arguments)
    assert isinstance(result.exception, ReplicationError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def label_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "P"
        assert image.getpalette() == colours().reshape(-1).tolist()
        return np.array(image)


def scores_of(rgb: np.ndarray, height: int, width: int) -> torch.Tensor:
    """The network's scores on a canvas of the mean colour, (C, h, w)."""
    canvas = np.broadcast_to(MEAN, (height, width, 3)).copy()
    canvas[: rgb.shape[0], : rgb.shape[1]] = rgb[:, :, ::-1]
    with torch.inference_mode():
        scores: torch.Tensor = network()(torch.from_numpy((canvas - MEAN).transpose(2, 0, 1))[None])
    return scores[0]


def expected_label(rgb: np.ndarray, height: int, width: int) -> np.ndarray:
    scores = scores_of(rgb, height, width)[None]
    wide = F.interpolate(scores, size=(height, width), mode="bilinear", align_corners=True)
    label: np.ndarray = wide[0].argmax(0).numpy()[: rgb.shape[0], : rgb.shape[1]]
    assert len(np.unique(label)) > 1
    return label


def test_a_folder_of_images_becomes_a_folder_of_labels(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    out = tmp_path / "out"
    assert done(photos, "--checkpoint", checkpoint, "--out", out) == f"3 label maps in {out}\n"
    names = sorted(path.name for path in out.iterdir())
    assert names == ["a.png", "b.png", "grey.png", "predict.json"]
    with Image.open(photos / "b.jpg") as image:
        stored = np.array(image)
    grey = np.stack([photograph(30, 20)[..., 0]] * 3, axis=2)
    for name, rgb, size in (
        ("a", photograph(40, 57), (57, 57)),
        ("b", stored, (105, 73)),  # larger than the test size
        ("grey", grey, (57, 57)),
    ):
        found, expected = label_of(out / f"{name}.png"), expected_label(rgb, *size)
        assert found.shape == rgb.shape[:2]
        assert (found == expected).mean() > 0.999  # equal but for ties
    record = json.loads((out / "predict.json").read_text())
    assert record["classes"] == NAMES
    assert record["checkpoint"] == sha256_file(checkpoint)
    assert record["setting"] == {
        "fit": "pad",
        "size": 57,
        "tile_overlap": 0,
        "scales": [1.0],
        "crf": None,
    }


def test_the_label_has_the_size_of_the_image_as_it_is_seen(
    tmp_path: Path, checkpoint: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.fromarray(photograph(40, 57)).save(tmp_path / "a.png", exif=exif)
    done(tmp_path / "a.png", "--checkpoint", checkpoint, "--out", tmp_path / "out")
    upright = np.rot90(photograph(40, 57), -1)
    found = label_of(tmp_path / "out" / "a.png")
    assert (found == expected_label(upright, 57, 57)).mean() > 0.999


def test_the_crf_refines_the_enlarged_scores(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    out, a = tmp_path / "out", photos / "a.png"
    options = ["--crf", "--crf-parameters", "v1,iterations=2", "--save-scores"]
    done(a, "--checkpoint", checkpoint, "--out", out, *options)
    with np.load(out / "scores" / "a.npz") as archive:
        scores = archive["scores"]
    assert (scores.shape, scores.dtype) == ((4, 8, 8), np.float16)
    expected = scores_of(photograph(40, 57), 57, 57).numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)
    parameters = PRESETS["v1"].parameters.model_copy(update={"iterations": 2})
    wide = enlarge(expected, 8, (40, 57))
    found = label_of(out / "a.png")
    belief = mean_field(wide, photograph(40, 57), parameters)
    assert (found == belief.argmax(0)).mean() > 0.999
    setting = json.loads((out / "predict.json").read_text())["setting"]
    assert setting["crf"] == parameters.model_dump()


@pytest.mark.parametrize("fit", ["pad", "resize", "tile"])
def test_saved_scores_are_what_replication_crf_reads(
    tmp_path: Path, checkpoint: Path, photos: Path, fit: str
) -> None:
    """With no iteration the CRF is the best class of the saved scores: the very label map."""
    out = tmp_path / "out"
    b = photos / "b.jpg"
    done(b, "--checkpoint", checkpoint, "--out", out, "--fit", fit, "--save-scores", "--overlay")
    (photos / "a.png").unlink()
    (photos / "grey.tif").unlink()
    stride = "1" if fit == "resize" else "8"
    options = ["--out", str(tmp_path / "refined"), "--iterations", "0", "--output-stride", stride]
    folders = ["--images", str(photos), "--scores", str(out / "scores")]
    result = CliRunner().invoke(app, ["crf", "refine", *folders, *options])
    assert result.exit_code == 0, result.exception
    with Image.open(tmp_path / "refined" / "b.png") as image:
        refined = np.array(image)
    assert (refined == label_of(out / "b.png")).mean() > 0.99  # float16 breaks few ties
    with Image.open(out / "overlays" / "b.png") as image:
        assert image.mode == "RGB"
        assert (image.width >= 70, image.height > 100) == (True, True)


def test_tiles_and_several_scales_are_in_the_record(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    out = tmp_path / "out"
    options = ["--fit", "tile", "--size", "65", "--tile-overlap", "20", "--multi-scale"]
    done(photos, "--checkpoint", checkpoint, "--out", out, *options)
    setting = json.loads((out / "predict.json").read_text())["setting"]
    assert (setting["size"], setting["tile_overlap"]) == (65, 20)
    assert setting["scales"] == [1.0, 0.75, 0.5]
    done(photos, "--checkpoint", checkpoint, "--out", tmp_path / "single", *options[:-1])
    several, single = (label_of(f / "b.png") for f in (out, tmp_path / "single"))
    assert (several != single).any()


def test_what_is_there_is_kept_and_told(tmp_path: Path, checkpoint: Path, photos: Path) -> None:
    out = tmp_path / "out"
    again = [photos, "--checkpoint", checkpoint, "--out", out]
    done(*again)
    (out / "b.png").unlink()
    a = out / "a.png"
    a.write_bytes(b"touched")
    assert done(*again) == f"3 label maps in {out} (2 were there already)\n"
    assert (a.read_bytes(), label_of(out / "b.png").shape) == (b"touched", (100, 70))
    said = refused(*again, "--fit", "resize")
    assert "other options (`fit` was 'pad', is 'resize'); give --overwrite, or another" in said
    assert a.read_bytes() == b"touched"
    done(*again, "--overlay")  # what is missing makes the image anew
    assert label_of(a).shape == (40, 57)
    a.write_bytes(b"touched")
    done(*again, "--fit", "resize", "--overwrite")
    assert label_of(a).shape == (40, 57)
    assert not [path for path in out.rglob("*") if ".part" in path.name]


def test_results_of_another_checkpoint_or_of_nobody_are_not_written_over(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    out = tmp_path / "out"
    again = [photos / "a.png", "--checkpoint", checkpoint, "--out", out]
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    assert refused(*again).startswith(f"{out / 'a.png'} is there already; give --overwrite")
    done(*again, "--overwrite")
    other = network().state_dict()
    other["classifier.branches.0.fc8.bias"] += 1
    notes = {"run": "made_up", "profile": "test", "classes": NAMES, "test_size": 57}
    write_checkpoint(checkpoint, other, **notes, configuration=CONFIGURATION)
    assert "holds results of another checkpoint" in refused(*again)
    (out / "predict.json").write_text("[")
    assert "holds results of another checkpoint" in refused(*again)


def test_bad_images_are_named_and_the_others_done(
    tmp_path: Path, checkpoint: Path, photos: Path
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
    alone = refused(photos / "c.png", "--checkpoint", checkpoint, "--out", tmp_path / "alone")
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
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    out = tmp_path / "out"
    rest = ["--checkpoint", checkpoint, "--out", out]
    Image.fromarray(photograph(9, 9)).save(photos / "a.bmp")
    assert "would both become a.png" in refused(photos, *rest)
    assert "does not exist" in refused(photos / "z.jpg", photos / "a.bmp", *rest)
    assert refused(photos / "a.bmp", "--checkpoint", checkpoint, "--out", photos).endswith(
        f"is the folder of {photos / 'a.bmp'}; give another one"
    )
    missing = refused(photos / "a.bmp", "--checkpoint", tmp_path / "none", "--out", out)
    assert missing.startswith(f"{tmp_path / 'none'} does not exist")
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    said = refused(photos, "--checkpoint", checkpoint, "--out", tmp_path / "file" / "out")
    assert "can't be written" in said
