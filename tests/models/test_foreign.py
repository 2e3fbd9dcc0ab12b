"""Others' weight files: names against lists, scores against the network that wrote them."""

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from torch import Tensor, nn
from typer.testing import CliRunner

from replication.cli import app
from replication.errors import ReplicationError
from replication.inference.score import load_trained
from replication.models.convert import convert
from replication.models.deeplab import DeepLab
from replication.models.foreign_names import caffe_resnet, plain_port_key, port_resnet
from replication.models.resnet import ResNet101
from replication.models.resnet_weights import load_resnet
from replication.plan import Plan, load
from replication.provenance import sha256_file
from replication.settings import Head, Recipe
from replication.training.pretrain import pretraining_plan

HERE = Path(__file__).resolve().parents[2]
WIDTH = 1 / 16
RECIPE = Recipe(policy="poly", batch_size=1, iterations=1, base_lr=0.1)
WriteCaffe = Callable[..., Path]

# Names that stand in the authors' network files and in the port's checkpoints.
SPOTS = {
    "conv1.weight": ("conv1", 0, "layer1.conv1.conv.weight"),
    "bn1.running_mean": ("bn_conv1", 0, "layer1.conv1.bn.running_mean"),
    "bn1.bias": ("scale_conv1", 1, "layer1.conv1.bn.bias"),
    "layer1.0.downsample.0.weight": ("res2a_branch1", 0, "layer2.block1.shortcut.conv.weight"),
    "layer1.0.downsample.1.weight": ("scale2a_branch1", 0, "layer2.block1.shortcut.bn.weight"),
    "layer1.2.conv1.weight": ("res2c_branch2a", 0, "layer2.block3.reduce.conv.weight"),
    "layer2.0.bn2.running_var": ("bn3a_branch2b", 1, "layer3.block1.conv3x3.bn.running_var"),
    "layer2.3.conv3.weight": ("res3b3_branch2c", 0, "layer3.block4.increase.conv.weight"),
    "layer3.22.bn3.weight": ("scale4b22_branch2c", 0, "layer4.block23.increase.bn.weight"),
    "layer4.1.conv2.weight": ("res5b_branch2b", 0, "layer5.block2.conv3x3.conv.weight"),
}


def caffes_layers() -> set[str]:
    """All layers with weights of the original ResNet-101-deploy.prototxt, written out."""
    blocks = [*(f"2{x}" for x in "abc"), "3a", *(f"3b{n}" for n in range(1, 4)), "4a"]
    blocks += [*(f"4b{n}" for n in range(1, 23)), *(f"5{x}" for x in "abc")]
    places = [f"{block}_branch2{x}" for block, x in itertools.product(blocks, "abc")]
    places += [f"{stage}a_branch1" for stage in range(2, 6)]
    names = {f"{kind}{place}" for kind in ("res", "bn", "scale") for place in places}
    return names | {"conv1", "bn_conv1", "scale_conv1"}


def test_names_are_caffes_and_the_ports() -> None:
    for name, (layer, blob, key) in SPOTS.items():
        assert caffe_resnet(name) == (layer, blob)
        assert port_resnet(name) == key
    with torch.device("meta"):
        ours = list(ResNet101(WIDTH).state_dict())
    places = [caffe_resnet(name) for name in ours]
    assert len(set(places)) == len(ours)  # no tensor is read twice
    assert {place.layer for place in places} == caffes_layers()
    keys = {port_resnet(name) for name in ours}
    assert len(keys) == len(ours)


def test_the_ports_versions_have_the_same_names() -> None:
    for old, plain in {
        "base.layer2.block1.shortcut.conv.weight": "layer2.block1.shortcut.conv.weight",
        "scale.layer2.block1.proj.conv.weight": "layer2.block1.shortcut.conv.weight",
        "module.base.aspp.c0.bias": "aspp.c0.bias",
        "scale.aspp.stages.c3.weight": "aspp.c3.weight",
        "layer1.conv1.bn.weight": "layer1.conv1.bn.weight",
    }.items():
        assert plain_port_key(old) == plain


def plan(backbone: str, rates: list[int], kernel: int = 3) -> Plan:
    channels = 12 if backbone == "vgg16" else None
    base = pretraining_plan(1)
    profile = base.profile.model_copy(update={"width": WIDTH})
    head = Head(kernel=kernel, rates=rates, channels=channels, average_pool=False)
    return Plan("made_up", "x", profile, head, RECIPE, 1, backbone=backbone)  # type: ignore[arg-type]


def trained(plan: Plan, classes: int = 7) -> DeepLab:
    """A network whose every number is drawn, so that none can stand in another's place."""
    torch.manual_seed(0)
    model = DeepLab(plan, classes).eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.dim() == 1 and "backbone" in name:
                value.uniform_(0.5, 1.5)
            elif value.dim() == 1:
                value.normal_()
    return model


