"""The trimap: pixels near the void contour, where the CRF has most to do (figure 10).

As the authors' script has it: dilate the void pixels by a square of side 2w + 1, and take what is
not void itself. The band lies around the *void contour*; the square makes it a Chebyshev distance.
"""

import numpy as np
from jaxtyping import UInt8

from replication.evaluation.confusion import VOID


def keep_band(label: UInt8[np.ndarray, "H W"], width: int) -> UInt8[np.ndarray, "H W"]:
    """Return a label map in which everything but the band is void, as `confusion_matrix` takes it.

    Args:
        label: uint8, classes and 255.
        width: of the band, pixels, at least 1: valid pixels whose Chebyshev distance to a void one
            is at most this are kept.
    """
    from scipy.ndimage import maximum_filter

    if width < 1:
        raise ValueError(f"`width` must be at least 1, not {width}")
    void = (label == VOID).astype(np.uint8)
    near = maximum_filter(void, size=2 * width + 1, mode="constant", cval=0)
    kept: UInt8[np.ndarray, "H W"] = np.where(near > 0, label, np.uint8(VOID))
    return kept
