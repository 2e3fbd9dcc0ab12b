"""VGG-16 at output stride 8, as in the authors' network files.

What differs from torchvision's classification network: pools are 3x3; pool4 and pool5 have stride 1
and conv5 rate 2, so that scores come at one eighth of the image; there is no batch norm.
"""

from torch import nn

from replication.models.convolve import Conv2d
from replication.plan import scale_channels

# Output channels of conv1_1 .. conv5_3, block by block.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def conv_names() -> list[str]:
    """Return conv1_1 .. conv5_3, in order: the names of Caffe and of weight files."""
    return [f"conv{b}_{c}" for b, block in enumerate(BLOCKS, 1) for c in range(1, len(block) + 1)]


class VGG16(nn.Sequential):
    """conv1_1 to pool5 of VGG-16 made dense (paper, section 3.1).

    (B, 3, H, W), BGR, 0..255 minus the mean -> (B, 512 * width, h, w) with h = (H - 1) / 8 + 1:
    321 gives 41 and 513 gives 65.

    Args:
        width: factor on the channels of every layer; 1 is the paper's network.
        average_pool: add the 3x3 stride-1 average pool that the authors' LargeFOV release has
            after pool5.
    """

    def __init__(self, width: float = 1.0, *, average_pool: bool = False) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for number, block in enumerate(BLOCKS, 1):
            # pool4 keeps its stride of 1, so conv5 reads every second position: rate 2.
            rate, stride = (2 if number == 5 else 1), (2 if number <= 3 else 1)
            for full in block:
                wanted = scale_channels(full, width)
                layers += [
                    Conv2d(channels, wanted, 3, padding=rate, dilation=rate),
                    nn.ReLU(inplace=True),
                ]
                channels = wanted
            # Caffe rounds the size of a pooled map up.
            layers.append(nn.MaxPool2d(3, stride=stride, padding=1, ceil_mode=True))
        if average_pool:
            layers.append(nn.AvgPool2d(3, stride=1, padding=1))
        super().__init__(*layers)

    @property
    def out_channels(self) -> int:
        """Channels of pool5."""
        return self.convolutions()["conv5_3"].out_channels

    def convolutions(self) -> dict[str, nn.Conv2d]:
        """Return the thirteen convolutions by their Caffe names."""
        convs = [layer for layer in self if isinstance(layer, nn.Conv2d)]
        return dict(zip(conv_names(), convs, strict=True))
