"""Initial weights: from torchvision, or from a file of one's own, checked and hashed.

Whatever the file, it ends as one convention: the network reads BGR, 0..255, minus `MEAN_BGR`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from replication.errors import ReplicationError
from replication.models.vgg import conv_names
from replication.provenance import sha256_file

# The authors' mean pixel (their prototxt files), blue, green, red, on 0..255.
MEAN_BGR = (104.008, 116.669, 122.675)
TORCHVISION_STD = (0.229, 0.224, 0.225)  # red, green, blue, on 0..1

Layer = tuple[Tensor, Tensor]  # weight, bias


@dataclass(frozen=True)
class BackboneWeights:
    """VGG-16's layers by Caffe name, and where they come from.

    ``layers`` holds conv1_1 .. conv5_3 as (weight (out, in, 3, 3), bias (out,)), float32; and,
    where the file has them, fc6 as (out, in, 7, 7) and fc7 as (out, in, 1, 1).
    """

    layers: dict[str, Layer]
    origin: str
    sha256: str

    def record(self) -> dict[str, Any]:
        """Return what a result says of its initial weights."""
        return {
            "origin": self.origin,
            "sha256": self.sha256,
            "has_fc6_and_fc7": "fc6" in self.layers and "fc7" in self.layers,
        }


def load_backbone(place: str, root: Path) -> BackboneWeights:
    """Load initial weights from ``torchvision`` or from a file under ``root``.

    Files: ``.safetensors`` or ``.npz`` with ``NAME_W`` and ``NAME_b``, where NAME is ``conv1_1`` ..
    ``conv5_3`` (and perhaps ``fc6``, ``fc7``), for BGR input; ``.pth`` as torchvision writes its
    vgg16, for RGB input.

    Raises:
        ReplicationError: a file that is missing, unreadable, of an unknown kind, or that lacks a
            layer; weights that can't be downloaded.
    """
    if place == "torchvision":
        return _from_torchvision()
    path = root / place
    if not path.is_file():
        raise ReplicationError(
            f"initial weights {path} do not exist; run `dvc pull` for the sample's, or set "
            "`data.backbone` in params.yaml to a file that does"
        )
    try:
        if path.suffix == ".npz":
            # np.load leaves a broken file that it opened itself open.
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                tensors = {key: torch.from_numpy(arrays[key]).float() for key in arrays.files}
        elif path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = {key: value.float() for key, value in load_file(path).items()}
        elif path.suffix in (".pth", ".pt"):
            state = torch.load(path, map_location="cpu", weights_only=True)
            layers = convert_torchvision(state)
            return BackboneWeights(_checked(layers, path), path.name, sha256_file(path))
        else:
            raise ReplicationError(
                f"initial weights {path} end in {path.suffix!r}; give .safetensors, .npz or .pth"
            )
    except ReplicationError:
        raise
    except Exception as error:  # damaged files fail in a dozen ways
        raise ReplicationError(
            f"initial weights {path} can't be read ({type(error).__name__}: {_first_line(error)}); "
            "fetch the file again"
        ) from None
    layers = {
        name: (tensors[f"{name}_W"], tensors[f"{name}_b"])
        for name in [*conv_names(), "fc6", "fc7"]
        if f"{name}_W" in tensors and f"{name}_b" in tensors
    }
    return BackboneWeights(_checked(layers, path), path.name, sha256_file(path))


def _checked(layers: dict[str, Layer], path: Path) -> dict[str, Layer]:
    missing = [name for name in conv_names() if name not in layers]
    if missing:
        raise ReplicationError(
            f"initial weights {path} lack {missing[0]} ({len(missing)} of 13 convolutions); give "
            "a VGG-16"
        )
    for name, (weight, bias) in layers.items():
        side = {"fc6": 7, "fc7": 1}.get(name, 3)
        if weight.shape[2:] != (side, side) or bias.shape != weight.shape[:1]:
            raise ReplicationError(
                f"initial weights {path}: {name} is {tuple(weight.shape)} with biases "
                f"{tuple(bias.shape)}; it must be (out, in, {side}, {side}) with (out,)"
            )
        if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
            raise ReplicationError(f"initial weights {path}: {name} holds NaN or infinity")
    if "fc6" in layers and "fc7" in layers:
        outputs, inputs = layers["fc6"][0].shape[0], layers["fc7"][0].shape[1]
        if outputs != inputs:
            raise ReplicationError(
                f"initial weights {path}: fc7 reads {inputs} filters, fc6 has {outputs}; give both "
                "from one network, or neither"
            )
    return layers


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _from_torchvision() -> BackboneWeights:
    from torchvision.models import VGG16_Weights

    weights = VGG16_Weights.IMAGENET1K_V1
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except Exception as error:
        raise ReplicationError(
            f"torchvision's ImageNet VGG-16 can't be downloaded ({type(error).__name__}: "
            f"{_first_line(error)}); set `data.backbone` in params.yaml to a local file (.pth, "
            ".npz or .safetensors)"
        ) from None
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    return BackboneWeights(convert_torchvision(state), f"torchvision {weights}", sha256_file(file))


def convert_torchvision(state: dict[str, Tensor]) -> dict[str, Layer]:
    """Turn torchvision's vgg16 state into layers that read BGR, 0..255, minus the mean.

    torchvision's network reads RGB, 0..1, standardised. Its division by 255 and by the standard
    deviation goes into conv1_1's weights, the order of its channels is turned round; its mean
    differs from the authors' by less than one grey level in 255, which is left.
    """
    keys = sorted(
        {int(key.split(".")[1]) for key in state if key.startswith("features.")},
    )
    layers = {
        name: (state[f"features.{index}.weight"].float(), state[f"features.{index}.bias"].float())
        for name, index in zip(conv_names(), keys, strict=False)
    }
    if "conv1_1" in layers:
        weight, bias = layers["conv1_1"]
        scale = 255 * torch.tensor(TORCHVISION_STD).view(1, 3, 1, 1)
        layers["conv1_1"] = ((weight / scale).flip(1), bias)
    if "classifier.0.weight" in state:
        layers["fc6"] = (
            state["classifier.0.weight"].float().view(-1, 512, 7, 7),  # (4096, 25088) flattened
            state["classifier.0.bias"].float(),
        )
        layers["fc7"] = (
            state["classifier.3.weight"].float()[:, :, None, None],  # (4096, 4096, 1, 1)
            state["classifier.3.bias"].float(),
        )
    return layers


def subsample_taps(weight: Float[Tensor, "O I 7 7"], kernel: int) -> Float[Tensor, "O I k k"]:
    """Decimate a 7x7 filter in space: ``kernel`` taps spread evenly from edge to edge.

    7 to 3 keeps taps 0, 3, 6; 7 to 4 keeps 0, 2, 4, 6: at rate 12 and 8 they fall exactly where
    they were at rate 4 (recipe: "decimated in space").
    """
    taps = _kept_taps(weight.shape[-1], kernel)
    return weight[:, :, taps][:, :, :, taps]


def gather_taps(weight: Float[Tensor, "O I 7 7"], kernel: int) -> Float[Tensor, "O I k k"]:
    """Decimate as `subsample_taps` does, but add what is left out to the nearest taps that stay.

    A tap between two that stay is shared between them by its distance from each (the transpose of
    linear interpolation), so the response to features that vary linearly from tap to tap, a
    constant among them, is the 7x7 filter's own.
    """
    size = weight.shape[-1]
    kept = _kept_taps(size, kernel).numpy()
    rows = [np.interp(np.arange(size), kept, one) for one in np.eye(kernel)]
    share = torch.tensor(np.stack(rows), dtype=weight.dtype)  # (kernel, size), columns sum to 1
    return torch.einsum("oiyx,ky,lx->oikl", weight, share, share)


def _kept_taps(size: int, kernel: int) -> Tensor:
    # One tap alone is the middle one: linspace would begin at the corner.
    first = 0 if kernel > 1 else (size - 1) / 2
    return torch.linspace(first, size - 1, kernel).round().long()
