"""The engine ``lattice``: mean field on permutohedral lattices, compiled by numba.

For scores of one setting, `mean_field`; for a search over settings on an image, `mean_field_many`,
which builds each lattice once and updates settings that share lattices together. Nothing of numba
is imported before the first call; the first call on a machine compiles.
"""

import threading
from collections.abc import Iterator, Sequence
from types import ModuleType

import numpy as np
from jaxtyping import Float32, UInt8

from replication.crf.lattice.result import Mode, Refined
from replication.crf.parameters import CrfParameters
from replication.errors import ReplicationError

__all__ = ["VERSION", "Mode", "Refined", "mean_field", "mean_field_many"]

VERSION = "2"  # counts up with any change of what `exact` computes

_ready: set[Mode] = set()
_kept = threading.local()  # buffers; threads must not share them


def _rehearse(mode: Mode) -> None:
    """Use every kernel of a mode once."""
    from replication.crf.lattice.image import Image
    from replication.crf.lattice.meanfield import refine

    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
    for likely in (2, 12):  # labels that matter: in one register, and in two
        unary = rng.uniform(0, 1, (20, 16, 16)).astype(np.float32)
        unary[likely:] += 30
        setting = CrfParameters(w1=1, sigma_alpha=5, sigma_beta=5, iterations=4)
        for _ in refine(Image(unary, image), [setting], mode, beliefs=mode == "exact"):
            pass


def _load(mode: Mode) -> ModuleType:
    try:
        from replication.crf.lattice import meanfield
        from replication.kernels import compiled
    except ImportError as error:
        raise ReplicationError(
            f"the CRF engine `lattice` needs numba, which can't be imported ({error}): "
            "`pip install numba`, or use the engine `pydensecrf`"
        ) from None
    if mode not in _ready:
        compiled.prepare(lambda: _rehearse(mode), mode, "lattice")
        _ready.add(mode)
    return meanfield


def mean_field_many(
    unary: Float32[np.ndarray, "C H W"],
    image: UInt8[np.ndarray, "H W 3"],
    parameters: Sequence[CrfParameters],
    mode: Mode = "exact",
    *,
    beliefs: bool = False,
) -> Iterator[Refined]:
    """Refine one image by many settings, sharing all that they have in common.

    Settings come out as soon as they are done, each once, those with the same widths and
    normalization one after another: give many at a time. Equal settings come out as often as they
    were given.

    Args:
        unary: -log P of 2 to 256 labels, finite.
        image: the raw image, 0..255.
        parameters: the settings, in any order.
        mode: ``exact`` equals pydensecrf to rounding (Q to 1e-4 and mostly to 1e-6; bit for bit
            where messages are strong, see `replication.crf.lattice.ordered`); ``fast``, for
            searches, gives labels of which less than 1 in 10,000 differ from those of ``exact``.
        beliefs: whether Q comes with the labels (``exact`` only): it takes longer.

    Raises:
        ReplicationError: numba is not installed, or a width is too small for the image.
        ValueError: beliefs are asked for in ``fast`` mode.
    """
    meanfield = _load(mode)
    from replication.crf.lattice.buffers import Buffers
    from replication.crf.lattice.image import Image

    buffers = getattr(_kept, "buffers", None) or Buffers()
    _kept.buffers = None  # until this call is done: another one meanwhile takes its own
    try:
        ready = Image(unary, image, buffers)
        yield from meanfield.refine(ready, parameters, mode, beliefs=beliefs)
    finally:
        _kept.buffers = buffers


def mean_field(
    unary: Float32[np.ndarray, "C H W"],
    image: UInt8[np.ndarray, "H W 3"],
    parameters: CrfParameters,
) -> Float32[np.ndarray, "C H W"]:
    """Return Q of one setting, exactly; see `replication.crf.engine.mean_field`.

    Raises:
        ReplicationError: numba is not installed, or a width is too small for the image.
    """
    (refined,) = mean_field_many(unary, image, [parameters], beliefs=True)
    assert refined.beliefs is not None
    return refined.beliefs
