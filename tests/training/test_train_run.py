"""A whole run: records, curves, what is kept, and what a kill at any moment leaves behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, safe_open

from replication import stages
from replication.data.canonical import DataSet, ids_sha256
from replication.data.folder import prepare_folder
from replication.errors import ReplicationError
from replication.inference.score import load_trained
from replication.models.deeplab import DeepLab, build
from replication.models.weights import BackboneWeights, load_backbone
from replication.plan import Plan, Settings, scale
from replication.provenance import sha256_file
from replication.settings import Experiments, Profile, parse
from replication.training import resume, run
from replication.training.crops import Crops
from replication.training.loss import shrink_labels, summed_loss
from replication.training.recipe import learning_rate_factor

HERE = Path(__file__).resolve().parents[2]
RUN, UPDATES, SEED = "poly_b10_20k", 24, 3

# A training process that kills itself while it writes checkpoint number argv[3], if given.
CHILD = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[2]))
import lightning as L
from replication import stages
from replication.plan import load
if len(sys.argv) > 3:
    save, count = L.Trainer.save_checkpoint, 0
    def killed(self, path, *args, **kwargs):
        global count
        count += 1
        save(self, path, *args, **kwargs)
        if count == int(sys.argv[3]):
            Path(path).write_bytes(Path(path).read_bytes()[:5000])
            os.kill(os.getpid(), signal.SIGKILL)
    L.Trainer.save_checkpoint = killed
stages.train(load(Path(sys.argv[1])), "poly_b10_20k")
"""


def child(settings: Settings, *arguments: str) -> subprocess.Popen[bytes]:
    threads = str(torch.get_num_threads())
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(settings.root), threads, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def places(settings: Settings, name: str = RUN) -> tuple[Path, Path]:
    return settings.place("runs", name, SEED), settings.place("checkpoints", name, SEED)


def train(settings: Settings, **changes: Any) -> dict[str, Any]:
    out, checkpoints = places(settings)
    weights = load_backbone(settings.profile.backbone, settings.root)
    dataset = DataSet.open(settings.place("datasets", "voc2012"))
    options = {"device": "cpu", "precision": "32-true", **changes}
    plan = options.pop("plan", settings.plan(RUN))
    return run.train(plan, dataset, weights, SEED, out=out, checkpoints=checkpoints, **options)


class Stop(Exception):
    """What the tests interrupt training with."""


def stop_at(monkeypatch: pytest.MonkeyPatch, update: int) -> None:
    """Make the update raise `Stop`."""
    step = run.Segmentation.training_step

    def stopping(self: run.Segmentation, *arguments: Any) -> Any:
        if self.global_step == update:
            raise Stop
        return step(self, *arguments)

    monkeypatch.setattr(run.Segmentation, "training_step", stopping)


def partial(settings: Settings, monkeypatch: pytest.MonkeyPatch, update: int = 18) -> Path:
    """Train up to ``update`` and return the last checkpoint."""
    with monkeypatch.context() as patch:
        stop_at(patch, update)
        with pytest.raises(Stop):
            train(settings)
    return places(settings)[1] / "last.ckpt"


