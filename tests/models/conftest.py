"""Files as others write them: a .caffemodel, encoded by hand after caffe.proto."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Layers = dict[str, tuple[str, list[np.ndarray]]]


def varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number: int, content: bytes) -> bytes:
    """A field of length-delimited content."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array: np.ndarray) -> bytes:
    shape = field(7, field(1, b"".join(varint(side) for side in array.shape)))
    return field(5, array.astype("<f4").tobytes()) + shape


def encode(layers: Layers) -> bytes:
    """NetParameter of LayerParameters: name, type, blobs."""
    out = field(1, b"a net")
    for name, (kind, blobs) in layers.items():
        content = field(1, name.encode()) + field(2, kind.encode())
        content += b"".join(field(7, blob(array)) for array in blobs)
        out += field(100, content)
    return out


@pytest.fixture
def write_caffemodel(tmp_path: Path) -> Callable[[Layers], Path]:
    """A function that writes layers, by name (type, blobs), into a .caffemodel."""

    def write(layers: Layers, name: str = "net.caffemodel") -> Path:
        path = tmp_path / name
        path.write_bytes(encode(layers))
        return path

    return write
