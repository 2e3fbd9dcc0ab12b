"""A run's class counts image by image, on disk: what a bootstrap needs, and no score map.

``results/<profile>/<run>.npz`` beside the run's JSON, compressed; equal counts give equal bytes.
200 images of 21 classes before and after the CRF take some 30 kB a seed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int32, Int64

from replication.atomic import atomic_path
from replication.errors import ReplicationError
from replication.evaluation.class_counts import HIT, PREDICTED, TRUE

Stage = Literal["before", "after"]
Table = Int64[np.ndarray, "seeds 2 images 3 C"]
STAGES: tuple[Stage, Stage] = ("before", "after")
_ARRAYS = {"true": 2, "hit": 4, "predicted": 4}  # their dimensions
_NEAR = "near_"  # before the names of the arrays of pixels near contours


@dataclass(frozen=True)
class ImageCounts:
    """Class counts of every image under every training seed, before and after the CRF.

    Attributes:
        ids: the images, in order.
        counts: int64 (seeds, 2, images, 3, C): before and after; `class_counts` of each image.
        near: the same of the pixels near contours (`replication.evaluation.trimap.NEAR`), or None.
    """

    ids: tuple[str, ...]
    counts: Table
    near: Table | None = None

    def of(self, stage: Stage) -> Int64[np.ndarray, "seeds images 3 C"]:
        """Return the counts before or after the CRF."""
        return self.counts[:, STAGES.index(stage)]

    def near_of(self, stage: Stage) -> Int64[np.ndarray, "seeds images 3 C"] | None:
        """Return those of the pixels near contours; None where they were not counted."""
        return None if self.near is None else self.near[:, STAGES.index(stage)]


def write_image_counts(path: str | os.PathLike[str], counts: ImageCounts) -> None:
    """Write ``counts``, whole or not at all.

    Raises:
        ValueError: the shapes do not fit, or true pixels differ between seeds or stages.
    """
    arrays = _arrays("", counts.counts, len(counts.ids))
    if counts.near is not None:
        arrays |= _arrays(_NEAR, counts.near, len(counts.ids))
    with atomic_path(path) as part, part.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, ids=np.array(counts.ids, np.str_), **arrays)


def _arrays(prefix: str, table: Table, images: int) -> dict[str, Int32[np.ndarray, "..."]]:
    """Return what is kept of (seeds, 2, images, 3, C) counts: true pixels once."""
    if table.ndim != 5 or table.shape[1:4:2] != (2, 3) or table.shape[2] != images:
        raise ValueError(f"counts of {images} images can't have shape {table.shape}")
    true = table[0, 0, :, TRUE]  # (images, C)
    if not (table[:, :, :, TRUE] == true).all():
        raise ValueError("one image has different true pixels in different predictions")
    kept = {"true": true, "hit": table[:, :, :, HIT], "predicted": table[:, :, :, PREDICTED]}
    return {f"{prefix}{name}": array.astype(np.int32) for name, array in kept.items()}


def read_image_counts(path: str | os.PathLike[str]) -> ImageCounts | None:
    """Read what `write_image_counts` wrote; None if there is no such file.

    Raises:
        ReplicationError: the file is broken or holds something else.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
        ids = tuple(str(name) for name in arrays["ids"])
        counts = _table("", arrays, len(ids))
        near = _table(_NEAR, arrays, len(ids)) if f"{_NEAR}true" in arrays else None
    except FileNotFoundError:
        return None
    except Exception as error:  # numpy and zipfile fail on broken bytes in a dozen ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ReplicationError(_broken(path, reason)) from None
    return ImageCounts(ids, counts, near)


def _table(prefix: str, arrays: Mapping[str, np.ndarray], images: int) -> Table:
    """Return (seeds, 2, images, 3, C) counts of the arrays kept; ValueError if they do not fit."""
    kept = {name: arrays[f"{prefix}{name}"] for name in _ARRAYS}
    if any(kept[name].ndim != dimensions for name, dimensions in _ARRAYS.items()):
        raise ValueError("arrays of other dimensions")
    true, hit, predicted = kept.values()
    if hit.shape != predicted.shape or hit.shape[1:] != (2, *true.shape):
        raise ValueError("arrays that do not fit together")
    if images != len(true):
        raise ValueError("another number of ids than of counts")
    table = np.stack([hit, np.broadcast_to(true, hit.shape), predicted], axis=3)
    return table.astype(np.int64)


def _broken(path: Path, reason: str) -> str:
    return (
        f"{path}: no counts of images ({reason}); remove the file and let `dvc repro` make it again"
    )
