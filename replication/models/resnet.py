"""ResNet-101 at output stride 8, as in the authors' network files.

The modules have torchvision's names. What differs from a classification network: layer3 and layer4
have no stride, and rates of 2 and 4 in its place; batch norm is frozen; the first pool rounds up.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn, ones, zeros

from replication.models.convolve import Conv2d
from replication.plan import scale_channels
from replication.settings import Flavour

# Channels of a stage's 3x3 convolutions, its blocks, its stride, and its rate at output stride 8.
STAGES = ((64, 3, 1, 1), (128, 4, 2, 1), (256, 23, 1, 2), (512, 3, 1, 4))
EXPANSION = 4
EPS = 1e-5  # Caffe's and torch's


class FrozenBatchNorm(nn.Module):
    """Batch norm by the statistics that it was given, in training too: nothing in it is learned.

    The authors use global statistics and put scale and shift at learning rate 0. Scale and shift
    are parameters that ask for no gradient, the statistics are buffers, all float32 (C,).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(ones(channels), requires_grad=False)
        self.bias = nn.Parameter(zeros(channels), requires_grad=False)
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", zeros(channels))
        self.register_buffer("running_var", ones(channels))

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=EPS
        )

    def factors(self) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"]]:
        """Return what it multiplies by, and what it then adds."""
        scale = self.weight * torch.rsqrt(self.running_var + EPS)
        return scale, self.bias - self.running_mean * scale


def normalised(
    convolution: nn.Conv2d, norm: nn.Module, x: Float[Tensor, "B C h w"]
) -> Float[Tensor, "B D i j"]:
    """Return ``norm`` of the convolution of ``x``: where it is frozen, in one pass.

    Its factors go into the filters, as they stand at this moment: the filters learn what they
    would learn without it, but for rounding, and no map of before batch norm is made, read and
    kept for the backward pass.
    """
    result: Tensor
    if isinstance(norm, FrozenBatchNorm):
        scale, shift = norm.factors()
        filters = convolution.weight * scale[:, None, None, None]
        result = convolution._conv_forward(x, filters, shift)
    else:
        result = norm(convolution(x))
    return result


def thaw(module: nn.Module) -> None:
    """Put batch norm that learns in the place of every frozen one, in place: for pre-training.

    Numbers and names stay; a state dict gains ``num_batches_tracked``, which weight files for
    `replication.models.resnet_weights` may hold or not.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, FrozenBatchNorm):
            learning = nn.BatchNorm2d(len(child.weight))
            learning.load_state_dict(child.state_dict(), strict=False)
            setattr(module, name, learning)
        else:
            thaw(child)


class Bottleneck(nn.Module):
    """1x1, 3x3 at an atrous rate, 1x1, each with batch norm, added to the input.

    Args:
        channels: of the input.
        mid: of the 3x3; the output has four times as many.
        stride: of the block, on the 1x1 (``caffe``) or on the 3x3 (``torchvision``).
        rate: of the 3x3.
        project: bring the input to the output's size by a 1x1 of its own.
    """

    def __init__(
        self, channels: int, mid: int, *, stride: int, rate: int, flavour: Flavour, project: bool
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if flavour == "caffe" else (1, stride)
        out = EXPANSION * mid
        self.conv1 = Conv2d(channels, mid, 1, stride=first, bias=False)
        self.bn1 = FrozenBatchNorm(mid)
        self.conv2 = Conv2d(mid, mid, 3, stride=second, padding=rate, dilation=rate, bias=False)
        self.bn2 = FrozenBatchNorm(mid)
        self.conv3 = Conv2d(mid, out, 1, bias=False)
        self.bn3 = FrozenBatchNorm(out)
        self.downsample: nn.Sequential | None = None
        if project:
            self.downsample = nn.Sequential(
                Conv2d(channels, out, 1, stride=stride, bias=False), FrozenBatchNorm(out)
            )

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D i j"]:
        y = F.relu(normalised(self.conv1, self.bn1, x), inplace=True)
        y = F.relu(normalised(self.conv2, self.bn2, y), inplace=True)
        y = normalised(self.conv3, self.bn3, y)
        if self.downsample is not None:
            convolution, norm = self.downsample
            assert isinstance(convolution, nn.Conv2d)
            x = normalised(convolution, norm, x)
        return F.relu(y + x, inplace=True)


class ResNet101(nn.Sequential):
    """conv1 to layer4 (res5c) of ResNet-101 made dense (paper, section 4.1.2).

    (B, 3, H, W), BGR, 0..255 minus the mean -> (B, 2048 * width, h, w) with h = (H - 1) / 8 + 1:
    321 gives 41 and 513 gives 65.

    A convolution reads at a rate where its input has lost a stride to the layers before it. So the
    first block of a stage whose stride is on the 3x3 keeps the rate of the stage before; where it
    is on the 1x1, that block's 3x3 has the new rate.

    Args:
        width: factor on the channels of every layer; 1 is the paper's network.
        flavour: where a stage's stride is: ``caffe``, the first 1x1; ``torchvision``, the 3x3.
    """

    def __init__(self, width: float = 1.0, flavour: Flavour = "caffe") -> None:
        channels = scale_channels(64, width)
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False),
            bn1=FrozenBatchNorm(channels),
            relu=nn.ReLU(inplace=True),
            maxpool=nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        )
        before = 1
        for number, (full, blocks, stride, rate) in enumerate(STAGES, 1):
            mid = scale_channels(full, width)
            stage = nn.Sequential()
            for block in range(blocks):
                at_first = block == 0
                stage.append(
                    Bottleneck(
                        channels,
                        mid,
                        stride=stride if at_first else 1,
                        rate=before if at_first and flavour == "torchvision" else rate,
                        flavour=flavour,
                        project=at_first,
                    )
                )
                channels = EXPANSION * mid
            layers[f"layer{number}"] = stage
            before = rate
        super().__init__(layers)
        self.out_channels = channels  # of layer4

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        conv1, bn1, *rest = self
        assert isinstance(conv1, nn.Conv2d)
        x = normalised(conv1, bn1, images)
        for layer in rest:
            x = layer(x)
        return x
