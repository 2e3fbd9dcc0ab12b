"""The reader of .caffemodel against bytes of Google's own protobuf, and every way to be broken."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replication.errors import ReplicationError
from replication.models.caffemodel import read_caffemodel

# Written by the package protobuf 7.36 from caffe.proto's messages: a data layer without blobs;
# conv1 with a bottom, a loss weight, floats of shape (2, 1, 1, 3) with a diff, and two doubles;
# and an old-style layer whose blob gives num, channels, height and width.
GOOGLES = bytes.fromhex(
    "0a0474696e79121b22036f6c642804321208011001180120022a080000e040000000412001200320ac02a206160a04"
    "64617461120c496d616765536567446174615000a206660a05636f6e7631120b436f6e766f6c7574696f6e1a046461"
    "74612d0000003f3a2c2a180000803f000000c00000003f0000804000000000000080be320800001041000010413a06"
    "0a04020101033a173a030a01024210000000000000f83f00000000000008c0"
)


def test_what_googles_protobuf_writes(tmp_path: Path) -> None:
    path = tmp_path / "tiny.caffemodel"
    path.write_bytes(GOOGLES)
    layers = read_caffemodel(path)
    assert set(layers) == {"old", "conv1"}
    weight, bias = layers["conv1"]
    assert weight.dtype == bias.dtype == np.float32
    np.testing.assert_array_equal(weight, np.reshape([1, -2, 0.5, 4, 0, -0.25], (2, 1, 1, 3)))
    np.testing.assert_array_equal(bias, [1.5, -3])
    np.testing.assert_array_equal(layers["old"][0], np.reshape([7, 8], (1, 1, 1, 2)))


def test_floats_that_are_not_packed(tmp_path: Path) -> None:
    one = b"\x2d\x00\x00\x80\x3f"  # field 5, four bytes: 1.0
    blob = one + one + b"\x3a\x02\x08\x02"  # dim 2, not packed either
    layer = b"\x0a\x01a" + b"\x3a" + bytes([len(blob)]) + blob
    path = tmp_path / "w.caffemodel"
    path.write_bytes(b"\xa2\x06" + bytes([len(layer)]) + layer)
    np.testing.assert_array_equal(read_caffemodel(path)["a"][0], [1, 1])


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(st.integers(1, 5), max_size=4), min_size=1, max_size=4), st.integers(0, 9))
def test_any_shapes_come_back(
    write_caffemodel: Callable[..., Path], shapes: list[list[int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    blobs = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    path = write_caffemodel({"one": ("Convolution", blobs), "relu": ("ReLU", [])})
    (name, found), *others = read_caffemodel(path).items()
    assert (name, others) == ("one", [])
    for ours, theirs in zip(found, blobs, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def refused(path: Path, said: str) -> None:
    with pytest.raises(ReplicationError, match=said) as caught:
        read_caffemodel(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [len(GOOGLES) - 1, len(GOOGLES) // 2, 60, 7])
def test_a_file_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "w.caffemodel"
    path.write_bytes(GOOGLES[:kept])
    refused(path, "cut short|no layer with weights")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no layer with weights"),
        (b"<!DOCTYPE html><title>404</title>", "can't be read as a .caffemodel"),
        (b"\xff" * 40, "ten bytes"),
        (b"\x0a\x03net", "no layer with weights"),
    ],
)
def test_what_is_no_caffemodel_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "w.caffemodel"
    path.write_bytes(content)
    refused(path, said)
    refused(tmp_path / "none.caffemodel", "No such file")


def test_a_blob_of_the_wrong_size_and_a_name_twice(tmp_path: Path) -> None:
    path = tmp_path / "w.caffemodel"
    path.write_bytes(GOOGLES.replace(b"\x0a\x04\x02\x01\x01\x03", b"\x0a\x04\x02\x01\x01\x04"))
    refused(path, r"shape \(2, 1, 1, 4\) holds 6 numbers")
    path.write_bytes(GOOGLES + GOOGLES)
    refused(path, "two layers are named (old|conv1)")
