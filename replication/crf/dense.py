"""The engine ``pydensecrf``: the authors' program (Krähenbühl and Koltun's C++) in Python.

Argument names there and here: ``addPairwiseBilateral(sxy=sigma_alpha, srgb=sigma_beta, rgbim,
compat=w1, kernel, normalization)`` and ``addPairwiseGaussian(sxy=sigma_gamma, compat=w2, ...)``.
Both kernels are filtered on a permutohedral lattice, an approximation; ``exp(-d^2 / 2 sigma^2)``.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from replication.crf.parameters import CrfParameters
from replication.errors import ReplicationError

PACKAGE = "pydensecrf2"

_FLAGS = {
    "after": "NORMALIZE_AFTER",
    "symmetric": "NORMALIZE_SYMMETRIC",
    "none": "NO_NORMALIZATION",
    "before": "NORMALIZE_BEFORE",
}
_LARGEST_KEY = 32_767  # pydensecrf keeps lattice positions as C shorts; beyond, they wrap around


def _module() -> Any:
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise ReplicationError(
            f"the CRF engine `pydensecrf` is not installed ({error}): `pip install {PACKAGE}` "
            "(builds from source: needs a C++ compiler)"
        ) from None
    return densecrf


def _check_lattice(extents: list[float], what: str) -> None:
    """Refuse features whose lattice positions pydensecrf can't count.

    ``extents`` are the largest values of the features; the smallest are 0. The position's largest
    coordinate is bounded by the elevation of Adams et al. (2010), page 5.
    """
    d = len(extents)
    deviation = math.sqrt(2 / 3) * (d + 1)
    scaled = [x * deviation / math.sqrt((i + 1) * (i + 2)) for i, x in enumerate(extents)]
    largest = max([sum(scaled)] + [(i + 1) * x for i, x in enumerate(scaled)])
    if largest + 3 * (d + 1) > _LARGEST_KEY:
        raise ReplicationError(
            f"{what} is too small for this image: the engine `pydensecrf` counts lattice "
            f"positions up to {_LARGEST_KEY}, and this needs {largest:.0f}; take it larger"
        )


def mean_field(
    unary: Float32[np.ndarray, "C H W"],
    image: UInt8[np.ndarray, "H W 3"],
    parameters: CrfParameters,
) -> Float32[np.ndarray, "C H W"]:
    """Run mean field on -log P and the raw RGB image; see `replication.crf.engine.mean_field`.

    Raises:
        ReplicationError: pydensecrf is not installed, or a width is too small for its lattice.
    """
    densecrf = _module()
    classes, height, width = unary.shape
    flag = getattr(densecrf.NormalizationType, _FLAGS[parameters.normalization])
    options = {"kernel": densecrf.KernelType.DIAG_KERNEL, "normalization": flag}
    p = parameters
    crf = densecrf.DenseCRF2D(width, height, classes)
    # Its memory views ask for contiguous arrays that may be written to, though it writes nothing.
    flat = np.require(unary.reshape(classes, -1), np.float32, ["C", "W"])  # (C, H*W)
    crf.setUnaryEnergy(flat)
    if p.w2 > 0:  # a kernel of weight 0 adds nothing but its cost
        far = [(width - 1) / p.sigma_gamma, (height - 1) / p.sigma_gamma]
        _check_lattice(far, f"`sigma_gamma` {p.sigma_gamma:g}")
        crf.addPairwiseGaussian(sxy=p.sigma_gamma, compat=p.w2, **options)
    if p.w1 > 0:
        far = [(width - 1) / p.sigma_alpha, (height - 1) / p.sigma_alpha]
        deep = [float(x) / p.sigma_beta for x in image.reshape(-1, 3).max(axis=0)]
        _check_lattice(
            far + deep, f"`sigma_alpha` {p.sigma_alpha:g} or `sigma_beta` {p.sigma_beta:g}"
        )
        crf.addPairwiseBilateral(
            sxy=p.sigma_alpha,
            srgb=p.sigma_beta,
            rgbim=np.require(image, np.uint8, ["C", "W"]),
            compat=p.w1,
            **options,
        )
    belief = np.array(crf.inference(p.iterations), dtype=np.float32)  # (C, H*W), a copy
    return np.ascontiguousarray(belief.reshape(classes, height, width))
