"""What only changes the time: kept images, a fused optimiser, compiled kernels."""

import shutil
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn

from replication import stages
from replication.data.canonical import DataSet
from replication.data.labels import read_label
from replication.errors import ReplicationError
from replication.plan import Settings, load
from replication.settings import Recipe
from replication.training import crops as crops_module
from replication.training.crops import Crops
from replication.training.module import Segmentation

FACTORS = (0.5, 1.0, 1.5)
RUN, SEED = "poly_b10_20k", 3


def test_kept_images_are_read_once_and_give_the_same_crops(
    dataset: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Crops(dataset, "train", 33, 0, FACTORS)
    kept = Crops(dataset, "train", 33, 0, FACTORS, cache=10**6)
    expected = [plain[number] for number in range(24)]  # four epochs
    read: list[Path] = []
    original = crops_module.read_image

    def reading(path: Path) -> Any:
        read.append(path)
        return original(path)

    monkeypatch.setattr(crops_module, "read_image", reading)
    for number, pair in enumerate(expected):
        assert all(torch.equal(a, b) for a, b in zip(kept[number], pair, strict=True))
    assert len(read) == len(set(read)) == 6


@pytest.mark.parametrize("short", [0, 1])
def test_no_more_is_kept_than_allowed(dataset: DataSet, short: int) -> None:
    """Room for the first two images, or a byte less: 3 bytes a pixel, and 1 of the label."""
    order = [Crops(dataset, "train", 33, 0).id_of(number) for number in range(6)]
    sizes = {name: 4 * read_label(dataset.label_path(name), 3).size for name in order}
    crops = Crops(dataset, "train", 33, 0, cache=sizes[order[0]] + sizes[order[1]] - short)
    for number in range(2):
        crops[number]
    assert list(crops._kept) == order[: 2 - short]
    held = sum(pixels.nbytes + label.nbytes for pixels, label in crops._kept.values())
    assert held == sum(sizes[name] for name in crops._kept)
    assert crops.room == (0 if not short else sizes[order[1]] - 1)


class Layers(nn.Sequential):
    """A 3x3 and a 1x1, whose filters lie in memory channels last."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, padding=1)
        self.fc8 = nn.Conv2d(8, 5, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def test_fused_updates_are_the_plain_ones_to_rounding() -> None:
    """Against torch's loop over single parameters: five updates, momentum and decay in them."""
    recipe = Recipe(
        policy="poly", batch_size=2, iterations=5, base_lr=0.1, weight_decay=0.1, momentum=0.9
    )
    fused, plain = Layers(), Layers()
    ours = Segmentation(fused, recipe, 2, 0).configure_optimizers()["optimizer"]
    assert isinstance(ours, torch.optim.SGD)
    assert ours.defaults["fused"]
    theirs = torch.optim.SGD(
        [{**group, "fused": False, "params": []} for group in ours.param_groups],
        lr=0.1,
        momentum=0.9,
        fused=False,
        foreach=False,
    )
    names = {parameter: name for name, parameter in fused.named_parameters()}
    of_plain = dict(plain.named_parameters())
    for group, its in zip(ours.param_groups, theirs.param_groups, strict=True):
        its["params"] = [of_plain[names[parameter]] for parameter in group["params"]]
        its["foreach"] = False
    images = torch.randn(2, 3, 9, 9)
    for _ in range(5):
        for model, optimizer in ((fused, ours), (plain, theirs)):
            optimizer.zero_grad()
            model(images).square().mean().backward()
            optimizer.step()
    for name, parameter in fused.named_parameters():
        torch.testing.assert_close(parameter, of_plain[name], rtol=1e-6, atol=1e-7, msg=name)
        assert not torch.equal(parameter, dict(Layers().named_parameters())[name])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("devices", 0),
        ("devices", "all"),
        ("num_nodes", 0),
        ("num_nodes", "auto"),
        ("compile", "yes please"),
        ("image_cache", -1),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(tiny: Settings, key: str, value: Any) -> None:
    path = tiny.root / "params.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {key: value}))
    with pytest.raises(ReplicationError, match=rf"params\.yaml: .*`{key}`") as caught:
        load(tiny.root)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own
def test_a_compiled_network_learns_the_same(
    tiny: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graphs are taken, and run as they are: what a compiler makes of them is torch's."""
    compiled: list[dict[str, Any]] = []
    original = nn.Module.compile

    def taking(self: nn.Module, **options: Any) -> None:
        compiled.append(options)
        original(self, backend="eager", **options)

    monkeypatch.setattr(nn.Module, "compile", taking)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # no graph holds its checks
    path = tiny.root / "params.yaml"
    found = []
    for setting in (False, True):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"compile": setting}))
        settings = load(tiny.root)
        stages.train(settings, RUN)
        out = settings.place("runs", RUN, SEED)
        found.append(load_file(out / "weights.safetensors"))
        shutil.rmtree(out)
        assert len(compiled) == (2 if setting else 0)
    torch._dynamo.reset()
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
