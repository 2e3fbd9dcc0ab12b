"""One run as Lightning sees it: the step, the optimiser, the policy."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import lightning as L
import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from replication.data.labels import VOID
from replication.plan import OUTPUT_STRIDE
from replication.settings import MultiScale, Recipe
from replication.training import processes
from replication.training.finite import LossWatch
from replication.training.loss import shrink_labels, summed_loss
from replication.training.recipe import learning_rate_factor, parameter_groups
from replication.training.terms import divisors, term_labels, term_scores


def dropout_seed(seed: int, update: int, process: int = 0) -> int:
    """Mix a run's seed, an update's number and a process's into 32 bits.

    torch's generator on the CPU reads no more. numpy fills up with zeros: process 0 draws what one
    process alone does.
    """
    return int(np.random.SeedSequence((seed, 2, update, process)).generate_state(1)[0])


class Segmentation(L.LightningModule):
    """SGD with momentum on the loss at score resolution; one loader batch is one update.

    The batch goes through the network in micro-batches whose losses are sums over positions,
    divided by the whole batch's count of valid positions: ``micro_batch`` decides memory, not the
    result (but for rounding and dropout's draws). Dropout at update n draws from a generator
    seeded by (``seed``, n, the process), so that a resumed run repeats an undisturbed one bit for
    bit on the CPU.

    Of several processes each is given its share of the batch; they add up counts, gradients and
    losses (`replication.training.processes`).

    With ``multi_scale`` the loss is a sum of terms (`replication.training.terms`), each divided by
    its own count, and the network is asked for its ``branches``. ``watch`` is told of every loss,
    and stops training at one that is not finite.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        micro_batch: int,
        seed: int,
        stride: int = OUTPUT_STRIDE,
        *,
        multi_scale: MultiScale | None = None,
        watch: LossWatch | None = None,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # gradients of micro-batches are summed by hand
        self.model = model
        self.recipe = recipe
        self.micro_batch = micro_batch
        self.seed = seed
        self.stride = stride
        self.multi_scale = multi_scale
        self.watch = watch or LossWatch()
        self.layout = layout  # of images, as of the model's filters

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Make one update; return its loss and the learning rate of weights.

        ``batch`` is images (B, 3, H, W), float32, BGR minus the mean, and labels (B, H, W), uint8,
        H and W a multiple of the stride plus 1; B is this process's share of the batch.
        """
        del batch_idx
        torch.manual_seed(dropout_seed(self.seed, self.global_step, processes.rank()))
        images, labels = batch
        terms = self._labels(labels)
        shares = [divisors(of_term, VOID, self.recipe.average) for of_term in terms]  # each (B,)
        optimizer, policy = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer)
        assert isinstance(policy, LRScheduler)
        optimizer.zero_grad()
        total = torch.zeros((), device=images.device)
        for first in range(0, len(images), self.micro_batch):
            some = slice(first, first + self.micro_batch)
            scores = self._scores(images[some].contiguous(memory_format=self.layout))
            loss = torch.zeros((), device=images.device)
            for of_term, its_labels, share in zip(scores, terms, shares, strict=True):
                loss = loss + self._averaged(of_term, its_labels[some], share[some])
            with self._apart(until_last=first + self.micro_batch < len(images)):
                # DDP averages over the processes what is to be summed over them.
                self.manual_backward(loss * processes.count())
            total += loss.detach()
        total = processes.summed(total)
        self.watch.add(self.global_step, total)
        learning_rate = policy.get_last_lr()[0]
        optimizer.step()
        policy.step()
        return {"loss": total, "lr": torch.tensor(learning_rate)}

    def _apart(self, *, until_last: bool) -> AbstractContextManager[None]:
        """Keep the processes' gradients apart until that of the last micro-batch is there."""
        strategy = self.trainer.strategy
        if until_last and isinstance(strategy, ParallelStrategy):
            held: AbstractContextManager[None] = strategy.block_backward_sync()
            return held
        return nullcontext()

    def _labels(self, labels: Tensor) -> list[Tensor]:
        """Return the labels (B, h, w) of each term of the loss."""
        if self.multi_scale is None:
            return [shrink_labels(labels, self.stride)]
        return term_labels(labels, self.multi_scale, self.stride)

    def _scores(self, images: Tensor) -> list[Tensor]:
        """Return the scores (B, K, h, w) of each term of the loss."""
        if self.multi_scale is None:
            return [self.model(images)]
        branches: list[Tensor] = self.model.branches(images)  # type: ignore[operator]
        return term_scores(branches, self.multi_scale)

    def _averaged(self, scores: Tensor, labels: Tensor, share: Tensor) -> Tensor:
        """Divide the loss of some images by their ``share`` (B,): one number, or each its own."""
        if self.recipe.average == "batch":
            return summed_loss(scores, labels) / share[0]
        images = zip(torch.split(scores, 1), torch.split(labels, 1), share, strict=True)
        losses = [summed_loss(one, its_labels) / own for one, its_labels, own in images]
        return torch.stack(losses).sum()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return SGD with the recipe's multipliers, and the policy.

        Fused, it reads and writes each parameter once; the arithmetic is the same.
        """
        optimizer = torch.optim.SGD(
            parameter_groups(self.model, self.recipe),
            lr=self.recipe.base_lr,
            momentum=self.recipe.momentum,
            fused=self.device.type in ("cpu", "cuda"),
        )
        policy = LambdaLR(optimizer, lambda update: learning_rate_factor(self.recipe, update))
        return {"optimizer": optimizer, "lr_scheduler": policy}
