"""The two ways to train that are compared: PyTorch as ports write it, and the suite's own code."""

from typing import Any

from turns import now, tell_since, turns
from workload import build, crops


def plain(plan: Any, device: str) -> None:
    """Train as ports do, an update for every turn."""
    import torch
    import torch.nn.functional as F

    from replication.models.convolve import Conv2d
    from replication.models.multi_scale import fuse
    from replication.models.resnet import thaw
    from replication.training.recipe import learning_rate_factor, parameter_groups

    model = build(plan).to(device).train()
    thaw(model)  # batch norm by torch's own layers, and frozen as ports freeze it
    for layer in model.modules():
        if isinstance(layer, Conv2d):
            layer.__class__ = torch.nn.Conv2d  # type: ignore[assignment]
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval().requires_grad_(False)
    model.to(device)
    groups = parameter_groups(model, plan.recipe)
    rates = [group["lr"] for group in groups]
    optimizer = torch.optim.SGD(groups, lr=plan.recipe.base_lr, momentum=plan.recipe.momentum)
    images, labels = (each.to(device) for each in crops(plan))
    targets, size = labels.long(), tuple(labels.shape[1:])
    micro = plan.micro_batch
    pieces = list(zip(images.split(micro), targets.split(micro), strict=True))
    number = 0

    def update() -> None:
        factor = learning_rate_factor(plan.recipe, number)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        optimizer.zero_grad()
        for some, its in pieces:
            branches = model.branches(some)
            terms = [fuse(branches), *branches] if len(branches) > 1 else branches
            loss = torch.zeros((), device=device)
            for scores in terms:
                large = F.interpolate(scores, size=size, mode="bilinear", align_corners=True)
                loss = loss + F.cross_entropy(large, its, ignore_index=255)
            loss = loss / len(pieces)
            loss.backward()
            loss.item()
        optimizer.step()

    for _ in turns():
        start = now(device)
        update()
        tell_since(start, device)
        number += 1


def ours(plan: Any, device: str, precision: str) -> None:
    """Train as the suite does, an update for every turn."""
    import lightning as L
    from torch.utils.data import DataLoader, Dataset

    from replication.training.device import ACCELERATORS, choose_layout
    from replication.training.module import Segmentation

    batch = crops(plan)

    class Turns(Dataset[Any]):
        def __len__(self) -> int:
            return 10**6

        def __getitem__(self, number: int) -> Any:
            return batch

    waiting = turns()

    class Clock(L.Callback):
        def on_train_start(self, *_: Any) -> None:
            next(waiting)

        def on_train_batch_start(self, *_: Any) -> None:
            self.start = now(device)

        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            tell_since(self.start, device)
            trainer.should_stop = next(waiting, "end") == "end"

    trainer = L.Trainer(
        accelerator=ACCELERATORS[device],
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        max_epochs=1,
        min_epochs=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Clock()],
    )
    layout = choose_layout(device, precision)
    model = build(plan).to(memory_format=layout)
    trainer.fit(
        Segmentation(
            model, plan.recipe, plan.micro_batch, 0, multi_scale=plan.multi_scale, layout=layout
        ),
        DataLoader(Turns(), batch_size=None),
    )
