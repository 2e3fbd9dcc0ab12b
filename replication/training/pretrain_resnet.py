"""ResNet-101's pre-training on the sample's scenes: at output stride 16, with batch norm learning.

What is kept has torchvision's names and its flavour, like the ImageNet weights that most can get;
a run freezes its batch norm, as the paper does.
"""

import torch
from torch import Tensor, nn

from replication.models.deeplab import DeepLab
from replication.models.heads import initialise
from replication.models.resnet import Bottleneck, ResNet101, thaw
from replication.settings import Head

HEAD = Head(kernel=1, rates=[1], channels=None, average_pool=False)


def ready_resnet(model: DeepLab, seed: int) -> None:
    """Initialise the network, bring it to output stride 16, and let batch norm learn, in place."""
    initialise(model.classifier, 0.01, torch.Generator().manual_seed(seed))
    assert isinstance(model.backbone, ResNet101)
    coarsen_resnet(model.backbone)
    for layer in model.backbone.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(layer, Bottleneck):  # each block begins as the identity
            nn.init.zeros_(layer.bn3.weight)
    thaw(model.backbone)


def coarsen_resnet(backbone: ResNet101) -> None:
    """Give layer3 back its stride of 2, and layer3 and layer4 half their rates, in place."""
    for name, stage in backbone.named_children():
        if name not in ("layer3", "layer4"):
            continue
        for number, block in enumerate(stage.children()):
            assert isinstance(block, Bottleneck)
            rate = max(1, block.conv2.dilation[0] // 2)
            block.conv2.dilation = block.conv2.padding = (rate, rate)
            if name == "layer3" and number == 0:
                assert block.downsample is not None
                shortcut = block.downsample[0]
                assert isinstance(shortcut, nn.Conv2d)
                block.conv2.stride = shortcut.stride = (2, 2)  # as torchvision's flavour has it


def resnet_tensors(model: DeepLab) -> dict[str, Tensor]:
    """Return what is kept of the trained network, float16, its running statistics float32."""
    return {
        name: (value.float() if "running" in name else value.half()).contiguous()
        for name, value in model.backbone.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