def test_killed_twice_and_resumed_equals_undisturbed(tiny: Settings) -> None:
    out, checkpoints = places(tiny)
    process = child(tiny)
    curve = checkpoints / "live" / "plots" / "metrics" / "lr.tsv"
    last = checkpoints / "last.ckpt"
    deadline = time.monotonic() + 300
    # A moment mid-way: a checkpoint is there, and a row of the curve that is perhaps beyond it.
    while not (last.is_file() and curve.is_file() and len(curve.read_text().splitlines()) > 1):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "train.json").exists()
    first = torch.load(last, weights_only=True)["global_step"]
    assert first in (7, 14, 21)

    # Killed again while the next checkpoint is half written: the one before it must serve.
    if first < 21:
        assert child(tiny, "1").wait() == -signal.SIGKILL
        assert torch.load(last, weights_only=True)["global_step"] == first

    stages.train(tiny, RUN)
    killed = load_file(out / "weights.safetensors")
    rows = pd.read_csv(out / "curve.tsv", sep="\t")
    record = json.loads((out / "train.json").read_text())
    assert not checkpoints.exists()

    shutil.rmtree(tiny.place("runs"))
    stages.train(tiny, RUN)
    undisturbed = load_file(out / "weights.safetensors")
    assert killed.keys() == undisturbed.keys()
    assert all(torch.equal(killed[name], undisturbed[name]) for name in killed)
    assert record["weights_sha256"] == sha256_file(out / "weights.safetensors")
    # No update stands twice, none is missing, and the numbers are the same.
    assert rows["step"].tolist() == [10, 20, 24]
    pd.testing.assert_frame_equal(rows, pd.read_csv(out / "curve.tsv", sep="\t"))


@pytest.mark.parametrize("update", [10, 14])
def test_interrupted_at_any_update_the_curve_is_whole(
    tiny: Settings, monkeypatch: pytest.MonkeyPatch, update: int
) -> None:
    last = partial(tiny, monkeypatch, update)
    assert torch.load(last, weights_only=True)["global_step"] == update // 7 * 7
    for file in last.parent.glob("live/plots/metrics/*.tsv"):
        file.write_text("")  # cut short by a crash
    live: list[list[str]] = []
    write = run.Curves.write

    def spy(self: run.Curves, path: Path) -> None:
        loss = self.folder / "plots" / "metrics" / "loss.tsv"
        live.append([line.split("\t")[0] for line in loss.read_text().splitlines()])
        write(self, path)

    monkeypatch.setattr(run.Curves, "write", spy)
    train(tiny)
    rows = pd.read_csv(places(tiny)[0] / "curve.tsv", sep="\t")
    assert rows["step"].tolist() == [10, 20, 24]
    assert live == [["step", "10", "20", "24"]]  # what `dvc plots show` draws, too


def test_record_and_curve_say_what_was_done(tiny: Settings) -> None:
    record = train(tiny)
    out, checkpoints = places(tiny)
    names = sorted(path.name for path in out.iterdir())
    assert names == ["curve.tsv", "train.json", "weights.safetensors"]
    assert not checkpoints.exists()
    assert record == json.loads((out / "train.json").read_text())
    assert (record["run"], record["profile"], record["seed"]) == (RUN, "tiny", SEED)
    assert record["updates"] == UPDATES
    assert record["images_per_second"] == pytest.approx(UPDATES * 4 / record["seconds"], rel=0.01)
    assert record["peak_memory_mib"] > 0
    assert (record["device"], record["precision"]) == ("cpu", "32-true")
    assert record["backbone"]["sha256"] == sha256_file(tiny.root / "backbone.safetensors")
    assert record["data"]["images"] == 6
    assert record["field_of_view"] == 224
    assert record["configuration"] == tiny.plan(RUN).configuration()
    state = load_file(out / "weights.safetensors")
    assert record["parameters"] == sum(value.numel() for value in state.values())
    with safe_open(out / "weights.safetensors", "pt") as file:
        assert list(file.metadata()) == ["replication"]  # two would come in random order
        notes = json.loads(file.metadata()["replication"])
    assert notes["classes"] == ["ground", "sheep", "tree"]
    assert notes["configuration"] == record["configuration"]
    assert (notes["data"], notes["test_size"], notes["seed"]) == ("made up", 57, SEED)
    assert notes["hashes"] == {
        "data": record["data"]["meta_sha256"],
        "initial_weights": sha256_file(tiny.root / "backbone.safetensors"),
        "fingerprint": record["fingerprint"],
    }
    assert str(tiny.root) not in str(notes)
    rows = pd.read_csv(out / "curve.tsv", sep="\t")
    assert list(rows) == ["step", "loss", "lr"]
    # The row of step n holds the rate that update n - 1 (0-based) was made with.
    expected = [0.01 * (1 - (step - 1) / UPDATES) ** 0.9 for step in (10, 20, 24)]
    assert rows["lr"].tolist() == pytest.approx(expected, rel=1e-6)


