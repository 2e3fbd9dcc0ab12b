"""Initial weights: from torchvision, or from a file of one's own, checked and hashed.

Whatever the file, it ends as one convention: the network reads BGR, 0..255, minus `MEAN_BGR`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replication.errors import ReplicationError
from replication.models.vgg import conv_names
from replication.models.weight_files import (
    download,
    existing,
    from_standardised_rgb,
    read_pth,
    read_safetensors,
    reading,
    refuse_kind,
    refuse_not_finite,
)
from replication.provenance import sha256_file

# The authors' mean pixel (their prototxt files), blue, green, red, on 0..255.
MEAN_BGR = (104.008, 116.669, 122.675)

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
    path = existing(place, root, "data.backbone")
    if path.suffix in (".pth", ".pt"):
        with reading(path):
            layers = convert_torchvision(read_pth(path))
        return BackboneWeights(_checked(layers, path), path.name, sha256_file(path))
    if path.suffix == ".npz":
        # np.load leaves a broken file that it opened itself open.
        with reading(path), path.open("rb") as stream, np.load(stream) as arrays:
            tensors = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    elif path.suffix == ".safetensors":
        tensors, _ = read_safetensors(path)
    else:
        refuse_kind(path, ".safetensors, .npz or .pth")
    layers = {
        name: (tensors[f"{name}_W"].float(), tensors[f"{name}_b"].float())
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
        for tensor in (weight, bias):
            refuse_not_finite(tensor, f"initial weights {path}: {name}")
    if "fc6" in layers and "fc7" in layers:
        outputs, inputs = layers["fc6"][0].shape[0], layers["fc7"][0].shape[1]
        if outputs != inputs:
            raise ReplicationError(
                f"initial weights {path}: fc7 reads {inputs} filters, fc6 has {outputs}; give both "
                "from one network, or neither"
            )
    return layers


def _from_torchvision() -> BackboneWeights:
    from torchvision.models import VGG16_Weights

    weights = VGG16_Weights.IMAGENET1K_V1
    state, file = download(weights, "VGG-16", "data.backbone", ".pth, .npz or .safetensors")
    return BackboneWeights(convert_torchvision(state), f"torchvision {weights}", sha256_file(file))


def convert_torchvision(state: dict[str, Tensor]) -> dict[str, Layer]:
    """Turn torchvision's vgg16 state into layers that read BGR, 0..255, minus the mean."""
    keys = sorted(
        {int(key.split(".")[1]) for key in state if key.startswith("features.")},
    )
    layers = {
        name: (state[f"features.{index}.weight"].float(), state[f"features.{index}.bias"].float())
        for name, index in zip(conv_names(), keys, strict=False)
    }
    if "conv1_1" in layers:
        weight, bias = layers["conv1_1"]
        layers["conv1_1"] = (from_standardised_rgb(weight), bias)
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
