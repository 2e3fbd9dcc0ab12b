"""A run's class counts image by image, on disk: what a bootstrap needs, and no score map.

``results/<profile>/<run>.npz`` beside the run's JSON, compressed; equal counts give equal bytes.
200 images of 21 classes before and after the CRF take some 15 kB a seed.
"""

import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int64

from replication.atomic import atomic_path
from replication.errors import ReplicationError
from replication.evaluation.class_counts import HIT, PREDICTED, TRUE

Stage = Literal["before", "after"]
STAGES: tuple[Stage, Stage] = ("before", "after")
_ARRAYS = {"ids": 1, "true": 2, "hit": 4, "predicted": 4}  # their dimensions
_BROKEN = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class ImageCounts:
    """Class counts of every image under every training seed, before and after the CRF.

    Attributes:
        ids: the images, in order.
        counts: int64 (seeds, 2, images, 3, C): before and after; `class_counts` of each image.
    """

    ids: tuple[str, ...]
    counts: Int64[np.ndarray, "seeds 2 images 3 C"]

    def of(self, stage: Stage) -> Int64[np.ndarray, "seeds images 3 C"]:
        """Return the counts before or after the CRF."""
        return self.counts[:, STAGES.index(stage)]


def write_image_counts(path: str | os.PathLike[str], counts: ImageCounts) -> None:
    """Write ``counts``, whole or not at all.

    Raises:
        ValueError: the shapes do not fit, or true pixels differ between seeds or stages.
    """
    table = counts.counts
    if table.ndim != 5 or table.shape[1:4:2] != (2, 3) or table.shape[2] != len(counts.ids):
        raise ValueError(f"counts of {len(counts.ids)} images can't have shape {table.shape}")
    true = table[0, 0, :, TRUE]  # (images, C)
    if not (table[:, :, :, TRUE] == true).all():
        raise ValueError("one image has different true pixels in different predictions")
    with atomic_path(path) as part, part.open("wb") as stream:
        np.savez_compressed(
            stream,
            ids=np.array(counts.ids, dtype=np.str_),
            true=true.astype(np.int32),
            hit=table[:, :, :, HIT].astype(np.int32),
            predicted=table[:, :, :, PREDICTED].astype(np.int32),
        )


def read_image_counts(path: str | os.PathLike[str]) -> ImageCounts | None:
    """Read what `write_image_counts` wrote; None if there is no such file.

    Raises:
        ReplicationError: the file is broken or holds something else.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in _ARRAYS}
    except FileNotFoundError:
        return None
    except _BROKEN as error:
        raise ReplicationError(_broken(path, str(error).splitlines()[0])) from None
    if any(arrays[name].ndim != dimensions for name, dimensions in _ARRAYS.items()):
        raise ReplicationError(_broken(path, "arrays of other dimensions"))
    true, hit, predicted = arrays["true"], arrays["hit"], arrays["predicted"]
    if hit.shape != predicted.shape or hit.shape[1:] != (2, *true.shape):
        raise ReplicationError(_broken(path, "arrays that do not fit together"))
    if len(arrays["ids"]) != len(true):
        raise ReplicationError(_broken(path, "another number of ids than of counts"))
    table = np.stack([hit, np.broadcast_to(true, hit.shape), predicted], axis=3)
    ids = tuple(str(name) for name in arrays["ids"])
    return ImageCounts(ids, table.astype(np.int64))  # (seeds, 2, images, 3, C)


def _broken(path: Path, reason: str) -> str:
    return (
        f"{path}: no counts of images ({reason}); remove the file and let `dvc repro` make it again"
    )