def test_a_finished_run_is_kept_and_a_damaged_one_made_again(
    tiny: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(tiny)
    out, _ = places(tiny)
    with monkeypatch.context() as patch:
        stop_at(patch, 0)
        assert train(tiny) == first  # nothing is trained
        (out / "weights.safetensors").write_bytes(b"damaged")
        with pytest.raises(Stop):
            train(tiny)
    again = train(tiny)
    assert again["weights_sha256"] == first["weights_sha256"]


def test_a_finished_run_outlives_a_failed_one_of_other_settings(
    tiny: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tiny)
    out, _ = places(tiny)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    plan = tiny.plan(RUN)
    other = Plan(**{**vars(plan), "recipe": plan.recipe.model_copy(update={"base_lr": 1e9})})
    with pytest.raises(ReplicationError, match="the loss is"):
        train(tiny, plan=other)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_corrupt_checkpoint_starts_anew(
    tiny: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    last = partial(tiny, monkeypatch, 8)
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 0xFF  # one byte of the weights: torch.load would not see it
    last.write_bytes(content)
    seen: list[int] = []
    step = run.Segmentation.training_step

    def spying(self: run.Segmentation, *arguments: Any) -> Any:
        seen.append(self.global_step)
        return step(self, *arguments)

    monkeypatch.setattr(run.Segmentation, "training_step", spying)
    train(tiny)
    assert seen == list(range(UPDATES))
    assert "can't be read" in capfd.readouterr().err


@pytest.mark.parametrize("damage", ["short", "empty", "flipped", "foreign", "lacking", "a folder"])
def test_damage_to_a_checkpoint_is_seen(tmp_path: Path, damage: str) -> None:
    last = tmp_path / "last.ckpt"
    state: dict[str, Any] = {
        "callbacks": {"Checkpoints": {"fingerprint": "f"}},
        "global_step": 7,
        "state_dict": {"weight": torch.randn(1_000)},
    }
    torch.save(state, last)
    said: list[str] = []
    assert resume.usable_checkpoint(last, "f", said.append) == 7
    assert not said
    assert resume.usable_checkpoint(last, "g", said.append) is None
    assert "is of other settings, data or code: training starts anew" in said.pop()
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 0x01
    new = {"short": content[:-99], "empty": b"", "flipped": content, "foreign": b"x" * 999}
    if damage == "lacking":
        torch.save({"global_step": 7}, last)
    elif damage == "a folder":
        last.unlink()
        last.mkdir()
        assert resume.usable_checkpoint(last, "f", said.append) is None
        return
    else:
        last.write_bytes(new[damage])
    assert resume.usable_checkpoint(last, "f", said.append) is None
    assert f"{last} can't be read" in said[0]


def test_a_checkpoint_of_something_else_is_not_gone_on_from(
    tiny: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    partial(tiny, monkeypatch, 8)
    out, checkpoints = places(tiny)
    saved = tiny.root / "saved"
    checkpoints.rename(saved)
    plan = tiny.plan(RUN)
    other_plan = Plan(**{**vars(plan), "recipe": plan.recipe.model_copy(update={"momentum": 0.5})})
    weights = load_backbone(tiny.profile.backbone, tiny.root)
    other_weights = BackboneWeights(weights.layers, weights.origin, "1" * 64)
    dataset = DataSet.open(tiny.place("datasets", "voc2012"))
    stop_at(monkeypatch, 8)

    def attempt(
        plan: Plan = plan,
        weights: BackboneWeights = weights,
        seed: int = SEED,
        precision: str = "32-true",
    ) -> str:
        shutil.rmtree(checkpoints, ignore_errors=True)
        shutil.copytree(saved, checkpoints)
        capfd.readouterr()
        with pytest.raises(Stop):
            run.train(
                plan,
                dataset,
                weights,
                seed,
                out=out,
                checkpoints=checkpoints,
                device="cpu",
                precision=precision,
            )
        return capfd.readouterr().err

    assert "goes on from update 7" in attempt()
    stop_at(monkeypatch, 0)
    assert "starts anew" in attempt(plan=other_plan)
    assert "starts anew" in attempt(weights=other_weights)
    assert "starts anew" in attempt(seed=4)
    assert "starts anew" in attempt(precision="bf16-mixed")
    with monkeypatch.context() as patch:
        patch.setattr(run, "code_hash", lambda: "other")
        assert "starts anew" in attempt()
    meta = tiny.place("datasets", "voc2012") / "meta.json"
    meta.write_text(meta.read_text().replace("made up", "other"))
    assert "starts anew" in attempt()


def test_the_code_hash_follows_code_and_not_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "_PACKAGE", tmp_path)
    for room in ("models", "training"):
        (tmp_path / room).mkdir()
    file = tmp_path / "models" / "vgg.py"
    hashes = []
    for source in (
        'def f(x):\n    """Say."""\n    return x + 1\n',
        'def f(x):\n    """Say it better."""\n    # why\n    return (x\n            + 1)\n',
        "def f(x):\n    return x + 2\n",
        'def f(x):\n    y = """Say."""\n    return x + 2\n',
    ):
        file.write_text(source)
        hashes.append(resume.code_hash())
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    for name in ("pretrain", "pretrain_vgg", "pretrain_resnet"):
        (tmp_path / "training" / f"{name}.py").write_text("x = 1\n")
    assert resume.code_hash() == hashes[3]
    (tmp_path / "training" / "loss.py").write_text("x = 1\n")
    assert resume.code_hash() != hashes[3]


def test_nan_names_the_update_and_keeps_the_checkpoint(
    tiny: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:

    def poisoned(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        poisoned.calls += 1  # type: ignore[attr-defined]
        bad = poisoned.calls > 2 * 9  # type: ignore[attr-defined]  # two micro-batches an update
        result: torch.Tensor = summed_loss(scores, labels) * (float("nan") if bad else 1)
        return result

    poisoned.calls = 0  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr("replication.training.module.summed_loss", poisoned)
        with pytest.raises(ReplicationError, match=r"the loss is nan at update 9 \(") as caught:
            train(tiny)
    assert "lower `base_lr`" in str(caught.value)
    assert "\n" not in str(caught.value)
    out, checkpoints = places(tiny)
    state = torch.load(checkpoints / "last.ckpt", weights_only=True)
    assert state["global_step"] == 7
    assert all(torch.isfinite(value).all() for value in state["state_dict"].values())
    assert not out.exists()
    shown = capfd.readouterr().err  # the bar, on a terminal, is closed: the error has its own line
    assert not shown or shown.endswith("\n")
    assert train(tiny)["updates"] == UPDATES  # the cause gone, it goes on from there


def test_weights_that_the_last_update_ruined_are_not_kept(
    tiny: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "replication.training.module.learning_rate_factor",
        lambda recipe, update: float("inf") if update == UPDATES - 1 else 0.1,
    )
    with pytest.raises(ReplicationError, match="update 23 made weights that are NaN or infinite"):
        train(tiny)
    assert not places(tiny)[0].exists()


def test_training_on_evaluated_images_is_refused(tiny: Settings) -> None:
    root = tiny.place("datasets", "voc2012")
    meta = json.loads((root / "meta.json").read_text())
    ids = ["t0", "v1"]
    (root / "splits" / "train.txt").write_text("t0\nv1\n")
    meta["splits"]["train"] = {"count": 2, "sha256": ids_sha256(ids)}
    (root / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(ReplicationError, match=r"`train` holds 1 of the images .*\(v1\)"):
        train(tiny)
    assert not places(tiny)[0].exists()


def test_rates_of_both_policies_while_lightning_runs(
    tiny: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rates that SGD steps with, group by group, against the closed forms of the recipe."""
    seen: list[list[float]] = []
    step = torch.optim.SGD.step

    def spying(self: torch.optim.SGD, *arguments: Any, **options: Any) -> Any:
        seen.append([group["lr"] for group in self.param_groups])
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.SGD, "step", spying)
    train(tiny)
    assert len(seen) == UPDATES
    for update, rates in enumerate(seen):
        poly = 0.01 * (1 - update / UPDATES) ** 0.9
        assert rates == pytest.approx([poly * m for m in (1, 2, 10, 20)], rel=1e-9)
    seen.clear()
    conference = tiny.plan("fov_3x3_r12")
    assert (conference.recipe.iterations, conference.recipe.step_size) == (7, 2)
    train(tiny, plan=conference)
    for update, rates in enumerate(seen):
        stepped = 0.01 * 0.1 ** (update // 2)
        assert rates == pytest.approx([stepped * m for m in (1, 2, 10, 20)], rel=1e-9)
    assert len(seen) == 7
    assert learning_rate_factor(conference.recipe, 6) == pytest.approx(1e-3)


def photographs(source: Path, root: Path) -> DataSet:
    """Prepare four of the real photographs, two to train on."""
    folder = root / "photographs"
    lists = source / "ImageSets" / "Segmentation"
    for split in ("train", "val"):
        ids = (lists / f"{split}.txt").read_text().split()[:2]
        for kind, suffix in (("JPEGImages", ".jpg"), ("SegmentationClass", ".png")):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            for name in ids:
                shutil.copy(source / kind / f"{name}{suffix}", folder / kind)
        target = folder / "ImageSets" / "Segmentation" / f"{split}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(ids))
    shutil.copy(source / "classes.txt", folder)
    return prepare_folder(folder, root / "prepared", sources=[], progress=False)


def mean_loss(model: DeepLab, crops: Crops, count: int) -> float:
    """Return the loss of the first crops without dropout, as Caffe averages it."""
    pairs = [crops[number] for number in range(count)]
    images = torch.stack([image for image, _ in pairs])
    labels = shrink_labels(torch.stack([label for _, label in pairs]))
    with torch.inference_mode():
        total = summed_loss(model.eval()(images), labels)
    return float(total / (labels != 255).sum())


def test_two_real_updates_at_full_width_lower_the_loss(shared: Path, tmp_path: Path) -> None:
    """Table 3's LargeFOV on real photographs from ImageNet's convolutions: 2 crops of 97 pixels."""
    settings = yaml.safe_load((HERE / "profiles" / "photos.yaml").read_text())
    settings |= {"crop": 97, "iterations_factor": 1e-4, "batch_factor": 0.2}
    experiments = parse(Experiments, HERE / "experiments.yaml")
    plan = scale(RUN, experiments.runs[RUN], "photos", Profile(**settings))
    assert (plan.recipe.iterations, plan.recipe.batch_size, plan.profile.width) == (2, 2, 1)
    dataset = photographs(shared / "data" / "msrc21", tmp_path)
    weights = load_backbone(str(shared / "weights" / "vgg16_conv_imagenet.npz"), tmp_path)
    out = tmp_path / "out"
    record = run.train(
        plan, dataset, weights, 0, out=out, checkpoints=tmp_path / "c", precision="32-true"
    )
    # conv1_1 .. conv5_3, fc6, fc7, fc8: table 1's 20.5 million for 21 classes
    by_hand = 14_714_688 + (512 * 9 + 1) * 1_024 + 1_025 * 1_024 + 1_025 * dataset.num_classes
    assert record["parameters"] == by_hand
    crops = Crops(dataset, "train", 97, 0)
    before = mean_loss(build(plan, dataset.num_classes, weights, 0), crops, 4)
    after = mean_loss(
        load_trained(plan, dataset.num_classes, out / "weights.safetensors"), crops, 4
    )
    assert after < before - 0.1
