"""The dense VGG-16 against Caffe's size formula, torchvision's network and receptive fields."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from replication.models.vgg import BLOCKS, VGG16, conv_names
from replication.models.weights import convert_torchvision

# (kernel, stride, rate) of the authors' layers on the way to pool5.
CONV, POOL, STAY, ATROUS = (3, 1, 1), (3, 2, 1), (3, 1, 1), (3, 1, 2)
LAYERS = [
    *([CONV] * 2 + [POOL] + [CONV] * 2 + [POOL] + [CONV] * 3 + [POOL]),
    *([CONV] * 3 + [STAY] + [ATROUS] * 3 + [STAY]),
]


def caffe_pooled(size: int, kernel: int, stride: int, pad: int) -> int:
    """Caffe's pooling_layer.cpp: round up, then drop a window that would start in the padding."""
    out = math.ceil((size + 2 * pad - kernel) / stride) + 1
    if pad and (out - 1) * stride >= size + pad:
        out -= 1
    return out


def receptive_field(layers: list[tuple[int, int, int]]) -> int:
    """Add each layer's reach at its input's stride (a closed form over the layers)."""
    field, step = 1, 1
    for kernel, stride, rate in layers:
        field += (kernel - 1) * rate * step
        step *= stride
    return field


def dense(width: float = 1 / 16, **options: bool) -> VGG16:
    with torch.device("meta"):
        return VGG16(width, **options)


@pytest.mark.parametrize(("size", "expected"), [(321, 41), (513, 65), (209, 27), (145, 19)])
def test_output_stride_is_8(size: int, expected: int) -> None:
    images = torch.empty(1, 3, size, size, device="meta")
    assert dense(1.0)(images).shape == (1, 512, expected, expected)
    assert (size - 1) // 8 + 1 == expected


@pytest.mark.parametrize("size", [*range(9, 60), 97, 320, 321, 322, 500, 512, 513])
def test_pooled_sizes_are_caffes(size: int) -> None:
    expected = size
    for _ in range(3):
        expected = caffe_pooled(expected, 3, 2, 1)
    for _ in range(2):
        assert caffe_pooled(expected, 3, 1, 1) == expected
    images = torch.empty(1, 3, size, size + 8, device="meta")
    assert dense()(images).shape == (1, 32, expected, expected + 1)


def test_parameters_are_vgg16s() -> None:
    # 14,714,688: VGG-16's thirteen convolutions, as published with torchvision and Keras.
    assert sum(p.numel() for p in dense(1.0).parameters()) == 14_714_688


def test_layers_have_caffes_names_in_order() -> None:
    names = conv_names()
    assert len(names) == 13
    assert names[:3] == ["conv1_1", "conv1_2", "conv2_1"]
    assert names[-1] == "conv5_3"
    convs = dense(1.0).convolutions()
    assert list(convs) == names
    assert [c.out_channels for c in convs.values()] == list(itertools.chain(*BLOCKS))
    assert [name for name, c in convs.items() if c.dilation == (2, 2)] == names[-3:]
    assert all(c.padding == c.dilation and c.stride == (1, 1) for c in convs.values())


def test_pools_are_the_recipes() -> None:
    pools = [layer for layer in dense() if isinstance(layer, nn.MaxPool2d)]
    settings = [(p.kernel_size, p.stride, p.padding) for p in pools]
    assert settings == [(3, 2, 1)] * 3 + [(3, 1, 1)] * 2


def test_the_average_pool_divides_by_nine_at_borders_too() -> None:
    # Caffe's AVE pooling counts the padding; LargeFOV's release has it after pool5.
    last = dense(average_pool=True)[-1]
    ones = torch.ones(1, 1, 4, 4)
    expected = torch.tensor([4, 6, 6, 4]).outer(torch.tensor([1, 1.5, 1.5, 1])) / 9
    torch.testing.assert_close(last(ones)[0, 0], expected)
    assert isinstance(dense()[-1], nn.MaxPool2d)


@pytest.fixture(scope="module")
def smoothed() -> VGG16:
    """Return a network whose pools average and whose weights are positive: no path is lost."""
    net = VGG16(1 / 16).double()
    for index, layer in enumerate(net):
        if isinstance(layer, nn.MaxPool2d):
            net[index] = nn.AvgPool2d(3, layer.stride, 1, ceil_mode=True)
        elif isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
            nn.init.zeros_(layer.bias)
    return net


@pytest.mark.parametrize("position", [20, 21])
def test_receptive_field_by_gradient_and_by_formula(smoothed: VGG16, position: int) -> None:
    size, field = 321, receptive_field(LAYERS)
    # One column is wide enough: paths along the other axis stay inside the padding.
    images = torch.ones(1, 3, size, 1, dtype=torch.float64, requires_grad=True)
    smoothed(images)[0, :, position, 0].sum().backward()
    assert images.grad is not None
    rows = images.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    # Score k stands over pixel 8 k (align-corners), and sees as far on either side.
    assert (int(rows[0]), int(rows[-1])) == (8 * position - field // 2, 8 * position + field // 2)
    assert len(rows) == field


def test_moving_the_image_by_8_pixels_moves_the_features_by_1(smoothed: VGG16) -> None:
    torch.manual_seed(0)
    image = torch.randn(1, 3, 41, 321, dtype=torch.float64)
    with torch.inference_mode():
        here, there = smoothed(image), smoothed(image.roll(8, -1))
    margin = receptive_field(LAYERS) // 16 + 2  # beyond it no border is seen
    torch.testing.assert_close(
        here[..., margin : 40 - margin], there[..., margin + 1 : 41 - margin]
    )


def test_equals_torchvisions_features_where_both_have_the_same_layers() -> None:
    """All of vgg16's features, 2x2 pools and undilated conv5 put back; the same mean on both."""
    torch.manual_seed(0)
    theirs = make_layers(cfgs["D"], batch_norm=False)  # vgg16().features
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    layers = convert_torchvision({f"features.{k}": v for k, v in theirs.state_dict().items()})
    ours = VGG16()
    with torch.no_grad():
        for name, layer in ours.convolutions().items():
            layer.weight.copy_(layers[name][0])
            assert layer.bias is not None
            layer.bias.copy_(layers[name][1])
    for index, layer in enumerate(ours):
        if isinstance(layer, nn.MaxPool2d):
            ours[index] = nn.MaxPool2d(2, 2)
        elif isinstance(layer, nn.Conv2d):
            layer.dilation = layer.padding = (1, 1)
    rgb = torch.randint(0, 256, (1, 3, 64, 64)).float()
    theirs_input = (rgb / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    ours_input: Tensor = (rgb - 255 * mean.view(3, 1, 1)).flip(1)  # BGR, 0..255 minus the mean
    with torch.inference_mode():
        expected = theirs(theirs_input)
        torch.testing.assert_close(ours(ours_input), expected, rtol=1e-4, atol=1e-5)
        assert expected.std() > 0
