"""The endless, repeatable sequence of training crops.

Crop number k depends on the seed and k alone: its image (a fresh permutation of the split for each
epoch), its scale, its mirror and its position. So a run that was killed goes on with the very crops
that it would have seen, whatever the number of loader workers.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from replication.data.canonical import DataSet
from replication.data.labels import VOID, read_image, read_label
from replication.models.weights import MEAN_BGR


def to_network_input(image: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
    """Turn RGB 0..255 into float32 BGR minus the mean: what the Caffe networks read."""
    planes = np.empty((3, *image.shape[:2]), np.float32)  # whole rows at a time: 15 times as fast
    for k, mean in enumerate(MEAN_BGR):
        np.subtract(image[:, :, 2 - k], np.float32(mean), out=planes[k], dtype=np.float32)
    return planes.transpose(1, 2, 0)


def pad(
    image: Float[np.ndarray, "H W 3"], label: UInt8[np.ndarray, "H W"], size: int
) -> tuple[Float[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Pad at the bottom and right to at least ``size``: the image with the mean, labels with void.

    The mean is 0 here: ``image`` has had it subtracted.
    """
    down, right = (max(0, size - side) for side in label.shape)
    if not down and not right:
        return image, label
    image = np.pad(image, ((0, down), (0, right), (0, 0)))
    return image, np.pad(label, ((0, down), (0, right)), constant_values=VOID)


def rescale(
    image: UInt8[np.ndarray, "H W 3"], label: UInt8[np.ndarray, "H W"], factor: float
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Resize an image (bilinear) and its label (nearest: class numbers are never mixed)."""
    if factor == 1:
        return image, label
    height, width = (max(1, round(side * factor)) for side in label.shape)
    smaller = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    nearest = Image.fromarray(label).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(smaller), np.asarray(nearest)


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Random ``size`` x ``size`` crops with a random mirror, by their number in the sequence.

    ``crops[k]`` is (image (3, size, size) float32 BGR minus the mean, label (size, size) uint8).
    The image is first resized by one of ``factors``, each as likely as any other.

    Decoded images and labels are kept, up to ``cache`` bytes (4 a pixel), the first ones that come:
    every epoch sees every image once, so that to let one go for another would gain nothing.
    """

    def __init__(
        self,
        dataset: DataSet,
        split: str,
        size: int,
        seed: int,
        factors: Sequence[float] = (1.0,),
        *,
        cache: int = 0,
    ) -> None:
        self.dataset, self.size, self.seed = dataset, size, seed
        self.factors = tuple(factors)
        self.ids = dataset.ids(split)
        self.room = cache  # bytes
        self._kept: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def id_of(self, number: int) -> str:
        """Return the id of the image that crop ``number`` is cut from."""
        epoch, position = divmod(number, len(self.ids))
        # One epoch sees every image once.
        order = np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.ids))
        return self.ids[int(order[position])]

    def factor_of(self, number: int) -> float:
        """Return the factor that crop ``number``'s image is resized by."""
        # A generator of its own: position and mirror are drawn alike with and without factors.
        draw = np.random.default_rng((self.seed, 3, number))
        return self.factors[int(draw.integers(len(self.factors)))]

    def _decoded(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return an image (H, W, 3) and its label (H, W), uint8, not to be written to."""
        if name in self._kept:
            return self._kept[name]
        pixels = read_image(self.dataset.image_path(name))
        label = read_label(self.dataset.label_path(name), self.dataset.num_classes)
        if pixels.nbytes + label.nbytes <= self.room:
            self.room -= pixels.nbytes + label.nbytes
            self._kept[name] = pixels, label
        return pixels, label

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        name = self.id_of(number)
        rng = np.random.default_rng((self.seed, 1, number))
        pixels, label = self._decoded(name)
        pixels, label = rescale(pixels, label, self.factor_of(number))
        sides = (max(side, self.size) for side in label.shape)  # as padded
        top, left = (int(rng.integers(side - self.size + 1)) for side in sides)
        window = np.s_[top : top + self.size, left : left + self.size]
        # What is cut away is neither padded nor turned into floats.
        image, label = pad(to_network_input(pixels[window]), label[window], self.size)
        if rng.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1]
        return (
            torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),  # (3, size, size)
            torch.from_numpy(np.ascontiguousarray(label)),
        )


class From(Sampler[int]):
    """The numbers ``start``, ``start + 1``, .. ``stop - 1``: the sequence from a resumed place.

    Of several ``processes``, ``rank`` gets its share of every batch of ``batch`` numbers: together
    they see what one sees alone.
    """

    def __init__(
        self, start: int, stop: int, batch: int = 1, *, rank: int = 0, processes: int = 1
    ) -> None:
        self.start, self.stop, self.batch = start, stop, batch
        self.rank, self.share = rank, batch // processes

    def __iter__(self) -> Iterator[int]:
        for first in range(self.start, self.stop, self.batch):
            mine = first + self.rank * self.share
            yield from range(mine, mine + self.share)

    # No length: Lightning counts the batches of a resumed epoch from its checkpoint, and would
    # take a shorter loader for one that has already ended.
