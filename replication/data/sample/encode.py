"""Pictures, labels and MATLAB files as bytes that depend on nothing but what is in them."""

import io
from typing import Any, cast

import numpy as np
from jaxtyping import UInt8
from PIL import Image

JPEG_QUALITY = 67  # with full colour resolution: the best that keeps VOC's and SBD's under 8 MB
_HEADER = "MATLAB 5.0 MAT-file, rendered sample in the layout of "


def encode_jpeg(image: UInt8[np.ndarray, "H W 3"], quality: int = JPEG_QUALITY) -> bytes:
    """Return an RGB image as the archives hold it."""
    stream = io.BytesIO()
    # subsampling=0: half the colour resolution would blur the edges that the CRF looks for.
    Image.fromarray(image).save(stream, "JPEG", quality=quality, subsampling=0, optimize=True)
    return stream.getvalue()


def encode_png(image: UInt8[np.ndarray, "H W *C"]) -> bytes:
    """Return a grey (H, W) or RGB (H, W, 3) image as PNG."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def mat_bytes(variables: dict[str, Any], like: str, *, compress: bool = False) -> bytes:
    """Return a MATLAB 5 file of ``variables``, its header saying in whose layout it is."""
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(cast(Any, stream), variables, do_compression=compress)  # the stubs know of paths only
    raw = stream.getvalue()
    # savemat's own first 116 bytes give platform and time
    return f"{_HEADER}{like}".encode().ljust(116) + raw[116:]
