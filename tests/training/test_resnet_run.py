"""ResNet-101 at several scales through training and scoring: a toy network, real stages."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load_file, save_file

from replication import stages
from replication.data.canonical import DataSet
from replication.errors import ReplicationError
from replication.inference.score import load_trained, padded_input
from replication.inference.store import read_scores
from replication.models.deeplab import DeepLab, build
from replication.models.resnet import ResNet101
from replication.models.resnet_weights import load_resnet
from replication.plan import Plan, Settings, load, scale
from replication.provenance import sha256_file
from replication.settings import Experiments, Profile, Run, parse
from replication.stages.network import _initial_weights
from replication.training.recipe import parameter_groups

HERE = Path(__file__).resolve().parents[2]
SEED = 3
# 20,000 iterations of a batch of 10 become 24 of 4; here 3.
RUN = """
about: a test
data: voc2012
backbone: resnet101
search: vgg_aspp
head: {kernel: 3, rates: [6, 12, 18, 24], channels: null, average_pool: false}
recipe: {policy: poly, batch_size: 10, iterations: 2_500, base_lr: 2.5e-4, average: image}
multi_scale: {}
rescale: [0.5, 0.75, 1.0, 1.25, 1.5]
"""


@pytest.fixture
def root(tiny: Settings) -> Settings:
    """Return settings with the runs `resnet` and `after` (which starts from it), and weights."""
    path = tiny.root / "experiments.yaml"
    experiments = yaml.safe_load(path.read_text())
    run = yaml.safe_load(RUN)
    experiments["runs"] |= {"resnet": run, "after": run | {"init": "resnet", "rescale": [1.0]}}
    path.write_text(yaml.safe_dump(experiments))
    profile = tiny.root / "profiles" / "tiny.yaml"
    values = yaml.safe_load(profile.read_text())
    values["resnet_backbone"] = "resnet.safetensors"
    profile.write_text(yaml.safe_dump(values))
    torch.manual_seed(0)
    save_file(
        ResNet101(1 / 32).state_dict(), tiny.root / "resnet.safetensors", {"flavour": "caffe"}
    )
    return load(tiny.root)


def test_trained_and_scored_through_the_stages(root: Settings) -> None:
    stages.train(root, "resnet")
    out = root.place("runs", "resnet", SEED)
    record = json.loads((out / "train.json").read_text())
    assert record["updates"] == 3
    said = record["configuration"]
    assert (said["backbone"], said["flavour"]) == ("resnet101", "caffe")
    assert said["multi_scale"] == {"scales": [1.0, 0.75, 0.5], "wiring": "authors"}
    assert said["rescale"] == [0.5, 0.75, 1.0, 1.25, 1.5]
    assert record["backbone"] == {
        "origin": "resnet.safetensors",
        "sha256": sha256_file(root.root / "resnet.safetensors"),
        "flavour": "caffe",
    }
    # batch norm is what it was; every convolution has learned
    before = load_file(root.root / "resnet.safetensors")
    after = load_file(out / "weights.safetensors")
    for name, value in before.items():
        frozen = value.dim() == 1
        assert torch.equal(after[f"backbone.{name}"], value) == frozen, name

    stages.score(root, "resnet")
    scores = root.place("scores", "resnet", SEED)
    assert json.loads((scores / "score.json").read_text())["scales"] == [1.0, 0.75, 0.5]
    plan, dataset = root.plan("resnet"), DataSet.open(root.place("datasets", "voc2012"))
    model = load_trained(plan, dataset.num_classes, out / "weights.safetensors")
    for name in dataset.ids("val"):
        image = padded_input(dataset.image_path(name), 57)[None]
        with torch.inference_mode():
            expected = explicit_maximum(model, image)
        found = read_scores(scores / f"{name}.npz", dataset.num_classes)
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-4)


def explicit_maximum(model: DeepLab, image: torch.Tensor) -> np.ndarray:
    """57 pixels at three scales: 56, 42 and 28 between corners; the nearest 8 k are 40 and 32."""
    maps = []
    for side in (57, 41, 33):
        resized = F.interpolate(image, (side, side), mode="bilinear", align_corners=True)
        one = model.classifier(model.backbone(resized))
        maps.append(F.interpolate(one, (8, 8), mode="bilinear", align_corners=True))
    return torch.stack(maps).amax(0)[0].numpy()  # type: ignore[no-any-return]


def test_a_run_starts_from_another_runs_backbone(root: Settings) -> None:
    with pytest.raises(ReplicationError) as caught:
        stages.train(root, "after")
    message = str(caught.value)
    assert "run 'after' starts from 'resnet'" in message
    assert "run `dvc repro train@resnet` first" in message
    stages.train(root, "resnet")
    stages.train(root, "after")
    record = json.loads((root.place("runs", "after", SEED) / "train.json").read_text())
    first = root.place("runs", "resnet", SEED) / "weights.safetensors"
    assert record["backbone"]["sha256"] == sha256_file(first)
    assert record["configuration"]["init"] == "resnet"


def test_the_papers_runs_do_not_start_from_a_segmentation_network(
    root: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the rows without COCO would have it, and be called comparable."""
    state = load_file(root.root / "resnet.safetensors")
    whole = {f"backbone.{name}": value for name, value in state.items()}
    save_file(whole, root.root / "resnet.safetensors", {"flavour": "caffe"})
    weights = _initial_weights(root, root.plan("resnet"), SEED)  # on anyone's own images it may
    assert weights.segmentation
    monkeypatch.setattr(Plan, "comparable", True)
    with pytest.raises(ReplicationError) as caught:
        _initial_weights(root, root.plan("resnet"), SEED)
    message = str(caught.value)
    assert "run 'resnet' starts from ImageNet alone in the paper" in message
    assert "set `data.resnet_backbone` in params.yaml" in message
    assert "\n" not in message


