"""The dense ResNet-101 against torchvision's, closed forms and a probe of its receptive field."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet101

from replication.models.heads import Classifier
from replication.models.resnet import STAGES, FrozenBatchNorm, ResNet101, thaw
from replication.settings import Flavour, Head


def dense(width: float = 1 / 16, flavour: Flavour = "caffe") -> ResNet101:
    with torch.device("meta"):
        return ResNet101(width, flavour)


def closed_form(width: int = 64) -> int:
    """Count convolutions and the scales and shifts of batch norm, stage by stage."""
    total, channels = 3 * width * 49 + 2 * width, width
    for number, blocks in enumerate((3, 4, 23, 3)):
        mid = width * 2**number
        for block in range(blocks):
            total += channels * mid + 9 * mid * mid + mid * 4 * mid + 2 * (mid + mid + 4 * mid)
            if block == 0:
                total += channels * 4 * mid + 2 * 4 * mid
            channels = 4 * mid
    return total


def test_parameters_are_torchvisions() -> None:
    ours = sum(p.numel() for p in dense(1.0).parameters())
    with torch.device("meta"):
        theirs = resnet101(weights=None)
    fc = sum(p.numel() for p in theirs.fc.parameters())
    # 44,549,160: ResNet-101's parameters as torchvision publishes them
    assert ours == closed_form() == 44_549_160 - fc == 42_500_160
    assert sum(p.numel() for p in dense(1 / 16).parameters()) == closed_form(4)


@pytest.mark.parametrize(
    ("kernel", "rates", "parameters"),
    [
        (1, [1], 2_048 * 21 + 21),
        (3, [12], 9 * 2_048 * 21 + 21),
        (3, [6, 12, 18, 24], 4 * (9 * 2_048 * 21 + 21)),
    ],
)
def test_heads_read_the_2048_channels(kernel: int, rates: list[int], parameters: int) -> None:
    head = Head(kernel=kernel, rates=rates, channels=None, average_pool=False)
    with torch.device("meta"):
        classifier = Classifier(2_048, 21, head)
        assert classifier(torch.empty(1, 2_048, 41, 41)).shape == (1, 21, 41, 41)
    assert sum(p.numel() for p in classifier.parameters()) == parameters
    layers = [branch.fc8 for branch in classifier.branches]
    assert [layer.dilation for layer in layers] == [(rate, rate) for rate in rates]


def test_aspp_sums_its_branches() -> None:
    torch.manual_seed(0)
    head = Head(kernel=3, rates=[6, 12, 18, 24], channels=None, average_pool=False)
    aspp = Classifier(5, 3, head)
    features = torch.randn(2, 5, 9, 11)
    expected = torch.zeros(2, 3, 9, 11)
    for rate, branch in zip(head.rates, aspp.branches, strict=True):
        expected = expected + F.conv2d(
            features, branch.fc8.weight, branch.fc8.bias, padding=rate, dilation=rate
        )
    torch.testing.assert_close(aspp(features), expected)


@pytest.mark.parametrize("flavour", ["caffe", "torchvision"])
@pytest.mark.parametrize(("size", "expected"), [(321, 41), (513, 65), (145, 19), (241, 31)])
def test_output_stride_is_8(size: int, expected: int, flavour: Flavour) -> None:
    network = dense(1.0, flavour)
    images = torch.empty(1, 3, size, size, device="meta")
    assert network(images).shape == (1, 2_048, expected, expected)
    assert network.out_channels == 2_048


def test_names_and_shapes_are_torchvisions() -> None:
    with torch.device("meta"):
        theirs = resnet101(weights=None).state_dict()
    wanted = {
        name: value.shape
        for name, value in theirs.items()
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
    }
    assert {name: value.shape for name, value in dense(1.0).state_dict().items()} == wanted


def with_statistics(network: nn.Module) -> None:
    """Give every batch norm numbers as if trained, the same in two networks of one seed."""
    torch.manual_seed(1)
    for name, value in sorted(network.state_dict().items()):
        if value.dim() == 1 and "num_batches" not in name:
            with torch.no_grad():
                value.uniform_(0.5, 1.5) if name.endswith(("var", "weight")) else value.normal_(
                    0, 0.1
                )


@pytest.mark.parametrize("flavour", ["caffe", "torchvision"])
def test_dense_features_hold_the_classification_networks(flavour: Flavour) -> None:
    """Section 3.1: strides made rates, every fourth position is the strided network's own."""
    torch.manual_seed(0)
    theirs = resnet101(weights=None).eval().double()
    with_statistics(theirs)
    if flavour == "caffe":
        for stage in (theirs.layer2, theirs.layer3, theirs.layer4):
            stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    ours = ResNet101(1.0, flavour).double()
    state = theirs.state_dict()
    ours.load_state_dict({name: state[name] for name in ours.state_dict()})
    images = torch.randn(1, 3, 97, 65, dtype=torch.float64)
    with torch.inference_mode():
        expected: Tensor = theirs.conv1(images)
        expected = theirs.maxpool(theirs.relu(theirs.bn1(expected)))
        for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            expected = stage(expected)
        found = ours(images)
    assert found.shape == (1, 2_048, 13, 9)
    assert expected.shape == (1, 2_048, 4, 3)
    size = expected.abs().max()
    assert expected.std() > size / 1_000
    torch.testing.assert_close(found[:, :, ::4, ::4] / size, expected / size, rtol=0, atol=1e-12)


