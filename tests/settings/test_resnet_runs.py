"""Runs of ResNet-101: several scales, what decides the weights, and runs that start from others."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from replication.errors import ReplicationError
from replication.plan import load, scale
from replication.settings import MultiScale, Run

HERE = Path(__file__).resolve().parents[2]
PROFILES = sorted(path.stem for path in (HERE / "profiles").glob("*.yaml"))
RESNET = """
  about: x
  data: voc2012
  backbone: resnet101
  search: vgg_aspp
  init: imagenet
  head: {kernel: 3, rates: [6, 12, 18, 24], channels: null, average_pool: false}
  recipe: {policy: poly, batch_size: 10, iterations: 20_000, base_lr: 2.5e-4, average: image}
  multi_scale: {}
  rescale: [0.5, 0.75, 1, 1.25, 1.5]
"""


def test_a_resnet_run_is_read_and_scaled(root: Path, change: Any) -> None:
    change(root / "experiments.yaml", "runs.resnet", yaml.safe_load(RESNET))
    for profile in PROFILES:
        if profile == "photos":
            change(root / "params.yaml", "data.folder", ".")
        change(root / "params.yaml", "profile", profile)
        plan = load(root).plan("resnet")
        assert (plan.backbone, plan.flavour, plan.init) == ("resnet101", "caffe", "imagenet")
        assert plan.multi_scale == MultiScale(scales=[1.0, 0.75, 0.5], wiring="authors")
        assert plan.rescale == (0.5, 0.75, 1, 1.25, 1.5)
        assert (plan.head.channels, plan.recipe.average) == (None, "image")
        said = plan.configuration()
        assert (said["backbone"], said["flavour"]) == ("resnet101", "caffe")
        assert json.loads(json.dumps(said)) == said
    change(root / "params.yaml", "profile", "smoke")
    change(root / "profiles" / "smoke.yaml", "crop", 105)
    with pytest.raises(ReplicationError) as caught:
        load(root).plan("resnet")
    message = str(caught.value)
    assert message.startswith("profiles/smoke.yaml: `crop` is 105; run 'resnet' at scales [1.0, ")
    assert "needs 16 k + 1: use 97 or 113" in message


def test_what_decides_a_resnet_changes_its_fingerprint(root: Path) -> None:
    run = Run.model_validate(yaml.safe_load(RESNET))
    settings = load(root)
    changes: list[dict[str, Any]] = [
        {},
        {"flavour": "torchvision"},
        {"multi_scale": None},
        {"multi_scale": MultiScale(wiring="ports")},
        {"rescale": [1.0]},
        {"init": "other"},
        {"recipe": run.recipe.model_copy(update={"average": "batch"})},
    ]
    plans = [scale("r", run.model_copy(update=c), "smoke", settings.profile) for c in changes]
    assert len({plan.fingerprint() for plan in plans}) == len(changes)


def test_a_run_that_starts_from_another(root: Path, change: Any, complaint: Any) -> None:
    path, run = root / "experiments.yaml", yaml.safe_load(RESNET)
    change(path, "runs.first", run)
    change(path, "runs.second", run | {"init": "first"})
    assert load(root).plan("second").init == "first"
    for wrong, said in (
        ("none", "`runs.second.init` is 'none'; name another run"),
        ("second", "`runs.second.init` is 'second'; name another run"),
        ("aspp_l", "whose backbone is vgg16 (caffe), not resnet101 (caffe)"),
    ):
        change(path, "runs.second.init", wrong)
        assert said in complaint(root)
    change(path, "runs.second", run | {"init": "first", "flavour": "torchvision"})
    assert "whose backbone is resnet101 (caffe), not resnet101 (torchvision)" in complaint(root)
    change(path, "runs.second", run | {"init": "first"})
    change(path, "runs.third", run | {"init": "second"})
    assert "which itself starts from 'first'" in complaint(root)