Layers = dict[str, tuple[str, list[np.ndarray]]]


def resnet_as_caffe(backbone: ResNet101) -> Layers:
    """BatchNorm with a factor, then Scale, as the original ResNet-101's file has them."""
    layers: Layers = {}
    state = {name: value.numpy() for name, value in backbone.state_dict().items()}
    for name, value in state.items():
        layer = caffe_resnet(name).layer
        if name.endswith("running_mean"):
            variance = state[name.replace("mean", "var")]
            factor = np.float32(999.98)  # what a moving average has summed up
            blobs = [value * factor, variance * factor, np.array([factor])]
            layers[layer] = ("BatchNorm", blobs)
        elif name.endswith(".weight") and value.ndim == 1:
            layers[layer] = ("Scale", [value, state[name.replace("weight", "bias")]])
        elif value.ndim == 4:
            layers[layer] = ("Convolution", [value])
    return layers


def as_caffe(model: DeepLab, *, shared_copies: bool = False) -> Layers:
    """Write our network as the authors' files have it."""
    backbone = model.backbone
    if isinstance(backbone, ResNet101):
        layers = resnet_as_caffe(backbone)
    else:
        layers = {
            name: ("Convolution", [p.detach().numpy() for p in (conv.weight, conv.bias)])
            for name, conv in backbone.convolutions().items()
        }
    several = len(model.classifier.branches) > 1
    for number, branch in enumerate(model.classifier.branches):
        for name, layer in branch.named_children():
            if not isinstance(layer, nn.Conv2d):
                continue
            if isinstance(backbone, ResNet101):
                theirs = f"fc1_voc12_c{number}" if several else "fc1_voc12"
            else:
                theirs = f"{name}_voc12" if name == "fc8" else name
                theirs += f"_{number + 1}" if several else ""
            blobs = [layer.weight.detach().numpy(), layer.bias.detach().numpy()]
            layers[theirs] = ("Convolution", blobs)
    if shared_copies:  # of the branches of 0.75 and 0.5, which must not be taken
        for name, (kind, blobs) in list(layers.items()):
            for suffix in ("res075", "res05"):
                layers[f"{name}_{suffix}"] = (kind, [np.full_like(b, 99) for b in blobs])
    return layers


