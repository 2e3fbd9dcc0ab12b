"""The score store: what goes in comes out, and everything broken is named."""

from pathlib import Path

import numpy as np
import pytest

from replication.errors import ReplicationError
from replication.inference import store
from replication.inference.store import (
    check_complete,
    read_scores,
    score_path,
    stored_ids,
    write_scores,
)


def _scores(shape: tuple[int, ...] = (3, 4, 5)) -> np.ndarray:
    return np.random.default_rng(0).normal(scale=10, size=shape).astype(np.float32)


def _complaint(path: Path, num_classes: int | None = None) -> str:
    with pytest.raises(ReplicationError) as caught:
        read_scores(path, num_classes)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_round_trip_costs_one_rounding_to_float16(tmp_path: Path) -> None:
    scores = _scores()
    write_scores(tmp_path / "deep" / "a.npz", scores)
    back = read_scores(tmp_path / "deep" / "a.npz", 3)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, scores.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(back, scores, rtol=1 / 2048)
    with np.load(tmp_path / "deep" / "a.npz") as archive:
        assert archive.files == ["scores"]
        assert archive["scores"].dtype == np.float16
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.npz"]


def test_equal_scores_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_scores(tmp_path / f"{name}.npz", _scores())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_reads_npy_and_npz_of_any_float(tmp_path: Path, dtype: type) -> None:
    scores = _scores().astype(dtype)
    np.save(tmp_path / "a.npy", scores)
    np.savez_compressed(tmp_path / "b.npz", scores=scores, other=1)
    for name in ("a.npy", "b.npz"):
        np.testing.assert_array_equal(read_scores(tmp_path / name), scores.astype(np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 65_520.0, -1e6])
def test_refuses_to_write_what_float16_cannot_hold(tmp_path: Path, bad: float) -> None:
    write_scores(tmp_path / "a.npz", _scores())
    before = (tmp_path / "a.npz").read_bytes()
    scores = _scores()
    scores[1, 2, 3] = bad
    with pytest.raises(ReplicationError, match=r"a\.npz.*float16.*diverged"):
        write_scores(tmp_path / "a.npz", scores)
    assert (tmp_path / "a.npz").read_bytes() == before


def test_writes_the_largest_float16(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.npz", np.full((2, 1, 1), 65_504.0))
    assert read_scores(tmp_path / "a.npz").max() == 65_504


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_names_scores_that_are_not_finite(tmp_path: Path, value: float) -> None:
    scores = _scores()
    scores[0, 0, :2] = value
    np.savez(tmp_path / "a.npz", scores=scores)
    assert "2 of 60 scores are NaN or infinite" in _complaint(tmp_path / "a.npz")


def test_names_doubles_beyond_float32(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 3, 3), 1e300))
    assert "infinite" in _complaint(tmp_path / "a.npy")


def test_names_a_wrong_number_of_channels(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.npz", _scores())
    message = _complaint(tmp_path / "a.npz", num_classes=21)
    assert "3 channels" in message
    assert "21 classes" in message


@pytest.mark.parametrize("shape", [(4, 5), (1, 3, 4, 5), (), (3, 0, 5)])
def test_names_a_wrong_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.savez(tmp_path / "a.npz", scores=np.zeros(shape, np.float32))
    assert str(shape) in _complaint(tmp_path / "a.npz")


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.complex64])
def test_names_a_wrong_type(tmp_path: Path, dtype: type) -> None:
    np.savez(tmp_path / "a.npz", scores=np.zeros((2, 3, 3), dtype))
    assert np.dtype(dtype).name in _complaint(tmp_path / "a.npz")


def test_names_a_missing_key(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", logits=_scores())
    assert "logits" in _complaint(tmp_path / "a.npz")


def test_names_a_missing_file(tmp_path: Path) -> None:
    assert "no such score file" in _complaint(tmp_path / "a.npz")


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "can't be read" in _complaint(tmp_path / "a.npy")


@pytest.mark.parametrize("suffix", ["npz", "npy"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.99])
def test_files_cut_short_are_named(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    with path.open("wb") as stream:
        np.savez(stream, scores=_scores()) if suffix == "npz" else np.save(stream, _scores())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "can't be read" in _complaint(path)


def test_a_flipped_byte_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_scores(path, _scores())
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(bytes(raw))
    assert "can't be read" in _complaint(path)


def test_an_image_among_the_scores_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert "can't be read" in _complaint(path)


def test_an_array_under_the_wrong_suffix_is_named(tmp_path: Path) -> None:
    with (tmp_path / "a.npz").open("wb") as stream:
        np.save(stream, _scores())
    assert "can't be read" in _complaint(tmp_path / "a.npz")


def test_finds_the_file_of_an_id(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", _scores())
    write_scores(tmp_path / "a.npz", _scores())
    (tmp_path / ".a.npz.part.npz").touch()
    (tmp_path / "score.json").touch()
    assert score_path(tmp_path, "a").name == "a.npz"
    assert score_path(tmp_path, "b").name == "b.npy"
    assert stored_ids(tmp_path) == {"a", "b"}
    with pytest.raises(ReplicationError, match=r"c\.npz: no scores for image 'c'"):
        score_path(tmp_path, "c")


def test_missing_and_stale_ids_are_named() -> None:
    check_complete("here", ["a", "b"], {"a", "b"}, "scores")
    with pytest.raises(ReplicationError, match=r"here: no scores for 1 images \(b\)"):
        check_complete("here", ["a", "b"], {"a", "c"}, "scores")
    with pytest.raises(ReplicationError, match=r"here: stale scores for 4 images \(c, d, e, ...\)"):
        check_complete("here", ["a"], set("acdef"), "scores")


@pytest.mark.parametrize("packed", [True, False])
def test_files_made_to_fill_the_memory_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(store, "_FLOOR", 1 << 16)
    zeros = np.zeros((2, 300, 300), np.float32)
    path = tmp_path / "a.npz"
    (np.savez_compressed if packed else np.savez)(path, scores=zeros)
    if packed:
        with pytest.raises(ReplicationError, match=r"unpacks to 720,\d+ bytes, and at most"):
            read_scores(path)
    else:
        assert read_scores(path).shape == (2, 300, 300)


@pytest.mark.parametrize(
    "shape", ["(3, 1000000, 1000000)", "(3, 4)", "(9223372036854775807, 9, 9)"]
)
def test_a_header_that_promises_more_than_there_is(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (118 - len(header) - 1) + b"\n"
    raw = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 48
    (tmp_path / "a.npy").write_bytes(raw)
    _complaint(tmp_path / "a.npy")


def test_a_signalling_nan_is_named(tmp_path: Path) -> None:
    scores = np.zeros((1, 2, 2))
    scores.view(np.uint64)[0, 0, 0] = 0x7FF0_0000_0000_0001
    np.save(tmp_path / "a.npy", scores)
    assert "1 of 4 scores are NaN" in _complaint(tmp_path / "a.npy")
