"""A loss that is NaN: training stops, says where, and keeps the last good checkpoint."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from replication import stages
from replication.errors import ReplicationError
from replication.plan import Settings
from replication.training import crops, finite, module
from replication.training.finite import LOOK_EVERY, LossWatch

RUN, SEED, BATCH = "poly_b10_20k", 3, 4


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the images that training reads, in order, as they are read."""
    seen: list[str] = []
    read = crops.read_image

    def noted(path: Path) -> Any:
        seen.append(path.stem)
        return read(path)

    monkeypatch.setattr(crops, "read_image", noted)
    return seen


def ruin(monkeypatch: pytest.MonkeyPatch, update: int) -> None:
    """Let an update make weights that are NaN, by an infinite learning rate."""
    monkeypatch.setattr(
        module, "learning_rate_factor", lambda _, n: float("inf") if n == update else 0.1
    )


def steps(settings: Settings) -> int:
    """Return the update that the kept checkpoint stands at, its weights being finite."""
    path = settings.place("checkpoints", RUN, SEED) / "last.ckpt"
    state = torch.load(path, weights_only=True)
    assert all(torch.isfinite(value).all() for value in state["state_dict"].values())
    return int(state["global_step"])


@pytest.mark.parametrize("ahead", [False, True], ids=["seen at once", "seen later, as on a GPU"])
def test_training_stops_names_the_images_and_keeps_the_checkpoint(
    toy: Settings, monkeypatch: pytest.MonkeyPatch, reads: list[str], ahead: bool
) -> None:
    stages.prepare(toy, "voc2012")
    with monkeypatch.context() as patch:
        ruin(patch, 4)  # the loss of update 5 is the first NaN; a checkpoint would follow it
        if ahead:
            later = lambda self, update, loss: self._unseen.append((update, loss))  # noqa: E731
            patch.setattr(LossWatch, "add", later)
        with pytest.raises(ReplicationError) as caught:
            stages.train(toy, RUN)
    said = str(caught.value)
    assert said.startswith(
        f"the loss is nan at update 5 (images {', '.join(reads[5 * BATCH : 6 * BATCH])}); "
        "the last checkpoint is kept: lower `base_lr` in experiments.yaml"
    )
    assert "\n" not in said
    assert steps(toy) == 3
    assert not toy.place("runs", RUN, SEED).exists()
    stages.train(toy, RUN)  # the cause gone, it goes on from there
    assert (toy.place("runs", RUN, SEED) / "train.json").is_file()


def test_weights_that_an_update_ruined_make_no_checkpoint(
    toy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages.prepare(toy, "voc2012")
    ruin(monkeypatch, 5)  # the loss of update 5 is finite, the weights that update 6 meets are not
    with pytest.raises(ReplicationError, match="update 5 made weights that are NaN or infinite"):
        stages.train(toy, RUN)
    assert steps(toy) == 3


class Ahead(torch.Tensor):
    """A loss on a device that works ahead: to look at its value is to wait for it."""

    device = SimpleNamespace(type="cuda")  # type: ignore[assignment]


def test_a_device_that_works_ahead_is_waited_for_every_ten_updates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[int] = []
    stack = torch.stack

    def noted(tensors: list[torch.Tensor]) -> torch.Tensor:
        looks.append(len(tensors))
        return stack([tensor.as_subclass(torch.Tensor) for tensor in tensors])

    monkeypatch.setattr(finite.torch, "stack", noted)
    watch = LossWatch(lambda update: [f"a{update}", "b"])
    losses = [float(n) for n in range(3 * LOOK_EVERY)]
    losses[2 * LOOK_EVERY + 3] = float("inf")
    for update, loss in enumerate(losses[:-1]):
        watch.add(update, torch.tensor(loss).as_subclass(Ahead))
    assert looks == [LOOK_EVERY, LOOK_EVERY]
    with pytest.raises(ReplicationError, match=r"the loss is inf at update 23 \(images a23, b\)"):
        watch.look()
    watch.look()  # each is looked at once
