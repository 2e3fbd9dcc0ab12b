"""Pre-training: batch norm in and out again, output stride 16, and the file that it writes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from replication.models.deeplab import DeepLab, build
from replication.models.resnet import ResNet101
from replication.models.resnet_weights import load_resnet
from replication.models.weights import load_backbone
from replication.plan import Plan, Settings
from replication.training import pretrain
from replication.training.pretrain import Backbone, pretraining_plan
from replication.training.pretrain_resnet import coarsen_resnet
from replication.training.pretrain_vgg import add_batch_norm, coarsen, fold_batch_norm


def small_plan(updates: int = 3, backbone: Backbone = "vgg16") -> Plan:
    plan = pretraining_plan(updates, backbone)
    profile = plan.profile.model_copy(update={"width": 1 / 32, "crop": 33})
    channels = {"vgg16": 128, "resnet101": None}[backbone]
    head = plan.head.model_copy(update={"channels": channels})
    return Plan(**{**vars(plan), "profile": profile, "head": head})


def small() -> DeepLab:
    torch.manual_seed(0)
    return DeepLab(small_plan(), 5)


def test_folding_keeps_the_function() -> None:
    model = small()
    add_batch_norm(model)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 15  # thirteen convolutions, fc6, fc7; none after fc8
    for norm in norms:  # as if trained: no number at its default
        nn.init.normal_(norm.weight, 1, 0.2)
        nn.init.normal_(norm.bias, 0, 0.2)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        nn.init.normal_(norm.running_mean, 0, 0.2)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    images = torch.randn(2, 3, 33, 49)
    model.double().eval()
    with torch.no_grad():
        expected = model(images.double())
        fold_batch_norm(model)
        found = model(images.double())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert model.state_dict().keys() == small().state_dict().keys()  # the plain network's names
    assert expected.std() > 0
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_output_stride_is_16_with_fc6_at_half_its_rate() -> None:
    model = small()
    coarsen(model.backbone)
    with torch.no_grad():
        assert model(torch.randn(1, 3, 145, 193)).shape == (1, 5, 10, 13)
    rates = {name: conv.dilation for name, conv in model.backbone.convolutions().items()}
    assert set(rates.values()) == {(1, 1)}
    plan = pretraining_plan(10)
    # rate 2 at stride 16 is rate 4 at stride 8: table 1's 7x7, which is decimated from here
    assert (plan.head.kernel, plan.head.rates) == (7, [2])
    assert (plan.profile.crop - 1) % pretrain.STRIDE == 0


def test_making_it_dense_keeps_the_scores_at_the_coarse_positions() -> None:
    """Section 3.1: the dense network's scores hold the coarse network's, every second one.

    pool4's windows differ at neither stride, conv5 and fc6 read the same positions at twice the
    rate; padding and pool5 (whose window is 3 positions at either stride) are what changes, so
    the features after conv5_3, before pool5, and away from the border are compared.
    """
    torch.manual_seed(0)
    dense, coarse = DeepLab(small_plan(), 5).double(), DeepLab(small_plan(), 5).double()
    coarse.load_state_dict(dense.state_dict())
    coarsen(coarse.backbone)
    images = torch.randn(1, 3, 257, 257, dtype=torch.float64)
    with torch.no_grad():
        fine = nn.Sequential(*list(dense.backbone)[:-1])(images)[:, :, ::2, ::2]
        rough = nn.Sequential(*list(coarse.backbone)[:-1])(images)
    assert fine.shape == rough.shape == (1, 16, 17, 17)
    torch.testing.assert_close(fine[..., 3:-3, 3:-3], rough[..., 3:-3, 3:-3])


def test_resnet_made_dense_keeps_the_features_at_the_coarse_positions() -> None:
    """As above, for layer3 and layer4: every layer reads the same positions at either stride."""
    torch.manual_seed(0)
    dense, coarse = (
        ResNet101(1 / 16, "torchvision").double(),
        ResNet101(1 / 16, "torchvision").double(),
    )
    coarse.load_state_dict(dense.state_dict())
    coarsen_resnet(coarse)
    images = torch.randn(1, 3, 257, 257, dtype=torch.float64)
    with torch.no_grad():
        fine, rough = dense(images)[..., ::2, ::2], coarse(images)
    assert fine.shape == rough.shape == (1, 128, 17, 17)
    assert fine.std() > 0
    torch.testing.assert_close(fine, rough)


def test_the_resnet_file_starts_a_run_and_is_the_same_bytes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrain, "SCENES", 6)
    monkeypatch.setattr(pretrain, "HELD_OUT", 2)
    monkeypatch.setattr(pretrain, "pretraining_plan", small_plan)
    for name in ("one", "two"):
        pretrain.pretrain(
            tmp_path / f"{name}.safetensors",
            tmp_path / "work",
            backbone="resnet101",
            updates=2,
            jobs=1,
        )
    one, two = (tmp_path / f"{name}.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    weights = load_resnet("one.safetensors", tmp_path)
    assert weights.flavour == "torchvision"
    assert set(weights.tensors) == set(ResNet101(1 / 32).state_dict())
    model = build(small_plan(2, "resnet101"), 5, weights, seed=0)
    assert isinstance(model.backbone, ResNet101)
    torch.testing.assert_close(model.backbone.bn1.running_var, weights.tensors["bn1.running_var"])
    assert (model.backbone.bn1.running_var != 1).all()  # it has seen images


def test_the_file_serves_every_run_and_is_the_same_bytes_again(
    tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three updates at 1/32 width on a handful of rendered scenes, twice."""
    monkeypatch.setattr(pretrain, "SCENES", 6)
    monkeypatch.setattr(pretrain, "HELD_OUT", 2)
    monkeypatch.setattr(pretrain, "pretraining_plan", small_plan)
    for name in ("one", "two"):
        pretrain.pretrain(tmp_path / f"{name}.safetensors", tmp_path / "work", updates=3, jobs=1)
    one, two = (tmp_path / f"{name}.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    weights = load_backbone("one.safetensors", tmp_path)
    assert weights.record()["has_fc6_and_fc7"]
    assert weights.layers["fc6"][0].shape == (128, 16, 7, 7)
    for run in tiny.experiments.runs:
        model = build(tiny.plan(run), 21, weights, seed=0)
        first = model.backbone.convolutions()["conv1_1"].weight.detach().numpy()
        np.testing.assert_array_equal(first, weights.layers["conv1_1"][0].numpy())