def test_killed_and_resumed_equals_undisturbed(
    root: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from replication.training import run

    profile = root.profile.model_copy(update={"checkpoint_every": 2})
    settings = Settings(root.root, root.params, profile, root.experiments)
    step = run.Segmentation.training_step

    def stopping(self: run.Segmentation, *arguments: Any) -> Any:
        if self.global_step == 2:
            raise KeyError("stop")
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(run.Segmentation, "training_step", stopping)
        with pytest.raises(KeyError, match="stop"):
            stages.train(settings, "resnet")
    assert (settings.place("checkpoints", "resnet", SEED) / "last.ckpt").is_file()
    stages.train(settings, "resnet")
    path = settings.place("runs", "resnet", SEED) / "weights.safetensors"
    resumed = sha256_file(path)
    path.unlink()
    stages.train(settings, "resnet")
    assert sha256_file(path) == resumed


def test_learning_rates_are_1_10_and_20_and_batch_norm_has_none(root: Settings) -> None:
    plan = root.plan("resnet")
    weights = load_resnet("resnet.safetensors", root.root)
    model = build(plan, 3, weights, 0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        (group["lr"] / plan.recipe.base_lr, group["weight_decay"]): {
            names[id(parameter)] for parameter in group["params"]
        }
        for group in parameter_groups(model, plan.recipe)
    }
    convolutions = {
        f"backbone.{name}" for name, value in weights.tensors.items() if value.dim() == 4
    }
    last = [f"classifier.branches.{branch}.fc8" for branch in range(4)]
    assert found == {
        (1, 5e-4): convolutions,
        (10, 5e-4): {f"{name}.weight" for name in last},
        (20, 0): {f"{name}.bias" for name in last},
    }
    assert len(convolutions) == 1 + 33 * 3 + 4


def paper(run: str) -> Plan:
    experiments = parse(Experiments, HERE / "experiments.yaml")
    profile = parse(Profile, HERE / "profiles" / "paper.yaml")
    runs = experiments.runs | {"resnet": Run.model_validate(yaml.safe_load(RUN))}
    return scale(run, runs[run], "paper", profile)


def test_at_the_papers_scale() -> None:
    with torch.device("meta"):
        model = DeepLab(paper("resnet"), 21)
        branches = model.branches(torch.empty(1, 3, 321, 321))
    assert [tuple(b.shape) for b in branches] == [(1, 21, n, n) for n in (41, 31, 21)]
    assert model.num_parameters() == 42_500_160 + 4 * (9 * 2_048 * 21 + 21)
