"""What mean field over one image returns."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

from replication.crf.parameters import CrfParameters

Mode = Literal["exact", "fast"]


@dataclass(frozen=True)
class Refined:
    """What came out for one setting.

    Attributes:
        parameters: the setting.
        labels: the most believed label of each pixel, uint8; the lowest of equals.
        beliefs: Q, summing to 1 over the labels; None unless asked for.
    """

    parameters: CrfParameters
    labels: UInt8[np.ndarray, "H W"]
    beliefs: Float32[np.ndarray, "C H W"] | None
