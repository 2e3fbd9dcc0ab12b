"""Read the weights of a .caffemodel: Caffe's protocol buffers, without Caffe or its schema's code.

Of the messages in caffe.proto, only these fields are looked at (others are passed over):

    NetParameter      layer = 100 (LayerParameter), layers = 2 (V1LayerParameter, until 2014)
    LayerParameter    name = 1, blobs = 7
    V1LayerParameter  name = 4, blobs = 6
    BlobProto         data = 5 (float), double_data = 8, shape = 7 (BlobShape)
                      num = 1, channels = 2, height = 3, width = 4 (before there was a shape)
    BlobShape         dim = 1
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from replication.errors import ReplicationError

Blobs = list[Float32[np.ndarray, "..."]]

# The field of a layer in NetParameter: the fields of its name and of its blobs.
_LAYERS = {100: (1, 7), 2: (4, 6)}
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def read_caffemodel(path: Path) -> dict[str, Blobs]:
    """Return the blobs of every layer that has any, by the layer's name, float32.

    Raises:
        ReplicationError: the file can't be read, is no .caffemodel, is cut short, or holds two
            layers of one name.
    """
    try:
        content = memoryview(path.read_bytes())
        layers: dict[str, Blobs] = {}
        for number, wire, value in _fields(content):
            if number not in _LAYERS or wire != _LENGTH:
                continue
            name, blobs = _layer(value, *_LAYERS[number])
            if blobs and name in layers:
                raise ValueError(f"two layers are named {name}")
            if blobs:
                layers[name] = blobs
    except (OSError, ValueError) as error:
        raise ReplicationError(
            f"{path} can't be read as a .caffemodel ({error}); fetch the file again"
        ) from None
    if not layers:
        raise ReplicationError(f"{path} holds no layer with weights; give a trained .caffemodel")
    return layers


Field = tuple[int, int, memoryview]


def _fields(message: memoryview) -> Iterator[Field]:
    """Yield (number, wire type, content) of every field; a varint's content is its bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            end = _varint(message, at)[1]
        elif wire == _LENGTH:
            length, at = _varint(message, at)
            end = at + length
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            end = at + (8 if wire == _EIGHT_BYTES else 4)
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if end > len(message) or number == 0:
            raise ValueError("it is cut short or something else")
        yield number, wire, message[at:end]
        at = end


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at ``at``, seven bits a byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("it is cut short or something else")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")


def _layer(message: memoryview, name_field: int, blobs_field: int) -> tuple[str, Blobs]:
    name, blobs = "", []
    for number, wire, value in _fields(message):
        if wire == _LENGTH and number == name_field:
            name = bytes(value).decode("utf-8")
        elif wire == _LENGTH and number == blobs_field:
            blobs.append(_blob(value))
    return name, blobs


def _blob(message: memoryview) -> Float32[np.ndarray, "..."]:
    pieces: list[np.ndarray] = []
    shape: tuple[int, ...] | None = None
    old = [1, 1, 1, 1]  # num, channels, height, width
    for number, wire, value in _fields(message):
        if number == 5 and wire in (_LENGTH, _FOUR_BYTES):  # packed, or one at a time
            pieces.append(np.frombuffer(value, "<f4"))
        elif number == 8 and wire in (_LENGTH, _EIGHT_BYTES):
            pieces.append(np.frombuffer(value, "<f8"))
        elif number == 7 and wire == _LENGTH:
            shape = tuple(_dims(value))
        elif number in (1, 2, 3, 4) and wire == _VARINT:
            old[number - 1] = _varint(value, 0)[0]
    data = np.concatenate(pieces or [np.empty(0)]).astype(np.float32)
    wanted = tuple(old) if shape is None else shape
    if math.prod(wanted) != data.size:
        raise ValueError(f"a blob of shape {wanted} holds {data.size} numbers")
    return data.reshape(wanted)


def _dims(message: memoryview) -> Iterator[int]:
    for number, wire, value in _fields(message):
        if number == 1 and wire in (_LENGTH, _VARINT):
            at = 0
            while at < len(value):
                dim, at = _varint(value, at)
                yield dim
