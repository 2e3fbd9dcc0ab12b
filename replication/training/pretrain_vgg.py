"""VGG-16's pre-training on the sample's scenes: with batch norm, which is folded away at the end.

Batch norm is folded into the convolutions because the paper's network has none. fc6 (7x7, rate 2
here, so rate 4 at stride 8) and fc7 are kept: each run makes the network dense and decimates them,
as the paper does with ImageNet's.
"""

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from replication.models.deeplab import DeepLab
from replication.models.heads import Branch, initialise
from replication.models.vgg import VGG16
from replication.models.weights import Layer
from replication.settings import Head

# Larger responses make the new last layer learn faster than the layers below it, which at the same
# pace forget what they know before the last layer reads it.
GAIN = 10**0.5


def vgg_head(width: float) -> Head:
    """Return the pre-training's head: fc6 7x7 at rate 2 (stride 16)."""
    return Head(kernel=7, rates=[2], channels=round(4_096 * width), average_pool=False, dropout=0.2)


def ready_vgg(model: DeepLab, seed: int) -> None:
    """Initialise the network, bring it to output stride 16, and give it batch norm, in place."""
    initialise(model.classifier, 0.01, torch.Generator().manual_seed(seed))
    assert isinstance(model.backbone, VGG16)
    coarsen(model.backbone)
    add_batch_norm(model)


def vgg_tensors(model: DeepLab) -> dict[str, Tensor]:
    """Return what is kept of the trained network: layers by Caffe's names, balanced, float16."""
    fold_batch_norm(model.eval())
    branch = model.classifier.branches[0]
    assert isinstance(branch, Branch)
    assert isinstance(model.backbone, VGG16)
    layers = {**model.backbone.convolutions(), "fc6": branch.fc6, "fc7": branch.fc7}
    learned: dict[str, Layer] = {}
    for name, layer in layers.items():
        assert layer.bias is not None
        learned[name] = (layer.weight.detach(), layer.bias.detach())
    tensors: dict[str, Tensor] = {}
    for name, (weight, bias) in balance(learned).items():
        tensors[f"{name}_W"] = weight.half().contiguous()
        tensors[f"{name}_b"] = bias.half()
    return tensors


def coarsen(backbone: VGG16) -> None:
    """Give pool4 back its stride of 2 and conv5 its rate of 1, in place: output stride 16."""
    pools = [layer for layer in backbone if isinstance(layer, nn.MaxPool2d)]
    pools[3].stride = 2
    for name, layer in backbone.convolutions().items():
        if name.startswith("conv5"):
            layer.dilation = layer.padding = (1, 1)


def add_batch_norm(module: nn.Module) -> None:
    """Put batch norm after every convolution but fc8, in place."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d) and name != "fc8":
            norm = nn.BatchNorm2d(child.out_channels)
            nn.init.kaiming_normal_(child.weight, nonlinearity="relu")
            setattr(module, name, nn.Sequential(OrderedDict(conv=child, norm=norm)))
        else:
            add_batch_norm(child)


def fold_batch_norm(module: nn.Module) -> None:
    """Fold batch norm's running statistics, scale and shift into the convolutions, in place.

    In evaluation mode the network computes the same function before and after.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Sequential) and [*dict(child.named_children())] == ["conv", "norm"]:
            conv, norm = child
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            setattr(module, name, fuse_conv_bn_eval(conv.eval(), norm.eval()))
        else:
            fold_batch_norm(child)


def balance(layers: dict[str, Layer]) -> dict[str, Layer]:
    """Give all layers' weights one Frobenius norm; fc7's responses grow by `GAIN`, no more changes.

    Each layer of a chain of ReLUs and max pools may be multiplied by a positive number if another
    is divided by it (biases by the product so far). Folded batch norm leaves conv1_1, which reads
    0..255, 400 times smaller than fc7: at one learning rate for all, SGD would then move it 100,000
    times faster for its size.
    """
    norms = {name: float(weight.norm()) for name, (weight, _) in layers.items()}
    mean = math.exp(sum(math.log(norm) for norm in norms.values()) / len(norms))
    share = GAIN ** (1 / len(layers))
    product, balanced = 1.0, {}
    for name, (weight, bias) in layers.items():
        factor = share * mean / norms[name]
        product *= factor
        balanced[name] = (weight * factor, bias * product)
    return balanced
