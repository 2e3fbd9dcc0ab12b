"""One interface to every CRF engine: scores and a raw image in, beliefs out."""

from collections.abc import Callable
from importlib import metadata
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Float32, UInt8

from replication.crf import dense, lattice
from replication.crf.parameters import CrfParameters
from replication.crf.unary import unary_from_probabilities, unary_from_scores
from replication.errors import ReplicationError

EngineName = Literal["lattice", "pydensecrf"]
Engine = Callable[
    [Float32[np.ndarray, "C H W"], UInt8[np.ndarray, "H W 3"], CrfParameters],
    Float32[np.ndarray, "C H W"],
]

DEFAULT: EngineName = "lattice"
_ENGINES: dict[str, Engine] = {"lattice": lattice.mean_field, "pydensecrf": dense.mean_field}


def find_engine(name: str) -> Engine:
    """Return an engine by name; ReplicationError lists the known ones."""
    try:
        return _ENGINES[name]
    except KeyError:
        known = ", ".join(get_args(EngineName))
        raise ReplicationError(f"`engine` is {name!r}; use one of: {known}") from None


def engine_version(name: str) -> str | None:
    """Return the version of what computes, for fingerprints and results; None if not installed."""
    find_engine(name)
    try:
        if name == "lattice":
            return f"lattice {lattice.VERSION} (numba {metadata.version('numba')})"
        return f"{dense.PACKAGE} {metadata.version(dense.PACKAGE)}"
    except metadata.PackageNotFoundError:
        return None


def mean_field(
    scores: Float[np.ndarray, "C H W"],
    image: UInt8[np.ndarray, "IH IW 3"],  # another size is the user's mistake, named below
    parameters: CrfParameters,
    engine: str = DEFAULT,
    *,
    probabilities: bool = False,
) -> Float32[np.ndarray, "C H W"]:
    """Refine class scores by the fully connected CRF (section 3.3 of the paper).

    Args:
        scores: class scores before softmax at image size, finite, any float type, (C, H, W),
            2 to 256 classes; or probabilities in 0..1 where ``probabilities`` is set.
        image: the raw image, uint8 RGB in 0..255: no mean subtracted.
        parameters: kernels, iterations and normalization.
        engine: ``lattice``, this project's own, or ``pydensecrf``.
        probabilities: whether ``scores`` are probabilities already.

    Returns:
        Q, float32 (C, H, W): the beliefs after the last iteration, summing to 1 over the classes.
        Without iterations, or with both weights 0, the softmax.

    Raises:
        ReplicationError: the engine is unknown or not installed, the image's size is another, there
            are fewer than 2 or more than 256 classes, scores are not finite, or a width is too
            small for the engine.
        ValueError: an array is of the wrong type or rank.
    """
    run = find_engine(engine)
    if scores.ndim != 3 or not np.issubdtype(scores.dtype, np.floating):
        raise ValueError(f"`scores` must be float (C, H, W), not {scores.dtype} {scores.shape}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"`image` must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
    classes, height, width = scores.shape
    if image.shape[:2] != (height, width):
        raise ReplicationError(
            f"`scores` are for {height}x{width} pixels, and `image` has {image.shape[0]}x"
            f"{image.shape[1]} (height x width): enlarge the scores to the image first"
        )
    if not 2 <= classes <= 256 or height * width == 0:
        raise ReplicationError(
            f"`scores` have {classes} classes and {height}x{width} pixels; the CRF takes 2 to 256 "
            "classes and at least one pixel"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # named below
        unary = (unary_from_probabilities if probabilities else unary_from_scores)(scores)
    if not np.isfinite(unary).all():
        raise ReplicationError("`scores` hold NaN or infinite values: make them again")
    return run(unary, image, parameters)
