"""Find our ResNet-101's tensors in others' files: the authors' .caffemodel, a PyTorch port's .pth.

Both read BGR, 0..255, minus the mean, as ours do; both have a stage's stride on the first 1x1. The
maps of names are in `replication.models.foreign_names`; every tensor's shape is checked.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from replication.errors import ReplicationError
from replication.models.caffemodel import Blobs
from replication.models.foreign_names import (
    FACTOR_BLOB,
    caffe_resnet,
    plain_port_key,
    port_resnet,
)
from replication.models.weight_files import Tensors, refuse_not_finite

Shapes = dict[str, tuple[int, ...]]
# Finds one of our tensors in another's file: the tensor and what it is called there, or None.
Find = Callable[[str], tuple[Tensor | None, str]]


def is_port(state: Tensors) -> bool:
    """Whether a state dict has the names of the port's ResNet-101."""
    return any(plain_port_key(key) == "layer1.conv1.conv.weight" for key in state)


def collect(path: Path, wanted: Shapes, find: Find) -> Tensors:
    """Return every wanted tensor, float32, its shape checked.

    Raises:
        ReplicationError: a tensor is missing, of another shape, or not finite: both names, both
            shapes.
    """
    tensors: Tensors = {}
    for name, shape in wanted.items():
        tensor, there = find(name)
        if tensor is None:
            raise ReplicationError(f"{path} lacks {there} ({name} of our network); give the whole")
        if _without_leading_ones(tensor.shape) != _without_leading_ones(shape):
            raise ReplicationError(
                f"{path}: {there} is {tuple(tensor.shape)}, and {name} of our network "
                f"{tuple(shape)}; give weights of the same network, width and classes"
            )
        tensors[name] = tensor.float().reshape(shape)
        refuse_not_finite(tensors[name], f"{path}: {there}")
    return tensors


def _without_leading_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    # Caffe's older files give every blob four sides: biases are (1, 1, 1, C).
    sides = list(shape)
    while sides and sides[0] == 1:
        del sides[0]
    return tuple(sides)


def find_in_caffe(layers: dict[str, Blobs]) -> Find:
    """Find tensors of our ResNet-101, named as in it, among a .caffemodel's layers."""

    def find(name: str) -> tuple[Tensor | None, str]:
        place = caffe_resnet(name)
        tensor = blob_of(layers, place.layer, place.blob)
        if tensor is not None and place.scaled:
            factor = blob_of(layers, place.layer, FACTOR_BLOB)
            if factor is not None:
                # As in Caffe: statistics that have seen nothing are 0.
                tensor = tensor / factor if factor.any() else tensor * 0
        return tensor, place.layer

    return find


def find_in_port(state: Tensors) -> Find:
    """Find tensors of our ResNet-101, named as in it, in the port's state dict."""
    plain = {plain_port_key(key): value for key, value in state.items()}

    def find(name: str) -> tuple[Tensor | None, str]:
        key = port_resnet(name)
        return plain.get(key), key

    return find


def blob_of(layers: dict[str, Blobs], layer: str, blob: int) -> Tensor | None:
    """Return a layer's blob, or None where there is none."""
    blobs = layers.get(layer, [])
    return torch.from_numpy(blobs[blob]) if blob < len(blobs) else None
