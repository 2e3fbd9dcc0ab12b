"""A checkpoint and photographs of toy size, the command on them, and the labels it must make."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from replication.cli import app
from replication.data.palette import voc_palette
from replication.errors import ReplicationError
from replication.models.checkpoint import write_checkpoint
from replication.models.deeplab import DeepLab
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


@pytest.fixture(scope="session")
def predict() -> SimpleNamespace:
    """The command as functions, and what made its checkpoint, its photographs and its labels."""
    return SimpleNamespace(
        names=NAMES,
        configuration=CONFIGURATION,
        network=network,
        photograph=photograph,
        done=done,
        refused=refused,
        label_of=label_of,
        scores_of=scores_of,
        expected_label=expected_label,
    )
