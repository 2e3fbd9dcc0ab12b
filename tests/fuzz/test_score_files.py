"""Score files, whatever their bytes: scores, or one line."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from replication.evaluation.image_counts import ImageCounts, read_image_counts, write_image_counts
from replication.inference.store import read_scores, write_scores

Rounds = Callable[[], Iterator[np.random.Generator]]
Check = Callable[..., object]
Mutate = Callable[[bytes, np.random.Generator], bytes]


def test_changed_score_files(
    tmp_path: Path, rounds: Rounds, mutate: Mutate, value_or_one_line: Check
) -> None:
    scores = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    valid: list[tuple[str, bytes]] = []
    write_scores(tmp_path / "a.npz", scores)
    valid.append((".npz", (tmp_path / "a.npz").read_bytes()))
    stream = io.BytesIO()
    np.savez_compressed(stream, scores=scores, other=np.arange(4))
    valid.append((".npz", stream.getvalue()))
    for array in (scores, scores.astype(">f8"), np.asfortranarray(scores)):
        stream = io.BytesIO()
        np.save(stream, array)
        valid.append((".npy", stream.getvalue()))
    for rng in rounds():
        suffix, raw = valid[int(rng.integers(len(valid)))]
        path = tmp_path / f"changed{suffix}"
        path.write_bytes(mutate(raw, rng))
        found = value_or_one_line(read_scores, path)
        if isinstance(found, np.ndarray):
            assert found.ndim == 3
            assert found.dtype == np.float32
            assert np.isfinite(found).all()


def test_changed_counts_of_images(
    tmp_path: Path, rounds: Rounds, mutate: Mutate, value_or_one_line: Check
) -> None:
    counts = np.zeros((1, 2, 2, 3, 4), np.int64)
    counts[:, :, :, 0] = 7
    write_image_counts(tmp_path / "a.npz", ImageCounts(("x", "y"), counts, counts))
    raw = (tmp_path / "a.npz").read_bytes()
    for rng in rounds():
        path = tmp_path / "changed.npz"
        path.write_bytes(mutate(raw, rng))
        found = value_or_one_line(read_image_counts, path)
        assert found is not None
