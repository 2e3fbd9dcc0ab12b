"""ResNet-101's initial weights: from torchvision, a file, or another run; checked and hashed.

Whatever the file, it ends with torchvision's names and reads BGR, 0..255, minus `MEAN_BGR`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from replication.errors import ReplicationError
from replication.models.caffemodel import read_caffemodel
from replication.models.foreign import find_in_caffe, find_in_port, is_port
from replication.models.foreign_names import RESNET_CLASSIFIER
from replication.models.resnet import ResNet101
from replication.models.weight_files import (
    Tensors,
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
from replication.settings import Flavour


@dataclass(frozen=True)
class ResNetWeights:
    """ResNet-101's tensors by torchvision's names, and where they come from.

    ``flavour`` is where the network that learned them has its strides; None where the file does
    not say. ``segmentation``: the file holds a whole segmentation network, so that they have
    learned more than ImageNet.
    """

    tensors: Tensors
    origin: str
    sha256: str
    flavour: Flavour | None
    segmentation: bool = False

    def record(self) -> dict[str, Any]:
        """Return what a result says of its initial weights."""
        return {"origin": self.origin, "sha256": self.sha256, "flavour": self.flavour}


def load_resnet(place: str, root: Path) -> ResNetWeights:
    """Load initial weights from ``torchvision`` or from a file under ``root``.

    Files: ``.safetensors`` with torchvision's names, for BGR input (its metadata may say
    ``flavour``), or one that a run of ours wrote (its backbone is taken); ``.caffemodel``, the
    original ResNet-101 or the authors' networks; ``.pth`` of torchvision's resnet101, for RGB
    input, or of the PyTorch port (`replication.models.foreign`). Whatever the authors released has
    learned COCO (``init``), VOC (``train``) or VOC's val too (``train2``); the port's files come
    from these: both are ``segmentation``.

    Raises:
        ReplicationError: a file that is missing, unreadable, of an unknown kind, or that lacks a
            tensor; weights that can't be downloaded.
    """
    if place == "torchvision":
        return _from_torchvision()
    path = existing(place, root, "data.resnet_backbone")
    shapes = _shapes()
    flavour: Flavour | None = "caffe"
    segmentation = False
    if path.suffix == ".safetensors":
        state, flavour, segmentation = _read_safetensors(path)
        tensors = _named(path, state)
    elif path.suffix == ".caffemodel":
        layers = read_caffemodel(path)
        find = find_in_caffe(layers)
        tensors = {name: _present(path, *find(name)) for name in shapes}
        segmentation = any(layer.startswith(RESNET_CLASSIFIER) for layer in layers)
    elif path.suffix in (".pth", ".pt"):
        state = read_pth(path)
        if is_port(state):
            find, segmentation = find_in_port(state), True
            tensors = {name: _present(path, *find(name)) for name in shapes}
        else:
            tensors, flavour = convert_torchvision_resnet(_named(path, state)), "torchvision"
    else:
        refuse_kind(path, ".safetensors, .caffemodel or .pth")
    checked, sha256 = _checked(path, tensors), sha256_file(path)
    return ResNetWeights(checked, path.name, sha256, flavour, segmentation)


def _shapes() -> dict[str, int]:
    """Return the names of all tensors and their numbers of dimensions."""
    with torch.device("meta"):
        return {name: value.dim() for name, value in ResNet101(1 / 16).state_dict().items()}


def _present(path: Path, tensor: Tensor | None, there: str) -> Tensor:
    if tensor is None:
        raise ReplicationError(f"initial weights {path} lack {there}; give a ResNet-101")
    return tensor


def _named(path: Path, state: Tensors) -> Tensors:
    return {name: _present(path, state.get(name), name) for name in _shapes()}


def _checked(path: Path, tensors: Tensors) -> Tensors:
    for name, dimensions in _shapes().items():
        tensor = tensors[name] = tensors[name].float()
        if tensor.dim() != dimensions:
            raise ReplicationError(
                f"initial weights {path}: {name} is {tuple(tensor.shape)}; it must have "
                f"{dimensions} dimensions"
            )
        refuse_not_finite(tensor, f"initial weights {path}: {name}")
        if name.endswith("running_var") and (tensor < 0).any():
            raise ReplicationError(f"initial weights {path}: {name} holds a negative variance")
    return tensors


def _read_safetensors(path: Path) -> tuple[Tensors, Flavour | None, bool]:
    state, notes = read_safetensors(path)
    with reading(path):
        ours = json.loads(notes.get("replication", "{}")).get("configuration", {})
    whole = any(key.startswith("backbone.") for key in state)
    if whole:
        state = {key.removeprefix("backbone."): value for key, value in state.items()}
    said = notes.get("flavour", ours.get("flavour"))
    return state, said if said in ("caffe", "torchvision") else None, whole


def _from_torchvision() -> ResNetWeights:
    from torchvision.models import ResNet101_Weights

    # The first of two: trained by the original recipe, as the authors' initial weights were.
    weights = ResNet101_Weights.IMAGENET1K_V1
    state, file = download(
        weights, "ResNet-101", "data.resnet_backbone", ".pth, .caffemodel or .safetensors"
    )
    tensors = convert_torchvision_resnet(_named(file, state))
    return ResNetWeights(
        _checked(file, tensors), f"torchvision {weights}", sha256_file(file), "torchvision"
    )


def convert_torchvision_resnet(state: Tensors) -> Tensors:
    """Turn torchvision's tensors into ones that read BGR, 0..255, minus the mean."""
    return {**state, "conv1.weight": from_standardised_rgb(state["conv1.weight"])}


def fill(backbone: ResNet101, weights: ResNetWeights, run: str, flavour: Flavour) -> None:
    """Copy initial weights into the backbone.

    Raises:
        ReplicationError: the weights are of the other flavour, or of another width.
    """
    if weights.flavour not in (None, flavour):
        raise ReplicationError(
            f"initial weights {weights.origin} are of the flavour {weights.flavour!r}, and run "
            f"{run!r} is {flavour!r}; set its `flavour` in experiments.yaml to {weights.flavour} "
            "(the ResNet-101s there share `parts.res`), or give other weights"
        )
    for name, value in backbone.state_dict().items():
        tensor = weights.tensors[name]
        if tensor.shape != value.shape:
            raise ReplicationError(
                f"initial weights {weights.origin}: {name} is {tuple(tensor.shape)}, the network "
                f"needs {tuple(value.shape)}; give weights of the profile's `width`"
            )
    backbone.load_state_dict(weights.tensors)
