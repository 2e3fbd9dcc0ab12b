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
from replication.models.foreign import (
    Tensors,
    find_in_caffe,
    find_in_port,
    is_port,
    read_pth,
)
from replication.models.resnet import ResNet101
from replication.models.weights import TORCHVISION_STD
from replication.provenance import sha256_file
from replication.settings import Flavour


@dataclass(frozen=True)
class ResNetWeights:
    """ResNet-101's tensors by torchvision's names, and where they come from.

    ``flavour`` is where the network that learned them has its strides; None where the file does
    not say.
    """

    tensors: Tensors
    origin: str
    sha256: str
    flavour: Flavour | None

    def record(self) -> dict[str, Any]:
        """Return what a result says of its initial weights."""
        return {"origin": self.origin, "sha256": self.sha256, "flavour": self.flavour}


def load_resnet(place: str, root: Path) -> ResNetWeights:
    """Load initial weights from ``torchvision`` or from a file under ``root``.

    Files: ``.safetensors`` with torchvision's names, for BGR input (its metadata may say
    ``flavour``), or one that a run of ours wrote (its backbone is taken); ``.caffemodel``, the
    original ResNet-101 or the authors' networks; ``.pth`` of torchvision's resnet101, for RGB
    input, or of the PyTorch port (`replication.models.foreign`).

    Raises:
        ReplicationError: a file that is missing, unreadable, of an unknown kind, or that lacks a
            tensor; weights that can't be downloaded.
    """
    if place == "torchvision":
        return _from_torchvision()
    path = root / place
    if not path.is_file():
        raise ReplicationError(
            f"initial weights {path} do not exist; run `dvc pull` for the sample's, or set "
            "`data.resnet_backbone` in params.yaml to a file that does"
        )
    shapes = _shapes()
    flavour: Flavour | None = "caffe"
    if path.suffix == ".safetensors":
        state, flavour = _read_safetensors(path)
        tensors = _named(path, state)
    elif path.suffix == ".caffemodel":
        find = find_in_caffe(read_caffemodel(path))
        tensors = {name: _present(path, *find(name)) for name in shapes}
    elif path.suffix in (".pth", ".pt"):
        state = read_pth(path)
        if is_port(state):
            find = find_in_port(state)
            tensors = {name: _present(path, *find(name)) for name in shapes}
        else:
            tensors, flavour = convert_torchvision_resnet(_named(path, state)), "torchvision"
    else:
        raise ReplicationError(
            f"initial weights {path} end in {path.suffix!r}; give .safetensors, .caffemodel or .pth"
        )
    return ResNetWeights(_checked(path, tensors), path.name, sha256_file(path), flavour)


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
        if not torch.isfinite(tensor).all():
            raise ReplicationError(f"initial weights {path}: {name} holds NaN or infinity")
        if name.endswith("running_var") and (tensor < 0).any():
            raise ReplicationError(f"initial weights {path}: {name} holds a negative variance")
    return tensors


def _read_safetensors(path: Path) -> tuple[Tensors, Flavour | None]:
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        ours = json.loads(notes.get("replication", "{}")).get("configuration", {})
    except Exception as error:  # damaged files fail in a dozen ways
        first = next(iter(str(error).splitlines()), "")
        raise ReplicationError(
            f"initial weights {path} can't be read ({type(error).__name__}: {first}); fetch the "
            "file again"
        ) from None
    if any(key.startswith("backbone.") for key in state):
        state = {key.removeprefix("backbone."): value for key, value in state.items()}
    said = notes.get("flavour", ours.get("flavour"))
    return state, said if said in ("caffe", "torchvision") else None


def _from_torchvision() -> ResNetWeights:
    from torchvision.models import ResNet101_Weights

    # The first of two: trained by the original recipe, as the authors' initial weights were.
    weights = ResNet101_Weights.IMAGENET1K_V1
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except Exception as error:
        first = next(iter(str(error).splitlines()), "")
        raise ReplicationError(
            f"torchvision's ImageNet ResNet-101 can't be downloaded ({type(error).__name__}: "
            f"{first}); set `data.resnet_backbone` in params.yaml to a local file (.pth, "
            ".caffemodel or .safetensors)"
        ) from None
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    tensors = convert_torchvision_resnet(_named(file, dict(state)))
    return ResNetWeights(
        _checked(file, tensors), f"torchvision {weights}", sha256_file(file), "torchvision"
    )


def convert_torchvision_resnet(state: Tensors) -> Tensors:
    """Turn torchvision's tensors into ones that read BGR, 0..255, minus the mean.

    As for VGG-16: the division by 255 and by the standard deviation goes into conv1, the order of
    its channels is turned round; a mean that differs by a grey level is left.
    """
    scale = 255 * torch.tensor(TORCHVISION_STD).view(1, 3, 1, 1)
    weight = state["conv1.weight"].float()
    return {**state, "conv1.weight": (weight / scale).flip(1)}


def fill(backbone: ResNet101, weights: ResNetWeights, run: str, flavour: Flavour) -> None:
    """Copy initial weights into the backbone.

    Raises:
        ReplicationError: the weights are of the other flavour, or of another width.
    """
    if weights.flavour not in (None, flavour):
        raise ReplicationError(
            f"initial weights {weights.origin} are of the flavour {weights.flavour!r}, and run "
            f"{run!r} is {flavour!r}; set `runs.{run}.flavour` in experiments.yaml to "
            f"{weights.flavour}, or give other weights"
        )
    for name, value in backbone.state_dict().items():
        tensor = weights.tensors[name]
        if tensor.shape != value.shape:
            raise ReplicationError(
                f"initial weights {weights.origin}: {name} is {tuple(tensor.shape)}, the network "
                f"needs {tuple(value.shape)}; give weights of the profile's `width`"
            )
    backbone.load_state_dict(weights.tensors)
