"""Scores and an image in, labels of any number of settings out: by either engine, in any mode."""

from collections.abc import Iterator, Sequence
from typing import get_args

import numpy as np
from jaxtyping import Float32, UInt8

from replication.crf import lattice
from replication.crf.engine import find_engine, mean_field
from replication.crf.lattice import Mode, Refined
from replication.crf.parameters import CrfParameters
from replication.crf.unary import unary_from_scores
from replication.errors import ReplicationError
from replication.evaluation.run import best_class


def find_mode(mode: str | None, engine: str, *, search: bool = False) -> Mode:
    """Return the mode to run an engine in; None takes ``exact``, for a search the fastest.

    Raises:
        ReplicationError: there is no such engine or mode, or the engine has no such mode.
    """
    find_engine(engine)
    if mode is None:
        return "fast" if search and engine == "lattice" else "exact"
    if mode not in get_args(Mode):
        raise ReplicationError(f"`mode` is {mode!r}; use one of: {', '.join(get_args(Mode))}")
    if mode == "fast" and engine != "lattice":
        raise ReplicationError(
            f"the CRF engine `{engine}` has no mode `fast`; use `exact`, or the engine `lattice`"
        )
    return "fast" if mode == "fast" else "exact"


def prepare(engine: str, mode: Mode) -> None:
    """Compile what an engine needs, so that processes started later load it from disk.

    Raises:
        ReplicationError: the engine is not installed.
    """
    if engine == "lattice":
        setting = CrfParameters(w1=1, sigma_alpha=5, sigma_beta=5)
        unary, image = np.zeros((2, 4, 4), np.float32), np.zeros((4, 4, 3), np.uint8)
        for _ in lattice.mean_field_many(unary, image, [setting], mode):
            pass


def refine_many(
    scores: Float32[np.ndarray, "C H W"],
    image: UInt8[np.ndarray, "H W 3"],
    parameters: Sequence[CrfParameters],
    engine: str,
    mode: Mode = "exact",
    *,
    beliefs: bool = False,
) -> Iterator[Refined]:
    """Refine one image by many settings; lattices that settings share are built once.

    Args:
        scores: class scores before softmax at image size, finite, 2 to 256 classes.
        image: the raw image, 0..255.
        parameters: the settings; each comes out once, in an order of the engine's choosing.
        engine: ``lattice`` or ``pydensecrf`` (which shares nothing between settings).
        mode: ``exact`` or, with ``lattice``, ``fast``; see `replication.crf.lattice`.
        beliefs: whether Q comes with the labels (``exact`` only): it takes longer.

    Raises:
        ReplicationError: the engine is unknown or not installed, the classes are too few or too
            many, or a width is too small for the image.
    """
    if engine != "lattice":
        for p in parameters:
            belief = mean_field(scores, image, p, engine)
            yield Refined(p, best_class(belief), belief if beliefs else None)
        return
    if not 2 <= scores.shape[0] <= 256:
        raise ReplicationError(
            f"`scores` have {scores.shape[0]} classes; the CRF takes 2 to 256: give the scores of "
            "all classes, background included"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # named below
        unary = unary_from_scores(scores)
    if not np.isfinite(unary).all():
        raise ReplicationError(
            "`scores` of one pixel are too far apart for float32: make the scores again"
        )
    yield from lattice.mean_field_many(unary, image, parameters, mode, beliefs=beliefs)
