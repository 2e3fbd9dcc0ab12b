"""DeepLab on VGG-16 or ResNet-101: the dense backbone, the head, and how both are initialised."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replication.errors import ReplicationError
from replication.models.decimation import gather_taps, subsample_taps
from replication.models.heads import Branch, Classifier, initialise
from replication.models.multi_scale import at_scale, fuse
from replication.models.resnet import ResNet101
from replication.models.resnet_weights import ResNetWeights, fill
from replication.models.vgg import VGG16
from replication.models.weights import BackboneWeights
from replication.plan import Plan
from replication.settings import Architecture


class DeepLab(nn.Module):
    """A backbone at output stride 8 with branches at one or more atrous rates.

    (B, 3, H, W) float32, BGR 0..255 minus the mean -> (B, num_classes, h, w), class scores before
    softmax, h = (H - 1) / 8 + 1. A run of several scales sends each through the same weights; its
    scores are the maximum over the scales, in training and testing.
    """

    def __init__(self, plan: Plan | Architecture, num_classes: int) -> None:
        made = plan.architecture if isinstance(plan, Plan) else plan
        super().__init__()
        self.backbone: VGG16 | ResNet101
        if made.backbone == "resnet101":
            self.backbone = ResNet101(made.width, made.flavour)
        else:
            self.backbone = VGG16(made.width, average_pool=made.head.average_pool)
        self.classifier = Classifier(self.backbone.out_channels, num_classes, made.head)
        self.scales = made.multi_scale.scales if made.multi_scale else [1.0]

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K h w"]:
        return fuse(self.branches(images))

    def branches(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """Return the scores of each scale, (B, num_classes, h, w) of sizes of their own."""
        return [self.classifier(self.backbone(at_scale(images, s))) for s in self.scales]

    def num_parameters(self) -> int:
        """Count weights, biases, and batch norm's scales and shifts, which stay as they are."""
        return sum(p.numel() for p in self.parameters())


InitialWeights = BackboneWeights | ResNetWeights


def build(plan: Plan, num_classes: int, weights: InitialWeights, seed: int) -> DeepLab:
    """Build a run's network and initialise it; everything random follows from ``seed``.

    Raises:
        ReplicationError: ``weights`` are of another backbone or flavour, or a layer does not fit
            the profile's width.
    """
    generator = torch.Generator().manual_seed(seed)
    model = DeepLab(plan, num_classes)
    initialise(model.classifier, plan.profile.fc_std, generator)
    backbone = model.backbone
    if isinstance(backbone, ResNet101) != isinstance(weights, ResNetWeights):
        raise ReplicationError(
            f"initial weights {weights.origin} are not a {plan.backbone}'s, as run {plan.run!r} "
            f"needs; give weights of a {plan.backbone}"
        )
    if isinstance(backbone, ResNet101):
        assert isinstance(weights, ResNetWeights)
        fill(backbone, weights, plan.run, plan.flavour)
        return model
    assert isinstance(weights, BackboneWeights)
    with torch.no_grad():
        for name, layer in backbone.convolutions().items():
            _copy(name, layer, *weights.layers[name], weights)
        given = "fc6" in weights.layers and "fc7" in weights.layers
        for branch in model.classifier.branches:
            if not isinstance(branch, Branch):  # another kind has no fc6 to fill
                continue
            if given:
                _decimate(branch, weights, generator, plan.profile.decimation == "gathered")
            else:
                _level(branch, plan.profile.width)
    return model


def _copy(
    name: str, layer: nn.Conv2d, weight: Tensor, bias: Tensor, weights: BackboneWeights
) -> None:
    if layer.weight.shape != weight.shape or layer.bias is None:
        raise ReplicationError(
            f"initial weights {weights.origin}: {name} is {tuple(weight.shape)}, the network needs "
            f"{tuple(layer.weight.shape)}; give weights of the profile's `width`"
        )
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def _level(branch: Branch, width: float) -> None:
    """Scale random fc6 and fc7 so that fc8 is given as much as by LargeFOV's (3x3, 1,024 channels).

    The sum of fc7's squared responses, which fc8's first updates are proportional to, is LargeFOV's
    for any kernel and any number of channels. At one deviation for all it is 32 times as large with
    4x4 and 4,096 channels: on MSRC-21 the loss rose to 11.9 in two updates, and stood at 2.8 after
    fifty; scaled, it was down to 2.6 after fourteen.
    """
    branch.fc6.weight.mul_(3 / branch.fc6.kernel_size[0])
    branch.fc7.weight.mul_(1_024 * width / branch.fc7.in_channels)


def _decimate(
    branch: Branch, weights: BackboneWeights, generator: torch.Generator, gathered: bool
) -> None:
    """Fill fc6 and fc7 from ImageNet's: fewer taps, and a random subset of the filters.

    The same subset serves fc6's filters and fc7's inputs, so that fc7 goes on reading what it was
    trained to read; each branch of ASPP draws its own. ``gathered`` adds the taps left out to those
    that stay, and multiplies fc7's weights by the root of how many fewer inputs it has, which keeps
    the spread of the responses.
    """
    (w6, b6), (w7, b7) = weights.layers["fc6"], weights.layers["fc7"]
    kept = branch.fc6.out_channels
    if kept > w6.shape[0]:
        raise ReplicationError(
            f"initial weights {weights.origin}: fc6 has {w6.shape[0]} filters, the network needs "
            f"{kept}; give weights of the profile's `width`"
        )
    filters = torch.randperm(w6.shape[0], generator=generator)[:kept].sort().values
    outputs = torch.randperm(w7.shape[0], generator=generator)[:kept].sort().values
    decimate = gather_taps if gathered else subsample_taps
    w6 = decimate(w6[filters], branch.fc6.kernel_size[0])
    if gathered:
        w7 = w7 * (w7.shape[1] / kept) ** 0.5
    w7 = w7[outputs][:, filters]
    _copy("fc6", branch.fc6, w6, b6[filters], weights)
    _copy("fc7", branch.fc7, w7, b7[outputs], weights)
