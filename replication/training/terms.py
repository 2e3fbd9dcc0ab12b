"""The terms of a loss at several scales: which scores meet which labels (section 4.1.2).

Four with the paper's three scales, of weight 1 each: the maximum over the scales, then each scale.
In the authors' network files the 0.75x branch's scores are enlarged to the first branch's size,
and its labels are those of the first; public ports resize labels to the branch in its place.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from replication.models.multi_scale import fuse, resize, scaled_side
from replication.plan import OUTPUT_STRIDE, whole_divisor
from replication.settings import MultiScale
from replication.training import processes
from replication.training.loss import shrink_labels


def term_scores(branches: list[Tensor], multi_scale: MultiScale) -> list[Tensor]:
    """Return the score maps of the terms: the maximum, then one for each scale.

    ``branches`` are the scores (B, K, h, w) of each scale as they leave the network.
    """
    terms = [fuse(branches), branches[0]]
    height, width = branches[0].shape[2:]
    for scores, scale in zip(branches[1:], multi_scale.scales[1:], strict=True):
        enlarged = multi_scale.wiring == "authors" and not whole_divisor(scale)
        terms.append(resize(scores, (height, width)) if enlarged else scores)
    return terms


def term_labels(
    labels: UInt8[Tensor, "B H W"], multi_scale: MultiScale, stride: int = OUTPUT_STRIDE
) -> list[Tensor]:
    """Return the labels of the terms, in `term_scores`'s order, each of its scores' size.

    Raises:
        ValueError: a side does not shrink by ``stride`` over a scale that divides 1.
    """
    first = shrink_labels(labels, stride)
    terms = [first, first]
    for scale in multi_scale.scales[1:]:
        divisor = whole_divisor(scale)
        if divisor:
            terms.append(shrink_labels(labels, stride * divisor))
        elif multi_scale.wiring == "authors":
            terms.append(first)
        else:
            sides = (scaled_side(side, scale, stride) for side in labels.shape[1:])
            height, width = ((side - 1) // stride + 1 for side in sides)
            terms.append(nearest_labels(labels, (height, width)))
    return terms


def nearest_labels(labels: UInt8[Tensor, "B H W"], size: tuple[int, int]) -> UInt8[Tensor, "B h w"]:
    """Shrink labels to ``size``, corners aligned, by the pixel nearest to each position."""
    for axis, wanted in zip((1, 2), size, strict=True):
        places = torch.linspace(0, labels.shape[axis] - 1, wanted, dtype=torch.float64)
        labels = labels.index_select(axis, places.round().long().to(labels.device))
    return labels


def divisors(labels: UInt8[Tensor, "B h w"], void: int, average: str) -> Float[Tensor, " B"]:
    """Return what each image's summed loss is divided by.

    ``batch``: the valid positions of all images. ``image``: the image's own, times the number of
    images; a batch of one gives the same either way. Never 0. Where several processes share a
    batch, the images are those of all of them.
    """
    counts = (labels != void).sum((1, 2))
    if average == "batch":
        return processes.summed(counts.sum()).clamp(min=1).expand(len(labels)).float()
    return counts.clamp(min=1).float() * (len(labels) * processes.count())
