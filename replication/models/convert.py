"""Others' trained networks as ours, to be scored: the authors' VGG-16, ResNet-101, and a port's."""

from pathlib import Path

import torch
from torch import Tensor, nn

from replication.data.palette import VOC_CLASSES
from replication.errors import ReplicationError
from replication.models.caffemodel import Blobs, read_caffemodel
from replication.models.checkpoint import write_checkpoint
from replication.models.deeplab import DeepLab
from replication.models.foreign import (
    Find,
    blob_of,
    collect,
    find_in_caffe,
    find_in_port,
)
from replication.models.foreign_names import caffe_fc8, plain_port_key
from replication.models.vgg import VGG16
from replication.models.weight_files import Tensors, read_pth
from replication.plan import Plan
from replication.provenance import sha256_file


def convert(path: Path, plan: Plan, num_classes: int) -> Tensors:
    """Return the state of a run's network (`DeepLab`) as ``path`` has it.

    ``.caffemodel``: the authors' VGG-16 or ResNet-101, one scale or several (the copies that share
    weights are passed over). ``.pth``: the port's ResNet-101.

    Raises:
        ReplicationError: a file that can't be read or is of another kind; a tensor that is
            missing, or of another shape; a run of torchvision's flavour.
    """
    if plan.flavour != "caffe":
        raise ReplicationError(
            f"{path} is of the flavour 'caffe', and run {plan.run!r} is {plan.flavour!r}; set its "
            "`flavour` in experiments.yaml to caffe (the ResNet-101s there share `parts.res`)"
        )
    with torch.device("meta"):
        model = DeepLab(plan, num_classes)
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    branches = len(model.classifier.branches)
    if path.suffix == ".caffemodel":
        layers = read_caffemodel(path)
        inner = _vgg(model.backbone, layers) if "conv1_1" in layers else find_in_caffe(layers)

        def fc(branch: int, layer: str, kind: str) -> tuple[Tensor | None, str]:
            there: str | None = layer if branches == 1 else f"{layer}_{branch + 1}"
            if layer == "fc8":
                there = caffe_fc8(list(layers), branches, branch)
            there = there or f"a layer that is fc8 of branch {branch + 1}"
            return blob_of(layers, there, 0 if kind == "weight" else 1), there
    elif path.suffix in (".pth", ".pt"):
        state = read_pth(path)
        inner = find_in_port(state)
        plain = {plain_port_key(key): value for key, value in state.items()}

        def fc(branch: int, layer: str, kind: str) -> tuple[Tensor | None, str]:
            there = f"aspp.c{branch}.{kind}" if branches > 1 else f"fc.{kind}"
            return plain.get(there), there
    else:
        raise ReplicationError(f"{path} ends in {path.suffix!r}; give a .caffemodel or a .pth")

    def find(name: str) -> tuple[Tensor | None, str]:
        if name.startswith("backbone."):
            return inner(name.removeprefix("backbone."))
        branch, layer, kind = name.removeprefix("classifier.branches.").split(".")
        return fc(int(branch), layer, kind)

    try:
        return collect(path, wanted, find)
    except KeyError as error:
        raise ReplicationError(
            f"{path} is of another backbone than the run's ({error} has no counterpart there); "
            "name a run of the same backbone"
        ) from None


def _vgg(backbone: nn.Module, layers: dict[str, Blobs]) -> Find:
    """Find VGG-16's convolutions, whose names in our network are numbers; none in another's."""
    convolutions = backbone.convolutions() if isinstance(backbone, VGG16) else {}
    names = {id(layer): caffe for caffe, layer in convolutions.items()}
    numbers = {key: names[id(one)] for key, one in backbone.named_children() if id(one) in names}

    def find(name: str) -> tuple[Tensor | None, str]:
        number, kind = name.rsplit(".", 1)
        return blob_of(layers, numbers[number], 0 if kind == "weight" else 1), numbers[number]

    return find


def write_converted(path: Path, plan: Plan, num_classes: int, out: Path) -> None:
    """Convert ``path`` and write it as a run's weights are written, with where it is from.

    Raises:
        ReplicationError: as `convert`.
    """
    state = convert(path, plan, num_classes)
    voc = num_classes == len(VOC_CLASSES)
    write_checkpoint(
        out,
        state,
        run=plan.run,
        profile=plan.profile_name,
        classes=list(VOC_CLASSES) if voc else [f"class {k}" for k in range(num_classes)],
        test_size=plan.profile.test_size,
        configuration=plan.configuration(),
        converted_from={"file": path.name, "sha256": sha256_file(path)},
    )
