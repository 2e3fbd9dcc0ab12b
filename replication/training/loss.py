"""The loss at score resolution: labels are shrunk, scores are not enlarged (section 4.1)."""

import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from replication.data.labels import VOID
from replication.plan import OUTPUT_STRIDE


def shrink_labels(
    labels: UInt8[Tensor, "B H W"], stride: int = OUTPUT_STRIDE
) -> UInt8[Tensor, "B h w"]:
    """Take every ``stride``-th pixel of labels of size 8 k + 1: 321 -> 41.

    Align-corners resizing by a whole number is pure subsampling; class numbers are never
    interpolated.

    Raises:
        ValueError: a side is not a multiple of ``stride`` plus 1.
    """
    for side in labels.shape[1:]:
        if side % stride != 1:
            raise ValueError(
                f"labels of side `{side}` can't shrink by {stride}: need {stride} k + 1"
            )
    return labels[:, ::stride, ::stride]


def summed_loss(
    scores: Float[Tensor, "B K h w"], labels: UInt8[Tensor, "B h w"]
) -> Float[Tensor, ""]:
    """Sum the softmax cross-entropy over all positions that are not void, in float32.

    Caffe divides it by the number of valid positions in the batch, which the caller knows.
    """
    targets: Int64[Tensor, "B h w"] = labels.long()
    return F.cross_entropy(scores.float(), targets, ignore_index=VOID, reduction="sum")
