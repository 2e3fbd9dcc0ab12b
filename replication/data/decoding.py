"""A stranger's bytes as an opened picture: few formats, so many pixels, one line for any fault."""

import io
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from replication.errors import ReplicationError

LARGEST = 178_956_970
"""The most pixels that are decoded: Pillow's own limit; more is taken for a decompression bomb."""

# Those that photographs come in. Pillow opens 40 more by their first bytes, whatever the suffix:
# PostScript is handed to Ghostscript, an interpreter.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
_OPENING = threading.Lock()  # filters of warnings belong to the whole process


@contextmanager
def opened(
    path: Path | str, raw: bytes, *, what: str, said: str, cure: str, formats: Sequence[str]
) -> Iterator[Image.Image]:
    """Open a picture's bytes; whatever goes wrong within the block is one line.

    Args:
        path: names the picture in errors.
        raw: its bytes.
        what: what it is, such as ``image``.
        said: what is said of it where it can't be decoded; the reason follows in brackets.
        cure: what to do then.
        formats: Pillow's names of those that are taken.

    Raises:
        ReplicationError: the bytes are no picture of these formats, or broken, or cut short, or it
            has more than `LARGEST` pixels; or the block raises it.
    """
    try:
        with _open(raw, formats) as image:
            if image.width * image.height > LARGEST:
                raise Image.DecompressionBombError(f"({image.width * image.height} pixels)")
            yield image
    except ReplicationError:
        raise
    except Image.DecompressionBombError as error:
        found = re.search(r"(\d+) pixels", str(error))
        count = f"{int(found[1]):,}" if found else "far more"
        raise ReplicationError(
            f"{path}: the {what} has {count} pixels, and at most {LARGEST:,} are decoded; shrink "
            "it, or cut it into parts"
        ) from None
    except Exception as error:  # Pillow's decoders fail on broken bytes in dozens of ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ReplicationError(f"{path}: the {said} ({reason}); {cure}") from None


def _open(raw: bytes, formats: Sequence[str]) -> Image.Image:
    """Open without the warning that Pillow gives from half of `LARGEST` pixels on."""
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if not Image.OPEN.keys() >= set(formats):
            Image.init()  # the rarer formats; Pillow before 11.3 has no AVIF
        known = [name for name in formats if name in Image.OPEN]
        return Image.open(io.BytesIO(raw), formats=known)
