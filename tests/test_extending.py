"""What docs/extending.md tells a newcomer to write works as it is written there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from replication.plan import load

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def insert(path: Path, text: str, *, before: str = "", after: str = "") -> None:
    """Write ``text`` at a place that the file has once."""
    source = path.read_text(encoding="utf-8")
    assert source.count(before + after) == 1, path
    path.write_text(source.replace(before + after, after + text + before), encoding="utf-8")


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A newcomer's copy of the settings, with the page's run among `runs`."""
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    for name in ("params.yaml", "experiments.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    (run,) = blocks("yaml")
    run = run.replace("aspp_wide", "aspp_of_the_page")  # a reader may have it already
    insert(tmp_path / "experiments.yaml", run + "\n", before="# What the other tables' runs share")
    return tmp_path


def test_the_run_is_known_at_every_scale(theirs: Path) -> None:
    for profile, channels in (("paper", 1_024), ("demo", 128)):
        plan = load(theirs, profile).plan("aspp_of_the_page")
        assert (plan.head.rates, plan.head.channels) == ([6, 12, 24, 36], channels)
    assert load(theirs, "paper").plan("aspp_of_the_page").recipe.policy == "poly"


CHECK = """
from pathlib import Path

import torch

import replication
from replication.models.deeplab import build
from replication.models.vgg import VGG16
from replication.models.weights import BackboneWeights
from replication.plan import load
from replication.training.recipe import parameter_groups

assert Path(replication.__file__).is_relative_to(Path.cwd()), replication.__file__
plan = load(Path.cwd(), "smoke").plan("aspp_of_the_page")
vgg = VGG16(plan.profile.width).convolutions()
layers = {name: (layer.weight.detach(), layer.bias.detach()) for name, layer in vgg.items()}
inputs = layers["conv5_3"][0].shape[0]
layers["fc6"] = torch.rand(512, inputs, 7, 7), torch.rand(512)
layers["fc7"] = torch.rand(512, 512, 1, 1), torch.rand(512)
model = build(plan, 21, BackboneWeights(layers, "made up", "0" * 64), seed=0)
*rates, pooled = model.classifier.branches
assert [branch.fc6.dilation[0] for branch in rates] == [6, 12, 24, 36]

features = torch.rand(2, inputs, 9, 11)
with torch.no_grad():
    pooled.fc8.bias.fill_(0.5)
    sums = sum(branch.eval()(features) for branch in rates)
    means = torch.einsum("bchw,kc->bk", features, pooled.fc8.weight[:, :, 0, 0]) / 99 + 0.5
    expected = sums + means[:, :, None, None]
    torch.testing.assert_close(model.classifier(features), expected)

model(torch.rand(1, 3, 65, 65)).square().sum().backward()
assert pooled.fc8.weight.grad.abs().sum() > 0
rates = {
    id(parameter): group["lr"] / plan.recipe.base_lr
    for group in parameter_groups(model, plan.recipe)
    for parameter in group["params"]
}
assert round(rates[id(pooled.fc8.weight)]) == 10
"""


def test_the_head_is_built_initialised_and_learned(theirs: Path) -> None:
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "replication", theirs / "replication", ignore=skip)
    setting, lines = blocks("text")
    (layers,) = blocks("python")
    insert(
        theirs / "replication" / "settings" / "network.py",
        setting,
        after="    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5\n",
    )
    heads = theirs / "replication" / "models" / "heads.py"
    insert(heads, layers + "\n\n", before="class Classifier(nn.Module):\n")
    insert(heads, lines, after=") for rate in head.rates\n        )\n")
    settings = theirs / "experiments.yaml"
    changed = settings.read_text(encoding="utf-8").replace(
        "rates: [6, 12, 24, 36], ", "rates: [6, 12, 24, 36], image_pooling: true, "
    )
    settings.write_text(changed, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHECK],
        cwd=theirs,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_the_page_names_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
