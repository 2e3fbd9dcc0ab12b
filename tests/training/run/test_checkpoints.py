"""Which checkpoints training goes on from: whole ones, of the same settings, data and code."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from replication.data.canonical import DataSet
from replication.models.weights import BackboneWeights, load_backbone
from replication.plan import Plan, Settings
from replication.training import resume, run


def test_a_corrupt_checkpoint_starts_anew(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], toy: Any
) -> None:
    last = toy.partial(monkeypatch, 8)
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 0xFF  # one byte of the weights: torch.load would not see it
    last.write_bytes(content)
    seen: list[int] = []
    step = run.Segmentation.training_step

    def spying(self: run.Segmentation, *arguments: Any) -> Any:
        seen.append(self.global_step)
        return step(self, *arguments)

    monkeypatch.setattr(run.Segmentation, "training_step", spying)
    toy.train()
    assert seen == list(range(toy.updates))
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
    tiny: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], toy: Any
) -> None:
    toy.partial(monkeypatch, 8)
    out, checkpoints = toy.places
    saved = tiny.root / "saved"
    checkpoints.rename(saved)
    plan = tiny.plan(toy.name)
    other_plan = Plan(**{**vars(plan), "recipe": plan.recipe.model_copy(update={"momentum": 0.5})})
    weights = load_backbone(tiny.profile.backbone, tiny.root)
    other_weights = BackboneWeights(weights.layers, weights.origin, "1" * 64)
    dataset = DataSet.open(tiny.place("datasets", "voc2012"))
    toy.stop_at(monkeypatch, 8)

    def attempt(
        plan: Plan = plan,
        weights: BackboneWeights = weights,
        seed: int = toy.seed,
        precision: str = "32-true",
    ) -> str:
        shutil.rmtree(checkpoints, ignore_errors=True)
        shutil.copytree(saved, checkpoints)
        capfd.readouterr()
        with pytest.raises(toy.Stop):
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
    toy.stop_at(monkeypatch, 0)
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