def same_scores(model: DeepLab, plan: Plan, state: dict[str, Tensor]) -> None:
    again = DeepLab(plan, 7).eval()
    again.load_state_dict(state)
    torch.manual_seed(1)
    images = 60 * torch.randn(1, 3, 33, 41)
    with torch.inference_mode():
        expected = model(images)
        assert expected.std() > 0
        scale = float(expected.abs().max())
        torch.testing.assert_close(again(images) / scale, expected / scale, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shared_copies", [False, True])
@pytest.mark.parametrize(
    ("backbone", "rates"),
    [("resnet101", [6, 12, 18, 24]), ("resnet101", [12]), ("vgg16", [6, 12]), ("vgg16", [12])],
)
def test_a_caffemodel_gives_the_scores_of_its_network(
    write_caffemodel: WriteCaffe, backbone: str, rates: list[int], shared_copies: bool
) -> None:
    made = plan(backbone, rates)
    model = trained(made)
    path = write_caffemodel(as_caffe(model, shared_copies=shared_copies))
    same_scores(model, made, convert(path, made, 7))


@pytest.mark.parametrize("around", ["base.", "scale.", "module.base."])
def test_the_ports_file_gives_the_scores_of_its_network(tmp_path: Path, around: str) -> None:
    made = plan("resnet101", [6, 12, 18, 24])
    model = trained(made)
    state = {
        f"{around}{port_resnet(name)}": value for name, value in model.backbone.state_dict().items()
    }
    for number, branch in enumerate(model.classifier.branches):
        state |= {f"{around}aspp.c{number}.weight": branch.fc8.weight.detach()}
        state |= {f"{around}aspp.c{number}.bias": branch.fc8.bias.detach()}
    norms = [key.removesuffix("running_mean") for key in state if key.endswith("running_mean")]
    state |= {f"{key}num_batches_tracked": torch.tensor(0) for key in norms}
    torch.save(state, tmp_path / "port.pth")
    same_scores(model, made, convert(tmp_path / "port.pth", made, 7))
    weights = load_resnet("port.pth", tmp_path)  # and as initial weights
    assert (weights.flavour, weights.segmentation) == ("caffe", True)
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(weights.tensors[name], value)


def test_a_caffemodel_as_initial_weights(write_caffemodel: WriteCaffe, tmp_path: Path) -> None:
    """The original ResNet-101's classifier, of other classes, is no hindrance."""
    model = trained(plan("resnet101", [1], kernel=1))
    assert isinstance(model.backbone, ResNet101)
    fc1000 = ("InnerProduct", [np.ones((1000, 128)), np.ones(1000)])
    write_caffemodel(resnet_as_caffe(model.backbone) | {"fc1000": fc1000})
    weights = load_resnet("net.caffemodel", tmp_path)
    assert (weights.flavour, weights.segmentation) == ("caffe", False)
    for name, value in model.backbone.state_dict().items():
        torch.testing.assert_close(weights.tensors[name], value, rtol=1e-6, atol=0)
    write_caffemodel(as_caffe(model))  # the authors' own files, all of which have learned COCO
    assert load_resnet("net.caffemodel", tmp_path).segmentation


def test_old_biases_have_four_sides_and_untouched_statistics_are_zero(
    write_caffemodel: WriteCaffe,
) -> None:
    made = plan("resnet101", [6, 12])
    layers = as_caffe(trained(made))
    _, blobs = layers["fc1_voc12_c0"]
    blobs[1] = blobs[1].reshape(1, 1, 1, -1)
    layers["bn_conv1"][1][2] = np.zeros(1)
    state = convert(write_caffemodel(layers), made, 7)
    assert state["classifier.branches.0.fc8.bias"].shape == (7,)
    assert not state["backbone.bn1.running_mean"].any()


def refused(path: Path, made: Plan, *parts: str, classes: int = 7) -> None:
    with pytest.raises(ReplicationError) as caught:
        convert(path, made, classes)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for part in parts:
        assert part in message


def test_what_does_not_fit_is_named_on_both_sides(
    write_caffemodel: WriteCaffe, tmp_path: Path
) -> None:
    made = plan("resnet101", [6, 12])
    layers = as_caffe(trained(made))
    path = write_caffemodel(layers)
    said = "fc1_voc12_c0 is (7, 128, 3, 3), and classifier.branches.0.fc8.weight"
    refused(path, made, said, "(21, 128, 3, 3)", classes=21)
    refused(path, plan("resnet101", [6]), "lacks a layer that is fc8 of branch 1")
    refused(path, plan("vgg16", [6]), "another backbone", "the same backbone")
    refused(write_caffemodel(as_caffe(trained(plan("vgg16", [6])))), made, "another backbone")
    del layers["res4b7_branch2b"]
    path = write_caffemodel(layers)
    refused(path, made, "lacks res4b7_branch2b (backbone.layer3.7.conv2.weight of our network)")
    layers = as_caffe(trained(made))
    layers["bn5c_branch2c"][1][0][4] = np.nan
    refused(write_caffemodel(layers), made, "bn5c_branch2c holds NaN or infinity")
    (tmp_path / "w.onnx").write_bytes(b"x")
    refused(tmp_path / "w.onnx", made, "give a .caffemodel or a .pth")
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", made, "lacks layer1.conv1.conv.weight")


def test_strides_on_the_3x3_are_refused(write_caffemodel: WriteCaffe) -> None:
    """The shapes would fit, and the scores be wrong."""
    made = plan("resnet101", [12])
    path = write_caffemodel(as_caffe(trained(made)))
    refused(path, replace(made, flavour="torchvision"), "set its `flavour`", "to caffe")


def test_the_command_writes_what_scoring_reads(
    write_caffemodel: WriteCaffe, tmp_path: Path
) -> None:
    """VGG-16 with ASPP at 1/16 width, by the name of table 3's run."""
    for name in ("params.yaml", "experiments.yaml"):
        shutil.copy(HERE / name, tmp_path)
    profile = yaml.safe_load((HERE / "profiles" / "paper.yaml").read_text()) | {"width": WIDTH}
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "paper.yaml").write_text(yaml.safe_dump(profile))
    made = load(tmp_path, "paper").plan("aspp_l")
    model = trained(made, 21)
    path, out = write_caffemodel(as_caffe(model)), tmp_path / "w.safetensors"
    options = ["--run", "aspp_l", "--out", str(out), "--root", str(tmp_path)]
    assert CliRunner().invoke(app, ["convert", str(path), *options]).exit_code == 0
    found = load_trained(made, 21, out).state_dict()
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())
    with safe_open(out, "pt") as file:
        notes = json.loads(file.metadata()["replication"])
    assert notes["converted_from"] == {"file": path.name, "sha256": sha256_file(path)}
    assert (notes["classes"][15], len(notes["classes"])) == ("person", 21)
    refused = CliRunner().invoke(app, ["convert", str(path), *options, "--classes", "60"])
    assert "fc8_voc12_1 is (21, 64, 1, 1)" in str(refused.exception)
