"""What a whole run leaves: its record, its curve, the rates it stepped with; it is kept."""

import json
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, safe_open

from replication.data.canonical import ids_sha256
from replication.errors import ReplicationError
from replication.plan import Plan, Settings
from replication.provenance import sha256_file
from replication.training.recipe import learning_rate_factor


def test_record_and_curve_say_what_was_done(tiny: Settings, toy: Any) -> None:
    record = toy.train()
    out, checkpoints = toy.places
    names = sorted(path.name for path in out.iterdir())
    assert names == ["curve.tsv", "train.json", "weights.safetensors"]
    assert not checkpoints.exists()
    assert record == json.loads((out / "train.json").read_text())
    assert (record["run"], record["profile"], record["seed"]) == (toy.name, "tiny", toy.seed)
    assert record["updates"] == toy.updates
    assert record["images_per_second"] == pytest.approx(
        toy.updates * 4 / record["seconds"], rel=0.01
    )
    assert record["peak_memory_mib"] > 0
    assert (record["device"], record["precision"]) == ("cpu", "32-true")
    assert record["backbone"]["sha256"] == sha256_file(tiny.root / "backbone.safetensors")
    assert record["data"]["images"] == 6
    assert record["field_of_view"] == 224
    assert record["configuration"] == tiny.plan(toy.name).configuration()
    state = load_file(out / "weights.safetensors")
    assert record["parameters"] == sum(value.numel() for value in state.values())
    with safe_open(out / "weights.safetensors", "pt") as file:
        assert list(file.metadata()) == ["replication"]  # two would come in random order
        notes = json.loads(file.metadata()["replication"])
    assert notes["classes"] == ["ground", "sheep", "tree"]
    assert notes["configuration"] == record["configuration"]
    assert (notes["data"], notes["test_size"], notes["seed"]) == ("made up", 57, toy.seed)
    assert notes["hashes"] == {
        "data": record["data"]["meta_sha256"],
        "initial_weights": sha256_file(tiny.root / "backbone.safetensors"),
        "fingerprint": record["fingerprint"],
    }
    assert str(tiny.root) not in str(notes)
    rows = pd.read_csv(out / "curve.tsv", sep="\t")
    assert list(rows) == ["step", "loss", "lr"]
    # The row of step n holds the rate that update n - 1 (0-based) was made with.
    expected = [0.01 * (1 - (step - 1) / toy.updates) ** 0.9 for step in (10, 20, 24)]
    assert rows["lr"].tolist() == pytest.approx(expected, rel=1e-6)


def test_a_finished_run_is_kept_and_a_damaged_one_made_again(
    monkeypatch: pytest.MonkeyPatch, toy: Any
) -> None:
    first = toy.train()
    out, _ = toy.places
    with monkeypatch.context() as patch:
        toy.stop_at(patch, 0)
        assert toy.train() == first  # nothing is trained
        (out / "weights.safetensors").write_bytes(b"damaged")
        with pytest.raises(toy.Stop):
            toy.train()
    again = toy.train()
    assert again["weights_sha256"] == first["weights_sha256"]


def test_a_finished_run_outlives_a_failed_one_of_other_settings(
    tiny: Settings, monkeypatch: pytest.MonkeyPatch, toy: Any
) -> None:
    toy.train()
    out, _ = toy.places
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    plan = tiny.plan(toy.name)
    other = Plan(**{**vars(plan), "recipe": plan.recipe.model_copy(update={"base_lr": 1e9})})
    with pytest.raises(ReplicationError, match="the loss is"):
        toy.train(plan=other)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_rates_of_both_policies_while_lightning_runs(
    tiny: Settings, monkeypatch: pytest.MonkeyPatch, toy: Any
) -> None:
    """The rates that SGD steps with, group by group, against the closed forms of the recipe."""
    seen: list[list[float]] = []
    step = torch.optim.SGD.step

    def spying(self: torch.optim.SGD, *arguments: Any, **options: Any) -> Any:
        seen.append([group["lr"] for group in self.param_groups])
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.SGD, "step", spying)
    toy.train()
    assert len(seen) == toy.updates
    for update, rates in enumerate(seen):
        poly = 0.01 * (1 - update / toy.updates) ** 0.9
        assert rates == pytest.approx([poly * m for m in (1, 2, 10, 20)], rel=1e-9)
    seen.clear()
    conference = tiny.plan("fov_3x3_r12")
    assert (conference.recipe.iterations, conference.recipe.step_size) == (7, 2)
    toy.train(plan=conference)
    for update, rates in enumerate(seen):
        stepped = 0.01 * 0.1 ** (update // 2)
        assert rates == pytest.approx([stepped * m for m in (1, 2, 10, 20)], rel=1e-9)
    assert len(seen) == 7
    assert learning_rate_factor(conference.recipe, 6) == pytest.approx(1e-3)


def test_training_on_evaluated_images_is_refused(tiny: Settings, toy: Any) -> None:
    root = tiny.place("datasets", "voc2012")
    meta = json.loads((root / "meta.json").read_text())
    ids = ["t0", "v1"]
    (root / "splits" / "train.txt").write_text("t0\nv1\n")
    meta["splits"]["train"] = {"count": 2, "sha256": ids_sha256(ids)}
    (root / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(ReplicationError, match=r"`train` holds 1 of the images .*\(v1\)"):
        toy.train()
    assert not toy.places[0].exists()
