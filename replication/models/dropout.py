"""torch's dropout, whose draws take a CPU less time."""

import numpy as np
import torch
from torch import Tensor, nn

LEAST = 2**20  # values from which on drawing takes milliseconds
LEVELS = 2**16  # of a draw


class Dropout(nn.Dropout):
    """Dropout: torch's own but for large maps on a CPU, where the draws are another generator's.

    torch draws with one thread, 32 bits a value: a tenth of an ASPP-L update in bfloat16 on two
    cores. Four values are drawn here from 64 bits of numpy's SFC64, which torch's generator seeds,
    so that `torch.manual_seed` decides them as it does torch's. A value is dropped with probability
    ``p`` to 1 in 131,072 (0.5 exactly), the others are divided by 1 - ``p``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop values of a map of any shape, float32 or bfloat16, in training."""
        dropped = round(self.p * LEVELS)
        ours = (
            self.training
            and input.device.type == "cpu"
            and input.numel() >= LEAST
            and 0 < dropped < LEVELS
            and not torch.compiler.is_compiling()
        )
        if not ours:
            return super().forward(input)
        kept = torch.empty_like(input)  # lies as the map does
        count = input.numel()
        kept.as_strided((count,), (1,)).copy_(_draws(count) >= dropped - LEVELS // 2)
        return input * kept.div_(1 - self.p)


def _draws(count: int) -> Tensor:
    """Return whole numbers (count,), int16, every value as likely as another."""
    seed = int(torch.randint(2**63 - 1, ()))
    words = np.random.SFC64(seed).random_raw(-(-count // 4))  # uint64
    return torch.from_numpy(words.view(np.int16))[:count]
