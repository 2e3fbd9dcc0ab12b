"""The score store: one file per image, class scores before softmax, float16.

Files are not compressed: on continuous 65x65 scores of 21 classes, deflate saved 22 % of the size
(178 to 138 kB an image) and took 8.4 ms instead of 0.7 to write, 1.6 instead of 0.5 to read. Equal
scores give equal bytes: no time stamp enters the file.
"""

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float, Float32

from replication.atomic import atomic_path
from replication.errors import ReplicationError

KEY = "scores"
SUFFIXES = (".npz", ".npy")
_LARGEST = float(np.finfo(np.float16).max)  # 65504
# Bytes that a compressed file may unpack to: so many, or so many times its own. Scores shrink by
# 2 or 3, a file that was made to fill the memory by 1,000.
_FLOOR, _RATIO = 1 << 28, 200

Name = str | os.PathLike[str]


def score_path(folder: Name, image_id: str) -> Path:
    """Return the score file of an image: ``ID.npz``, or ``ID.npy`` where only that is there.

    Raises:
        ReplicationError: there is neither.
    """
    candidates = [Path(folder) / f"{image_id}{suffix}" for suffix in SUFFIXES]
    for path in candidates:
        if path.is_file():
            return path
    raise ReplicationError(
        f"{candidates[0]}: no scores for image {image_id!r} (nor {candidates[1].name}): score it, "
        "or take it off the list of images"
    )


def write_scores(path: Name, scores: Float[np.ndarray, "C h w"]) -> None:
    """Write score maps as float16 under the key ``scores`` of an ``.npz``, whole or not at all.

    Scores that float16 can't hold are refused, not clipped: a network that gives them has
    diverged, and clipped scores would tie classes silently. Rounding to float16 costs at most
    1 / 2048 of a score.

    Raises:
        ReplicationError: a score is NaN or infinite, or beyond 65,504; names the file.
        ValueError: not a float (C, h, w) array.
    """
    if scores.ndim != 3 or not np.issubdtype(scores.dtype, np.floating) or scores.size == 0:
        raise ValueError(f"`scores` must be float (C, h, w), not {scores.dtype} {scores.shape}")
    largest = float(np.abs(scores).max())
    if not largest <= _LARGEST:  # so put, NaN is caught too
        raise ReplicationError(
            f"{path}: the network's largest score is {largest:g}, which float16 can't hold: "
            "training has diverged; train again with a lower base learning rate"
        )
    with atomic_path(path) as part, part.open("wb") as stream:
        np.savez(stream, scores=scores.astype(np.float16))


def _refuse_bomb(stream: BinaryIO) -> None:
    """Raise ValueError where an ``.npz`` unpacks to far more than scores do."""
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            room = max(_FLOOR, _RATIO * member.compress_size)
            if member.file_size > room:
                raise ValueError(
                    f"{member.filename!a} unpacks to {member.file_size:,} bytes, and at most "
                    f"{room:,} are read: save it with np.savez, uncompressed"
                )
    stream.seek(0)


def _load(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as stream:  # np.load leaves a broken file that it opened open
            if path.suffix.lower() == ".npy":
                return np.asarray(np.load(stream, allow_pickle=False))
            if stream.read(2) == b"PK":
                stream.seek(0)
                _refuse_bomb(stream)
            stream.seek(0)
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("an .npy file under the name .npz")
            with archive:
                if KEY not in archive:
                    found = ", ".join(archive.files) or "none"
                    raise ReplicationError(
                        f"{path}: key `{KEY}` is missing (keys: {found}): save it as "
                        f"np.savez(path, {KEY}=array)"
                    )
                return np.asarray(archive[KEY])
    except ReplicationError:
        raise
    except FileNotFoundError:
        raise ReplicationError(f"{path}: there is no such score file: score the image") from None
    except Exception as error:  # numpy and zipfile fail on broken bytes in a dozen ways
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ReplicationError(
            f"{path}: the score file can't be read ({reason}): delete it and score the image again"
        ) from None


def read_scores(path: Name, num_classes: int | None = None) -> Float32[np.ndarray, "C h w"]:
    """Read score maps from ``.npz`` (key ``scores``) or ``.npy``, any float type.

    Args:
        path: the file.
        num_classes: how many channels it must have; None takes any number.

    Returns:
        float32 (C, h, w), finite.

    Raises:
        ReplicationError: one line naming the file: missing, unreadable or cut short, no key
            ``scores``, not three-dimensional, empty, no float type, a wrong number of channels, or
            a score that is NaN or infinite.
    """
    path = Path(path)
    raw = _load(path)
    if raw.ndim != 3 or raw.size == 0:
        raise ReplicationError(
            f"{path}: scores must be (classes, height, width), found shape {raw.shape}"
        )
    if not np.issubdtype(raw.dtype, np.floating):
        raise ReplicationError(
            f"{path}: scores must be of a float type, found {raw.dtype}: save class scores, "
            "not labels"
        )
    if num_classes is not None and raw.shape[0] != num_classes:
        raise ReplicationError(
            f"{path}: scores have {raw.shape[0]} channels, and there are {num_classes} classes: "
            "the first axis must be the classes; score again if the classes have changed"
        )
    # float64 beyond float32 becomes infinite, a signalling NaN a quiet one: both are named below
    with np.errstate(over="ignore", invalid="ignore"):
        scores = raw.astype(np.float32)
    if not np.isfinite(scores).all():
        bad = int(scores.size - np.isfinite(scores).sum())
        raise ReplicationError(
            f"{path}: {bad} of {scores.size} scores are NaN or infinite: make the scores again"
        )
    return scores


def stored_ids(folder: Name) -> set[str]:
    """Return the ids that have a score file in ``folder`` (hidden files are passed over)."""
    return {
        p.stem
        for p in Path(folder).glob("*")
        if p.suffix in SUFFIXES and not p.name.startswith(".")
    }


def check_complete(folder: Name, ids: Iterable[str], found: set[str], what: str) -> None:
    """Refuse a folder that lacks an id, or holds one that was not asked for.

    Args:
        folder: named in the error.
        ids: what must be there.
        found: what is there.
        what: what a file is called in the error, such as ``scores``.

    Raises:
        ReplicationError: names up to three ids.
    """
    wanted = set(ids)
    for odd, word, cure in (
        (wanted - found, "no", "run the stage that writes them again"),
        (found - wanted, "stale", "delete them, they belong to no image of this split"),
    ):
        if odd:
            names = ", ".join(sorted(odd)[:3]) + (", ..." if len(odd) > 3 else "")
            raise ReplicationError(
                f"{folder}: {word} {what} for {len(odd)} images ({names}): {cure}"
            )
