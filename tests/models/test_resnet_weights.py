"""ResNet-101's initial weights: every kind of file, torchvision's convention, broken ones."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import resnet101

from replication.errors import ReplicationError
from replication.models.deeplab import DeepLab, build
from replication.models.resnet import ResNet101
from replication.models.resnet_weights import (
    ResNetWeights,
    convert_torchvision_resnet,
    load_resnet,
)
from replication.models.weights import BackboneWeights
from replication.plan import Plan
from replication.provenance import sha256_file
from replication.settings import Flavour, Head, Recipe
from replication.training.pretrain import pretraining_plan

Tensors = dict[str, Tensor]
WIDTH = 1 / 16
RECIPE = Recipe(policy="poly", batch_size=1, iterations=1, base_lr=0.1)


def tiny() -> Tensors:
    """Random tensors of the sample's kind: ResNet-101 at 1/16 width, torchvision's names."""
    torch.manual_seed(0)
    state = ResNet101(WIDTH).state_dict()
    return {
        name: torch.rand_like(value) if value.dim() == 1 else value for name, value in state.items()
    }


def plan(flavour: Flavour = "caffe", width: float = WIDTH) -> Plan:
    base = pretraining_plan(1)
    profile = base.profile.model_copy(update={"width": width})
    head = Head(kernel=1, rates=[1], channels=None, average_pool=False)
    return Plan(
        "resnet_plain", "x", profile, head, RECIPE, 1, backbone="resnet101", flavour=flavour
    )


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(ReplicationError) as caught:
        load_resnet(path.name, path.parent)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("flavour", ["caffe", "torchvision", None])
def test_round_trip(tmp_path: Path, flavour: Flavour | None) -> None:
    path, tensors = tmp_path / "resnet101.safetensors", tiny()
    notes = {"flavour": flavour} if flavour else None
    save_file({k: v.half() for k, v in tensors.items()}, path, metadata=notes)
    weights = load_resnet(path.name, tmp_path)
    assert weights.record() == {
        "origin": path.name,
        "sha256": sha256_file(path),
        "flavour": flavour,
    }
    model = build(plan(flavour or "caffe"), 5, weights, seed=0)
    for name, value in model.backbone.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, tensors[name].half().float(), rtol=0, atol=0)


def test_the_classifier_is_gaussian_and_follows_the_seed() -> None:
    weights = ResNetWeights(tiny(), "made up", "0" * 64, None)

    def fc8(seed: int) -> Tensor:
        model = build(plan(), 50, weights, seed)
        (branch,) = model.classifier.branches
        assert not branch.fc8.bias.any()
        return branch.fc8.weight

    assert fc8(0).std().item() == pytest.approx(0.01, rel=0.05)
    assert torch.equal(fc8(0), fc8(0))
    assert not torch.equal(fc8(0), fc8(1))


def test_conv1_reads_bgr_in_grey_levels() -> None:
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 7, 7)
    ours = convert_torchvision_resnet({"conv1.weight": weight})["conv1.weight"]
    rgb = torch.randint(0, 256, (1, 3, 9, 9)).float()
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    theirs = F.conv2d(rgb / 255 / std, weight)
    torch.testing.assert_close(F.conv2d(rgb.flip(1), ours), theirs, rtol=1e-4, atol=1e-4)


def test_a_torchvision_file_is_of_torchvisions_flavour(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = resnet101(weights=None).state_dict()
    state = {name: torch.ones(value.shape, dtype=value.dtype) for name, value in shapes.items()}
    torch.save(state, tmp_path / "resnet101.pth")
    weights = load_resnet("resnet101.pth", tmp_path)
    assert weights.flavour == "torchvision"
    assert weights.tensors["conv1.weight"][0, 0, 0, 0] == pytest.approx(1 / 255 / 0.225)
    with pytest.raises(ReplicationError) as caught:
        build(plan("caffe", 1.0), 21, weights, 0)
    message = str(caught.value)
    assert "of the flavour 'torchvision', and run 'resnet_plain' is 'caffe'" in message
    assert "set its `flavour` in experiments.yaml to torchvision" in message
    assert "\n" not in message
    build(plan("torchvision", 1.0), 21, weights, 0)


def test_a_run_of_ours_gives_its_backbone(tmp_path: Path) -> None:
    """COCO first: the classifier of the other classes is left behind."""
    model = DeepLab(plan("torchvision"), 81)
    notes = {"configuration": {"backbone": "resnet101", "flavour": "torchvision"}}
    save_file(model.state_dict(), tmp_path / "w.safetensors", {"replication": json.dumps(notes)})
    weights = load_resnet("w.safetensors", tmp_path)
    assert (weights.flavour, weights.segmentation) == ("torchvision", True)
    started = build(plan("torchvision"), 21, weights, 0)
    for name, value in started.backbone.state_dict().items():
        assert torch.equal(value, model.backbone.state_dict()[name])


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "do not exist", "`data.resnet_backbone`")
    (tmp_path / "w.npz").write_bytes(b"x")
    refused(tmp_path / "w.npz", "'.npz'", "give .safetensors, .caffemodel or .pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".caffemodel", ".pth"])
@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04 cut short"])
def test_rubbish_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"w{suffix}").write_bytes(content)
    refused(tmp_path / f"w{suffix}", "fetch the file again" if content else "")


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Owned:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "owned",)  # type: ignore[return-value]

    torch.save({"conv1.weight": Owned()}, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", "can't be read")
    torch.save({"conv1.weight": 3}, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", "holds no state dict")
    assert not (tmp_path / "owned").exists()


Change = Callable[[Tensors], None]


def _drop(state: Tensors) -> None:
    del state["layer3.7.bn2.running_var"]


def _poison(state: Tensors) -> None:
    state["layer4.2.conv3.weight"].view(-1)[3] = float("nan")


def _negate(state: Tensors) -> None:
    state["bn1.running_var"][0] = -1


def _flatten(state: Tensors) -> None:
    state["conv1.weight"] = state["conv1.weight"].flatten()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_drop, "lack layer3.7.bn2.running_var; give a ResNet-101"),
        (_poison, "layer4.2.conv3.weight holds NaN or infinity"),
        (_negate, "bn1.running_var holds a negative variance"),
        (_flatten, "conv1.weight is (588,); it must have 4 dimensions"),
    ],
)
def test_broken_tensors_are_named(tmp_path: Path, change: Change, said: str) -> None:
    state = tiny()
    change(state)
    save_file(state, tmp_path / "w.safetensors")
    refused(tmp_path / "w.safetensors", said)


def test_weights_of_another_width_or_network_are_refused() -> None:
    weights = ResNetWeights(tiny(), "made up", "0" * 64, None)
    with pytest.raises(
        ReplicationError, match=r"conv1.weight is \(4, 3, 7, 7\), the network needs"
    ):
        build(plan(width=0.25), 5, weights, 0)
    vgg = BackboneWeights({}, "a vgg", "0" * 64)
    with pytest.raises(
        ReplicationError, match="a vgg are not a resnet101's, as run 'resnet_plain'"
    ):
        build(plan(), 5, vgg, 0)
    with pytest.raises(ReplicationError, match="are not a vgg16's, as run 'pretraining'"):
        build(pretraining_plan(1), 5, weights, 0)


def test_a_failed_download_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    expected = r"can't be downloaded .*no route.*data\.resnet_backbone"
    with pytest.raises(ReplicationError, match=expected) as caught:
        load_resnet("torchvision", Path())
    assert "\n" not in str(caught.value)
