"""A loss or weights that are NaN or infinite end training, and are not kept."""

from typing import Any

import pytest
import torch

from replication.errors import ReplicationError
from replication.training.loss import summed_loss


def test_nan_names_the_update_and_keeps_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], toy: Any
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
            toy.train()
    assert "lower `base_lr`" in str(caught.value)
    assert "\n" not in str(caught.value)
    out, checkpoints = toy.places
    state = torch.load(checkpoints / "last.ckpt", weights_only=True)
    assert state["global_step"] == 7
    assert all(torch.isfinite(value).all() for value in state["state_dict"].values())
    assert not out.exists()
    shown = capfd.readouterr().err  # the bar, on a terminal, is closed: the error has its own line
    assert not shown or shown.endswith("\n")
    assert toy.train()["updates"] == toy.updates  # the cause gone, it goes on from there


def test_weights_that_the_last_update_ruined_are_not_kept(
    monkeypatch: pytest.MonkeyPatch, toy: Any
) -> None:
    monkeypatch.setattr(
        "replication.training.module.learning_rate_factor",
        lambda recipe, update: float("inf") if update == toy.updates - 1 else 0.1,
    )
    with pytest.raises(ReplicationError, match="update 23 made weights that are NaN or infinite"):
        toy.train()
    assert not toy.places[0].exists()