# 1,027 pixels for strides on the 1x1 is the published receptive field of ResNet-101 (v1, Caffe).
@pytest.mark.parametrize(("flavour", "field"), [("caffe", 1_027), ("torchvision", 971)])
def test_the_receptive_field_tells_the_flavours_apart(flavour: Flavour, field: int) -> None:
    layers, stride = 1 + 6 + 2 * 2, 4  # conv1, pool
    before = 1
    for number, (_, blocks, step, rate) in enumerate(STAGES):
        for block in range(blocks):
            at_first = block == 0 and number > 0
            # on the 1x1, the 3x3 already stands on the coarser grid, or has the higher rate
            late = at_first and flavour == "torchvision"
            layers += 2 * (before if late else rate) * (stride if late else stride * step)
            if block == 0:
                stride *= step
                step = 1
        before = rate
    assert layers == field

    network = ResNet101(1 / 16, flavour).double()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
    network.maxpool = nn.AvgPool2d(3, 2, 1, ceil_mode=True)  # a maximum passes one gradient
    position, size = 75, 1_201
    # One column is wide enough: paths along the other axis stay inside the padding.
    images = torch.ones(1, 3, size, 1, dtype=torch.float64, requires_grad=True)
    network(images)[0, :, position, 0].sum().backward()
    assert images.grad is not None
    rows = images.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert (int(rows[0]), int(rows[-1])) == (600 - field // 2, 600 + field // 2)


def test_batch_norm_is_frozen_in_training_too() -> None:
    network = ResNet101(1 / 16).train()
    with_statistics(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.randn(2, 3, 33, 33)
    trained = network(images)
    assert torch.equal(trained, network.eval()(images))
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    trained.sum().backward()
    optimizer.step()
    norms = [name for name, m in network.named_modules() if isinstance(m, FrozenBatchNorm)]
    assert len(norms) == 1 + 33 * 3 + 4
    for name, value in network.state_dict().items():
        frozen = name.rsplit(".", 1)[0] in norms
        assert torch.equal(value, before[name]) == frozen, name


def test_thawed_it_is_torchs_batch_norm_and_its_state_goes_back() -> None:
    frozen, learning = ResNet101(1 / 16), ResNet101(1 / 16)
    with_statistics(frozen)
    learning.load_state_dict(frozen.state_dict())
    thaw(learning)
    assert not any(isinstance(m, FrozenBatchNorm) for m in learning.modules())
    images = torch.randn(2, 3, 33, 33)
    torch.testing.assert_close(learning.eval()(images), frozen(images))
    learning.train()(images).sum().backward()
    assert all(p.grad is not None for p in learning.parameters())
    state = learning.state_dict()
    frozen.load_state_dict({name: state[name] for name in frozen.state_dict()})
    assert torch.equal(frozen.bn1.running_mean, learning.bn1.running_mean)
    torch.testing.assert_close(learning.eval()(images), frozen(images))


def test_filters_learn_the_same_with_batch_norm_in_them_and_keep_less() -> None:
    """Against torch's batch norm in evaluation, which is a pass of its own and keeps its input."""
    torch.manual_seed(0)
    inside, apart = ResNet101(1 / 16), ResNet101(1 / 16)
    with_statistics(inside)
    apart.load_state_dict(inside.state_dict())
    thaw(apart)
    images = torch.randn(2, 3, 33, 33, dtype=torch.float64)
    maps = []
    for network in (inside.double(), apart.double().eval()):
        kept: dict[int, int] = {}  # bytes by address: two layers may keep the same map

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            if tensor.shape[0] == 2:  # of the images, and no filter
                kept[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = network(images).square().mean()
        loss.backward()
        maps.append(sum(kept.values()))
    theirs = dict(apart.named_parameters())
    for name, parameter in inside.named_parameters():
        if parameter.requires_grad:
            expected = theirs[name].grad
            assert expected is not None
            assert expected.any()
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-9, atol=1e-15, msg=name)
    assert maps[0] < 0.7 * maps[1]


def test_frozen_batch_norm_is_torchs_in_evaluation() -> None:
    theirs = nn.BatchNorm2d(6).eval()
    with_statistics(theirs)
    ours = FrozenBatchNorm(6)
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if "num" not in k})
    x = torch.randn(2, 6, 5, 4)
    by_hand = (x - ours.running_mean.view(-1, 1, 1)) / (
        ours.running_var.view(-1, 1, 1) + 1e-5
    ) ** 0.5
    by_hand = by_hand * ours.weight.view(-1, 1, 1) + ours.bias.view(-1, 1, 1)
    assert torch.equal(ours(x), theirs(x))
    torch.testing.assert_close(ours(x), by_hand)
