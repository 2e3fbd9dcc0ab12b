"""Several scales of one image: their sizes, and the maximum over their scores (section 4.1.2)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from replication.plan import OUTPUT_STRIDE


def scaled_side(side: int, scale: float, stride: int = OUTPUT_STRIDE) -> int:
    """Return the side of an image at ``scale``: the nearest ``stride`` k + 1, corners aligned.

    321 gives 241 at 0.75 and 161 at 0.5, as in the authors' files; so every scale's scores stand
    exactly on the first and the last pixel. Where (side - 1) * scale is no multiple of the stride,
    the scale is met but roughly (145 gives 113, not 109).
    """
    return stride * max(1, math.floor((side - 1) * scale / stride + 0.5)) + 1


def resize(maps: Float[Tensor, "B C H W"], size: tuple[int, int]) -> Float[Tensor, "B C h w"]:
    """Resize images or scores bilinearly, corners aligned, as the authors' Interp layer does."""
    if maps.shape[2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=True)


def at_scale(
    images: Float[Tensor, "B C H W"], scale: float, stride: int = OUTPUT_STRIDE
) -> Float[Tensor, "B C h w"]:
    """Resize images to ``scale``, to sides of ``stride`` k + 1; at scale 1 they stay."""
    if scale == 1:
        return images
    height, width = (scaled_side(side, scale, stride) for side in images.shape[2:])
    return resize(images, (height, width))


def fuse(branches: list[Tensor]) -> Float[Tensor, "B K h w"]:
    """Return the maximum over the branches' scores, brought to the size of the first."""
    fused = branches[0]
    height, width = fused.shape[2:]
    for scores in branches[1:]:
        fused = torch.maximum(fused, resize(scores, (height, width)))
    return fused
