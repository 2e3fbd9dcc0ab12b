"""Score maps to unary potentials: -log P of the full-range softmax.

pydensecrf's own ``unary_from_softmax`` clips P at 1e-5, which caps what the network's certainty can
say at 11.5; the authors' program does not.
"""

import numpy as np
from jaxtyping import Float, Float32

_SMALLEST = float(np.finfo(np.float32).tiny)


def unary_from_scores(scores: Float[np.ndarray, "C H W"]) -> Float32[np.ndarray, "C H W"]:
    """Return -log softmax over the classes, straight from the scores: nothing is clipped.

    Args:
        scores: before softmax, finite, any float type, (C, H, W).

    Returns:
        float32 (C, H, W), C-contiguous, at least 0; scores d apart stay d apart.
    """
    shifted = scores.astype(np.float32)  # a copy: the caller's scores stay
    shifted -= shifted.max(axis=0)
    total = np.exp(shifted).sum(axis=0)  # (H, W), 1 to C: no overflow, no log of 0
    np.negative(shifted, out=shifted)
    shifted += np.log(total)
    return np.ascontiguousarray(shifted)


def unary_from_probabilities(
    probabilities: Float[np.ndarray, "C H W"],
) -> Float32[np.ndarray, "C H W"]:
    """Return -log P of probabilities in 0..1; 0 counts as float32's smallest normal, 1.2e-38."""
    return -np.log(np.maximum(probabilities.astype(np.float32), np.float32(_SMALLEST)))
