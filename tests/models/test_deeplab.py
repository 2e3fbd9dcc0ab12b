"""The ten networks: table 1's parameter counts, score sizes, and how each is initialised."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from replication.errors import ReplicationError
from replication.models.deeplab import DeepLab, build
from replication.models.heads import Branch
from replication.models.vgg import VGG16
from replication.models.weights import BackboneWeights
from replication.plan import Plan, scale
from replication.settings import Experiments, Profile, parse

HERE = Path(__file__).resolve().parents[2]
EXPERIMENTS = parse(Experiments, HERE / "experiments.yaml")
WIDTH = 1 / 16
FC = 256  # ImageNet's 4,096 at this width


def plan(run: str, profile: str = "paper", **changes: Any) -> Plan:
    values = yaml.safe_load((HERE / "profiles" / f"{profile}.yaml").read_text())
    return scale(run, EXPERIMENTS.runs[run], profile, Profile(**{**values, **changes}))


def made_up(*, fc: bool = True, width: float = WIDTH) -> BackboneWeights:
    """Random weights of VGG-16 at a width; fc6 and fc7 tell tap, filter and input apart."""
    torch.manual_seed(5)
    layers: dict[str, tuple[Tensor, Tensor]] = {}
    for name, layer in VGG16(width).convolutions().items():
        assert layer.bias is not None
        layers[name] = (layer.weight.detach(), layer.bias.detach())
    if fc:
        filters = torch.arange(FC).view(FC, 1, 1, 1)
        taps = torch.arange(49).view(1, 1, 7, 7)
        w6 = (1_000 * filters + taps).expand(FC, 32, 7, 7).float()
        layers["fc6"] = (w6, torch.arange(FC).float())
        outputs, inputs = torch.arange(FC).view(FC, 1, 1, 1), torch.arange(FC).view(1, FC, 1, 1)
        layers["fc7"] = ((1_000 * outputs + inputs).float(), -torch.arange(FC).float())
    return BackboneWeights(layers, "made up", "0" * 64)


def branches(model: DeepLab) -> list[Branch]:
    found = [branch for branch in model.classifier.branches if isinstance(branch, Branch)]
    assert len(found) == len(model.classifier.branches)
    return found


@pytest.mark.parametrize(
    ("run", "millions"),
    [("fov_7x7_r4", 134.3), ("fov_4x4_r4", 65.1), ("fov_4x4_r8", 65.1), ("fov_3x3_r12", 20.5)],
)
def test_parameters_are_table_1s(run: str, millions: float) -> None:
    with torch.device("meta"):
        model = DeepLab(plan(run), 21)
    head = plan(run).head
    c, k = head.channels, head.kernel
    by_hand = 14_714_688 + (512 * k * k + 1) * c + (c + 1) * c + (c + 1) * 21
    assert model.num_parameters() == by_hand
    assert round(by_hand / 1e6, 1) == millions


@pytest.mark.parametrize("run", list(EXPERIMENTS.runs))
@pytest.mark.parametrize(("size", "expected"), [(321, 41), (513, 65)])
def test_every_network_scores_one_position_for_8_pixels(run: str, size: int, expected: int) -> None:
    with torch.device("meta"):
        model = DeepLab(plan(run), 21)
        assert model(torch.empty(1, 3, size, size)).shape == (1, 21, expected, expected)


@pytest.mark.parametrize("run", ["fov_7x7_r4", "fov_4x4_r4", "fov_3x3_r12", "aspp_l"])
def test_a_score_at_stride_8_sees_backbone_and_head(run: str) -> None:
    """One score's gradient on the image spans the receptive field that the layers add up to."""
    tiny = plan(run, width=WIDTH)
    model = DeepLab(tiny, 3).double().eval()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
            nn.init.ones_(layer.bias)  # type: ignore[arg-type]
    for index, layer in enumerate(model.backbone):
        if isinstance(layer, nn.MaxPool2d):  # a maximum passes one gradient, an average all
            model.backbone[index] = nn.AvgPool2d(3, layer.stride, 1, ceil_mode=True)
    size, position = 801, 50
    # Wide enough for the columns of an even kernel, which has no middle one.
    images = torch.ones(1, 3, size, 33, dtype=torch.float64, requires_grad=True)
    scores = model(images)
    assert scores.shape == (1, 3, 101, 5)
    scores[0, :, position].sum().backward()
    assert images.grad is not None
    rows = images.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    # conv1 2x2, pool 2, conv2 2x4 .. at strides 1, 2, 4, 8; conv5 at rate 2
    backbone = 1 + (2 * 2 + 2) + (2 * 2 + 2) * 2 + (3 * 2 + 2) * 4 + (3 * 2 + 2) * 8 + (12 + 2) * 8
    pool = 16 if tiny.head.average_pool else 0
    head = (tiny.head.kernel - 1) * max(tiny.head.rates) * 8
    field = backbone + pool + head
    assert (int(rows[0]), int(rows[-1])) == (400 - field // 2, 400 + field // 2)


def test_convolutions_are_the_files() -> None:
    weights = made_up()
    model = build(plan("aspp_l", width=WIDTH), 5, weights, seed=0)
    for name, layer in model.backbone.convolutions().items():
        assert torch.equal(layer.weight, weights.layers[name][0])
        assert layer.bias is not None
        assert torch.equal(layer.bias, weights.layers[name][1])


@pytest.mark.parametrize(
    ("run", "taps"),
    [
        ("fov_7x7_r4", [0, 1, 2, 3, 4, 5, 6]),
        ("fov_4x4_r4", [0, 2, 4, 6]),
        ("fov_4x4_r8", [0, 2, 4, 6]),
        ("fov_3x3_r12", [0, 3, 6]),
        ("aspp_s", [0, 3, 6]),
    ],
)
def test_fc6_and_fc7_are_decimated_from_the_files(run: str, taps: list[int]) -> None:
    tiny = plan(run, width=WIDTH)
    model = build(tiny, 5, made_up(), seed=0)
    subsets = []
    for branch in branches(model):
        w6, w7 = branch.fc6.weight, branch.fc7.weight
        filters = (w6[:, 0, 0, 0] // 1_000).int()
        columns = (w7[0, :, 0, 0] % 1_000).int()
        assert torch.equal(filters, columns)  # fc7 goes on reading the filters that were kept
        assert len(filters.unique()) == tiny.head.channels
        assert torch.equal(branch.fc6.bias, filters.float())  # type: ignore[arg-type]
        outputs = (w7[:, 0, 0, 0] // 1_000).int()
        assert len(outputs.unique()) == tiny.head.channels
        assert torch.equal(branch.fc7.bias, -outputs.float())  # type: ignore[arg-type]
        expected = torch.tensor([[7 * row + column for column in taps] for row in taps]).float()
        assert torch.equal(w6[:, 0] - 1_000 * filters.view(-1, 1, 1), expected.expand_as(w6[:, 0]))
        subsets.append(tuple(filters.tolist()))
    assert len(set(subsets)) == len(subsets)  # each branch draws its own
    if tiny.head.channels == FC:
        assert subsets == [tuple(range(FC))]  # nothing to leave out: the file's own order


@pytest.mark.parametrize("run", ["fov_7x7_r4", "fov_4x4_r8", "fov_3x3_r12", "aspp_l"])
def test_gathered_weights_keep_sums(run: str) -> None:
    """The sum over fc6's taps stays, filter by filter; fc7 grows by the root of its loss."""
    tiny = plan(run, width=WIDTH, decimation="gathered")
    weights, model = made_up(), build(tiny, 5, made_up(), seed=0)
    (w6, b6), (w7, b7) = weights.layers["fc6"], weights.layers["fc7"]
    for branch in branches(model):
        filters = branch.fc6.bias.long()  # made_up's biases are the filters' numbers
        outputs = -branch.fc7.bias.long()  # type: ignore[operator]
        assert torch.equal(b6[filters], branch.fc6.bias)
        assert torch.equal(b7[outputs], branch.fc7.bias)
        torch.testing.assert_close(branch.fc6.weight.sum((2, 3)), w6[filters].sum((2, 3)))
        root = (FC / tiny.head.channels) ** 0.5
        torch.testing.assert_close(branch.fc7.weight, w7[outputs][:, filters] * root)


def test_fc8_is_random_whatever_the_file_holds() -> None:
    with_fc = build(plan("aspp_s", width=WIDTH), 5, made_up(), seed=0)
    for branch in branches(with_fc):
        assert branch.fc8.weight.std().item() == pytest.approx(0.01, rel=0.2)
        assert branch.fc8.bias is not None
        assert not branch.fc8.bias.any()


def test_without_fc6_in_the_file_it_is_gaussian() -> None:
    model = build(plan("fov_3x3_r12", width=WIDTH, fc_std=0.005), 5, made_up(fc=False), seed=0)
    (branch,) = branches(model)
    assert branch.fc6.weight.std().item() == pytest.approx(0.005, rel=0.05)


@pytest.mark.parametrize("run", ["fov_4x4_r4", "fov_7x7_r4", "aspp_l"])
def test_without_fc6_in_the_file_every_head_gives_fc8_as_much(run: str) -> None:
    """The sum of squared responses of fc7, beside LargeFOV's, on features away from the borders."""

    def squares(run: str) -> float:
        model = build(plan(run, width=0.25, fc_std=0.005), 5, made_up(width=0.25, fc=False), seed=0)
        branch = branches(model.eval())[0]
        features = torch.rand(1, 128, 31, 31, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            responses: Tensor = branch.relu7(branch.fc7(branch.relu6(branch.fc6(features))))
        return float(responses[..., 12:-12, 12:-12].square().sum(1).mean())

    assert squares(run) == pytest.approx(squares("fov_3x3_r12"), rel=0.3)


@pytest.mark.parametrize("fc", [True, False])
def test_the_seed_decides_and_nothing_else_does(fc: bool) -> None:
    def state(seed: int) -> dict[str, Tensor]:
        torch.rand(3)  # the global generator is of no account
        return build(plan("aspp_l", width=WIDTH), 5, made_up(fc=fc), seed).state_dict()

    one, again, other = state(0), state(0), state(1)
    assert all(torch.equal(one[k], again[k]) for k in one)
    names = [k for k in one if "classifier" in k and k.endswith("weight")]
    assert names
    assert not any(torch.equal(one[k], other[k]) for k in names)


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = build(plan("aspp_l", width=WIDTH), 5, made_up(), 0).classifier.state_dict()
    torch.manual_seed(2)
    found = build(plan("aspp_l", width=WIDTH), 5, made_up(), 0).classifier.state_dict()
    assert all(torch.equal(expected[k], found[k]) for k in expected)


def test_weights_of_another_width_are_refused_in_one_line() -> None:
    with pytest.raises(ReplicationError, match=r"made up: conv1_1 is \(4, 3, 3, 3\)") as caught:
        build(plan("aspp_l", width=0.5), 5, made_up(fc=False), 0)
    assert "give weights of the profile's `width`" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_few_filters_are_refused_in_one_line() -> None:
    weights = made_up()
    (w6, b6), (w7, b7) = weights.layers["fc6"], weights.layers["fc7"]
    weights.layers["fc6"], weights.layers["fc7"] = (w6[:10], b6[:10]), (w7[:10, :10], b7[:10])
    with pytest.raises(ReplicationError, match=r"fc6 has 10 filters, the network needs 64"):
        build(plan("aspp_l", width=WIDTH), 5, weights, 0)
    weights.layers["fc6"], weights.layers["fc7"] = (w6, b6), (w7[:10], b7[:10])
    with pytest.raises(ReplicationError, match=r"fc7 is \(10, 64, 1, 1\)"):
        build(plan("aspp_l", width=WIDTH), 5, weights, 0)
