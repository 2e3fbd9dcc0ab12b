"""fc6, fc7 and fc8 as convolutions, or fc8 alone: a branch for each atrous rate, scores summed.

One branch is table 1's networks and LargeFOV; four are atrous spatial pyramid pooling
(ASPP, section 3.2 and figure 7).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replication.models.convolve import Conv2d
from replication.models.dropout import Dropout
from replication.settings import Head


def _padding(kernel: int, rate: int) -> int:
    reach = (kernel - 1) * rate
    if reach % 2:
        raise ValueError(
            f"`kernel` {kernel} at `rate` {rate} spans {reach + 1} positions, an even "
            "number; take an odd kernel or an even rate"
        )
    return reach // 2


class Branch(nn.Sequential):
    """fc6 (kernel x kernel at an atrous rate), fc7 (1x1) and fc8 (1x1), dropout after fc6 and fc7.

    (B, in_channels, h, w) -> (B, num_classes, h, w): padding keeps the size, which every kernel
    and rate of table 1 allows ((kernel - 1) * rate is even).

    Raises:
        ValueError: the effective kernel is even, so that no padding keeps the size.
    """

    fc6: nn.Conv2d
    fc7: nn.Conv2d
    fc8: nn.Conv2d

    def __init__(self, in_channels: int, num_classes: int, head: Head, rate: int) -> None:
        padding, mid = _padding(head.kernel, rate), head.channels
        assert mid is not None  # else `Classifier` takes `Scores`
        super().__init__()
        self.fc6 = Conv2d(in_channels, mid, head.kernel, padding=padding, dilation=rate)
        self.relu6 = nn.ReLU(inplace=True)
        self.drop6 = Dropout(head.dropout)
        self.fc7 = Conv2d(mid, mid, 1)
        self.relu7 = nn.ReLU(inplace=True)
        self.drop7 = Dropout(head.dropout)
        self.fc8 = Conv2d(mid, num_classes, 1)


class Scores(nn.Sequential):
    """fc8 alone, kernel x kernel at an atrous rate: ResNet-101's branches, without fc6 and fc7.

    (B, in_channels, h, w) -> (B, num_classes, h, w). The authors' files call it fc1_voc12; here
    the last layer of every network is fc8.
    """

    fc8: nn.Conv2d

    def __init__(self, in_channels: int, num_classes: int, head: Head, rate: int) -> None:
        padding = _padding(head.kernel, rate)
        super().__init__()
        self.fc8 = Conv2d(in_channels, num_classes, head.kernel, padding=padding, dilation=rate)


class Classifier(nn.Module):
    """The sum of the scores of one branch for each rate.

    (B, in_channels, h, w) -> (B, num_classes, h, w), class scores before softmax.
    """

    def __init__(self, in_channels: int, num_classes: int, head: Head) -> None:
        super().__init__()
        kind = Scores if head.channels is None else Branch
        self.branches = nn.ModuleList(
            kind(in_channels, num_classes, head, rate) for rate in head.rates
        )

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B K h w"]:
        scores: Tensor = self.branches[0](features)
        for branch in self.branches[1:]:
            scores = scores + branch(features)
        return scores


def field_of_view(kernel: int, rate: int, output_stride: int = 8) -> int:
    """Return fc6's field of view on pool5 in pixels, as table 1 counts it.

    The taps of fc6 span (kernel - 1) * rate positions of ``output_stride`` pixels; the paper counts
    32 pixels (the stride of the undilated network's pool5) for the first tap.
    """
    return (kernel - 1) * rate * output_stride + 32


def initialise(classifier: Classifier, fc_std: float, generator: torch.Generator) -> None:
    """Fill fc6, fc7 with Gaussian(``fc_std``), fc8 with Gaussian(0.01), biases with 0."""
    for branch in classifier.branches:
        for name, layer in branch.named_children():
            if isinstance(layer, nn.Conv2d):
                assert layer.bias is not None
                with torch.no_grad():
                    layer.weight.normal_(0, 0.01 if name == "fc8" else fc_std, generator=generator)
                    layer.bias.zero_()
