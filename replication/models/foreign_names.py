"""What others call the tensors of our networks: the authors' Caffe layers, a PyTorch port's keys.

Our ResNet-101 has torchvision's names. Caffe's are the original ResNet's: the blocks of a stage are
a, b, c, but a, b1, b2, .. where there are more than three; branch1 is the projection, branch2a to
branch2c are the convolutions. The port is kazuto1011/deeplab-pytorch. In the authors' networks of
several scales every layer stands three times, sharing weights: names that end in _res075 and _res05
are the copies, and are never asked for here.
"""

import re
from typing import NamedTuple

_CONVOLUTION = re.compile(r"layer(\d)\.(\d+)\.(?:conv(\d)|downsample\.0)\.weight")
_NORM = re.compile(r"layer(\d)\.(\d+)\.(?:bn(\d)|downsample\.1)\.(\w+)")
_PORT_PARTS = {"1": "reduce", "2": "conv3x3", "3": "increase", None: "shortcut"}
# A normalization's tensor: the layer that holds it (BatchNorm or Scale), and its blob there.
_NORM_BLOBS = {
    "running_mean": ("bn", 0),
    "running_var": ("bn", 1),
    "weight": ("scale", 0),
    "bias": ("scale", 1),
}
# BatchNorm's third blob is what its first two have to be divided by.
FACTOR_BLOB = 2
# How the layers begin that make a ResNet-101 a DeepLab; ImageNet's own is called fc1000.
RESNET_CLASSIFIER = "fc1_"


class CaffeBlob(NamedTuple):
    """Where Caffe keeps a tensor: the layer's name, and which of its blobs."""

    layer: str
    blob: int

    @property
    def scaled(self) -> bool:
        """Whether the blob has to be divided by the layer's factor (`FACTOR_BLOB`)."""
        return self.layer.startswith("bn")


def caffe_resnet(name: str) -> CaffeBlob:
    """Return where Caffe keeps a tensor of our ResNet-101, such as layer3.7.bn2.running_var.

    Raises:
        KeyError: the network has no such tensor.
    """
    if name == "conv1.weight":
        return CaffeBlob("conv1", 0)
    if name.startswith("bn1."):
        layer, blob = _NORM_BLOBS[name.removeprefix("bn1.")]
        return CaffeBlob(f"{layer}_conv1", blob)
    if found := _CONVOLUTION.fullmatch(name):
        stage, block, number = found.groups()
        return CaffeBlob(f"res{_caffe_block(stage, block)}_{_caffe_branch(number)}", 0)
    if found := _NORM.fullmatch(name):
        stage, block, number, tensor = found.groups()
        layer, blob = _NORM_BLOBS[tensor]
        return CaffeBlob(f"{layer}{_caffe_block(stage, block)}_{_caffe_branch(number)}", blob)
    raise KeyError(name)


def _caffe_block(stage: str, block: str) -> str:
    """Return 4b7 for the eighth block of layer3: Caffe counts conv1 as the first stage."""
    few = stage in "14"
    letter = "abc"[int(block)] if few else f"b{block}" if int(block) else "a"
    return f"{int(stage) + 1}{letter}"


def _caffe_branch(number: str | None) -> str:
    return "branch1" if number is None else f"branch2{' abc'[int(number)]}"


def port_resnet(name: str) -> str:
    """Return the port's key of a tensor of our ResNet-101.

    Raises:
        KeyError: the network has no such tensor.
    """
    if name == "conv1.weight":
        return "layer1.conv1.conv.weight"
    if name.startswith("bn1."):
        return f"layer1.conv1.bn.{name.removeprefix('bn1.')}"
    for pattern, part in ((_CONVOLUTION, "conv"), (_NORM, "bn")):
        if found := pattern.fullmatch(name):
            stage, block, number = found.groups()[:3]
            place = f"layer{int(stage) + 1}.block{int(block) + 1}.{_PORT_PARTS[number]}.{part}"
            return f"{place}.{name.rsplit('.', 1)[1]}"
    raise KeyError(name)


def plain_port_key(key: str) -> str:
    """Return a port's key without what its versions put around it.

    ``module.`` (trained on several GPUs), ``base.`` or ``scale.`` (of several scales), ``proj``
    and ``aspp.stages`` (older names of ``shortcut`` and ``aspp``).
    """
    for around in ("module.", "base.", "scale."):
        key = key.removeprefix(around)
    return key.replace(".proj.", ".shortcut.").replace("aspp.stages.", "aspp.")


def caffe_fc8(names: list[str], branches: int, branch: int) -> str | None:
    """Return the layer of ``names`` that is fc8 of a branch, or None.

    ResNet-101: fc1_voc12_c0 .. c3 with ASPP, fc1_voc12 with one branch. VGG-16: fc8_voc12_1 .. 4,
    or fc8_voc12. What stands for voc12 names the data set.
    """
    resnet = f"_c{branch}" if branches > 1 else ""
    vgg = f"_{branch + 1}" if branches > 1 else ""
    pattern = re.compile(rf"(?:{RESNET_CLASSIFIER}[a-z0-9]+{resnet}|fc8_[a-z0-9]+{vgg})")
    found = [name for name in names if pattern.fullmatch(name)]
    return found[0] if len(found) == 1 else None
