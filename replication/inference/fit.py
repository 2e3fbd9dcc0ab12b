"""Three ways to fit an image of any size to a network: pad it, resize it, or cut it into tiles.

``pad`` is how the authors test; ``resize`` keeps time and memory small on large photographs, and
brings small ones to the size that the network knows; ``tile`` sees a large one at full size, part
by part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from PIL import Image
from torch import Tensor

from replication.errors import ReplicationError
from replication.inference.enlarge import enlarge
from replication.inference.tiles import blend, check_overlap
from replication.models.deeplab import DeepLab
from replication.plan import OUTPUT_STRIDE
from replication.training.crops import to_network_input

Way = Literal["pad", "resize", "tile"]
# (3, H, W), BGR minus the mean -> scores (C, h, w)
Network = Callable[[Float[Tensor, "3 H W"]], Float32[np.ndarray, "C h w"]]


@dataclass(frozen=True)
class Fit:
    """How images come to the network.

    Attributes:
        way: ``pad``, ``resize`` or ``tile``.
        size: side of the network's input in pixels, 8 k + 1: a tile's; the longer side's after
            ``resize``; with ``pad`` the least. None (``pad`` only): no more than the image needs.
        overlap: of tiles, in pixels.
    """

    way: Way = "pad"
    size: int | None = None
    overlap: int = 0

    def check(self) -> None:
        """Refuse what can't be done; ReplicationError names the option."""
        if self.size is None:
            if self.way != "pad":
                raise ReplicationError(
                    f"`--fit {self.way}` needs a size, and the checkpoint names none; give --size"
                )
            return
        if self.size < 9 or self.size % OUTPUT_STRIDE != 1:
            near = max(9, (self.size - 1) // 8 * 8 + 1)
            raise ReplicationError(
                f"`--size` is {self.size}; align-corners at output stride 8 needs 8 k + 1: use "
                f"{near} or {near + 8}"
            )
        if self.way == "tile":
            check_overlap(self.overlap, self.size)


@dataclass(frozen=True)
class Fitted:
    """Scores of one image: (C, h, w) float32, before softmax, ``stride`` pixels apart."""

    scores: Float32[np.ndarray, "C h w"]
    stride: int

    def enlarged(self, size: tuple[int, int], name: str) -> Float32[np.ndarray, "C H W"]:
        """Return the scores of every pixel of the image, whose height and width are ``size``."""
        return self.scores if self.stride == 1 else enlarge(self.scores, self.stride, size, name)


def padded(image: UInt8[np.ndarray, "H W 3"], height: int, width: int) -> Float[Tensor, "3 h w"]:
    """Subtract the mean from an RGB image; pad it with the mean at the bottom and right."""
    inner = to_network_input(image)
    down, right = height - inner.shape[0], width - inner.shape[1]
    tensor = torch.from_numpy(np.ascontiguousarray(inner.transpose(2, 0, 1)))  # (3, H, W)
    return F.pad(tensor, (0, right, 0, down))


class Scorer:
    """A network on its device: one input (3, H, W) to its scores (C, h, w), float32 in numpy."""

    def __init__(self, network: DeepLab, device: str, precision: str) -> None:
        self.network = network.to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device, self.half = device, precision == "bf16-mixed"

    def __call__(self, image: Float[Tensor, "3 H W"]) -> Float32[np.ndarray, "C h w"]:
        """Raise ReplicationError where the memory does not suffice, or scores are not finite."""
        batch = image[None].to(self.device, memory_format=torch.channels_last)
        try:
            with (
                torch.inference_mode(),
                torch.autocast(self.device, torch.bfloat16, enabled=self.half),
            ):
                scores = self.network(batch)[0].float().cpu().numpy()
        except (
            RuntimeError
        ) as error:  # torch.OutOfMemoryError is one; a CPU's has no type of its own
            short = isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
            if not short:
                raise
            raise ReplicationError(
                f"an input of {image.shape[2]} x {image.shape[1]} pixels needs more memory than "
                f"{self.device} has; use --fit tile, or a smaller --size"
            ) from None
        if not np.isfinite(scores).all():
            raise ReplicationError(
                "the network's scores are NaN or infinite: its training has diverged; train again "
                "with a lower base learning rate"
            )
        found: Float32[np.ndarray, "C h w"] = scores
        return found


def fit_and_score(network: Network, image: UInt8[np.ndarray, "H W 3"], fit: Fit) -> Fitted:
    """Score an RGB image (H, W, 3), 0..255, of any size.

    ``pad``: to ``fit.size`` where the image is smaller, else to the next 8 k + 1. ``resize``:
    Pillow's bilinear filter, which averages where it shrinks; the scores are enlarged to the
    resized image, and then, by the same centres of pixels, to the image. ``tile``: see `blend`.
    """
    height, width = image.shape[:2]
    if fit.way == "resize":
        assert fit.size is not None  # `Fit.check` has seen to it
        h, w = (max(1, round(side * fit.size / max(height, width))) for side in (height, width))
        resized = Image.fromarray(image).resize((w, h), Image.Resampling.BILINEAR)
        scores = network(padded(np.asarray(resized), fit.size, fit.size))
        maps = torch.from_numpy(enlarge(scores, OUTPUT_STRIDE, (h, w)))[None]
        wide = F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)
        return Fitted(wide[0].numpy(), 1)
    if fit.way == "tile":
        assert fit.size is not None
        size = fit.size

        def score(top: int, left: int) -> Float32[np.ndarray, "C s s"]:
            return network(padded(image[top : top + size, left : left + size], size, size))

        return Fitted(blend(score, (height, width), size, fit.overlap), OUTPUT_STRIDE)
    h, w = (max(fit.size or 9, up_to_stride(side)) for side in (height, width))
    return Fitted(network(padded(image, h, w)), OUTPUT_STRIDE)


def up_to_stride(side: int) -> int:
    """Return the smallest 8 k + 1 that holds ``side`` pixels."""
    return -(-(side - 1) // OUTPUT_STRIDE) * OUTPUT_STRIDE + 1
