"""Losses and weights that are NaN or infinite: seen before anything is kept of them, and named."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from replication.errors import ReplicationError

LOWER_RATE = "lower `base_lr` in experiments.yaml, or the profile's `base_lr_factor` (`resnet_...`)"
LOOK_EVERY = 10  # updates, on a device that works ahead of the processor


class LossWatch:
    """Looks at every update's loss, and stops training at one that is not finite.

    On a CPU a loss is looked at as it is made, before the weights change. A GPU works ahead of the
    processor, which would have to wait for it at every update: there the losses are looked at
    together, every `LOOK_EVERY` updates. Who keeps something of the training calls `look` first, so
    that no checkpoint is ever written of an update whose loss nobody has seen.
    """

    def __init__(self, images_of: Callable[[int], Sequence[str]] | None = None) -> None:
        """``images_of`` gives the ids of the images that update n is made of, for the error."""
        self.images_of = images_of
        self._unseen: list[tuple[int, Tensor]] = []

    def add(self, update: int, loss: Tensor) -> None:
        """Take up the loss, a scalar on any device, of update number ``update``, from 0."""
        self._unseen.append((update, loss))
        if loss.device.type == "cpu" or len(self._unseen) >= LOOK_EVERY:
            self.look()

    def look(self) -> None:
        """Look at the losses that nobody has seen yet.

        Raises:
            ReplicationError: one is NaN or infinite: names the first such update and its images.
        """
        losses, self._unseen = self._unseen, []
        if not losses:
            return
        values = torch.stack([loss for _, loss in losses]).tolist()  # one transfer for all
        for (update, _), value in zip(losses, values, strict=True):
            if not math.isfinite(value):
                raise ReplicationError(
                    f"the loss is {value} at update {update}{self._images(update)}; the last "
                    f"checkpoint is kept: {LOWER_RATE}"
                )

    def _images(self, update: int) -> str:
        if self.images_of is None:
            return ""
        return f" (images {', '.join(self.images_of(update))})"


def check_weights(model: nn.Module, updates: int) -> None:
    """Refuse weights that the last of ``updates`` has ruined though its loss was finite.

    Raises:
        ReplicationError: a weight is NaN or infinite.
    """
    finite = [torch.isfinite(value).all() for value in model.state_dict().values()]
    if not bool(torch.stack(finite).all()):
        raise ReplicationError(
            f"update {updates - 1} made weights that are NaN or infinite; they are not kept, the "
            f"last checkpoint is: {LOWER_RATE}"
        )
