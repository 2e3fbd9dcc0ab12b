"""The lattice's parts: positions, order, the filter as an operator, what is kept on disk."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.crf.engine import engine_version
from replication.errors import ReplicationError

if engine_version("lattice") is None:
    pytest.skip("numba is not installed: no engine `lattice`", allow_module_level=True)

from replication.crf.lattice.embedding import features, packing, scale_factors
from replication.crf.lattice.kernel import Kernel, build_kernel
from replication.crf.lattice.labels import choose
from replication.crf.lattice.order import hilbert_order
from replication.kernels import compiled


def kernel(size: tuple[int, int], seed: int = 0, colour: float | None = 20.0) -> Kernel:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 80, (*size, 3)).astype(np.uint8)
    return build_kernel(image, 6.0, colour)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_the_order_visits_every_pixel_once(height: int, width: int) -> None:
    order = hilbert_order(height, width)
    np.testing.assert_array_equal(np.sort(order), np.arange(height * width))


def test_the_order_walks_to_neighbours() -> None:
    y, x = np.divmod(hilbert_order(64, 128), 128)
    assert (np.abs(np.diff(y)) + np.abs(np.diff(x)) == 1).mean() > 0.999


def plain_lattice(points: np.ndarray) -> tuple[list[list[tuple[int, ...]]], np.ndarray]:
    """Adams et al.'s embedding in double precision: vertices by remainder, barycentric weights."""
    d = points.shape[1]
    lifted = points * scale_factors(d).astype(float)
    vertices, weights = [], []
    for point in lifted:
        sums = np.concatenate([np.cumsum(point[::-1])[::-1], [0]])
        y = np.array([sums[i] - (i * point[i - 1] if i else 0) for i in range(d + 1)])
        base = np.rint(y / (d + 1)) * (d + 1)
        rank = np.argsort(np.argsort(-(y - base), kind="stable"))
        off = int(base.sum()) // (d + 1)
        rank += off
        base[rank < 0] += d + 1
        base[rank > d] -= d + 1
        rank %= d + 1
        weight = np.zeros(d + 2)
        for i in range(d + 1):
            share = (y[i] - base[i]) / (d + 1)
            weight[d - rank[i]] += share
            weight[d + 1 - rank[i]] -= share
        weight[0] += 1 + weight[d + 1]
        weights.append(weight[: d + 1])
        vertices.append(
            [
                tuple(int(base[i] + r - (d + 1) * (rank[i] > d - r)) for i in range(d + 1))
                for r in range(d + 1)
            ]
        )
    return vertices, np.array(weights)


@pytest.mark.parametrize("colour", [None, 20.0])
def test_vertices_are_those_of_the_paper(colour: float | None) -> None:
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
    built = build_kernel(image, 5.3, colour)
    points = features(image, 5.3, colour)[:, hilbert_order(9, 12)].T.astype(float)
    vertices, weights = plain_lattice(points)
    np.testing.assert_allclose(built.weights, weights, atol=1e-4)
    names: dict[int, tuple[int, ...]] = {}
    for mine, theirs in zip(built.vertex, vertices, strict=True):
        for number, name in zip(mine, theirs, strict=True):
            assert names.setdefault(int(number), name) == name
    assert len(set(names.values())) == len(names) == built.count
    # Neighbours along axis j: coordinate j falls by d, the others grow by 1.
    d = points.shape[1]
    found = set()
    for axis in range(d + 1):
        part = slice(built.bounds[axis], built.bounds[axis + 1])
        chain, joined = built.chain[part], built.joined[part]
        for i in np.flatnonzero(joined):
            found.add((axis, names[int(chain[i - 1])], names[int(chain[i])]))
    known = set(names.values())
    expected = set()
    for name in known:
        for axis in range(d + 1):
            moved = tuple(x - d if i == axis else x + 1 for i, x in enumerate(name))
            if moved in known:
                expected.add((axis, name, moved))
    assert found == expected


@pytest.mark.parametrize("colour", [None, 20.0])
def test_the_filter_is_linear_and_nearly_symmetric(colour: float | None) -> None:
    """<K a, b> = <a, K' b> with the axes blurred the other way round: equal to some per cent."""
    k = kernel((15, 22), colour=colour)
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 1, (2, len(k.vertex))).astype(np.float32)
    mixed = k.filter_one(2 * a + 3 * b)
    np.testing.assert_allclose(mixed, 2 * k.filter_one(a) + 3 * k.filter_one(b), rtol=1e-4)
    forth, back = k.filter_one(a) @ b, a @ k.filter_one(b)
    assert forth == pytest.approx(back, rel=0.01)


def test_normalised_the_filter_keeps_a_constant() -> None:
    k = kernel((13, 19))
    before, after, gain = k.scales("after")
    alpha = 1 / (1 + 2.0**-5)
    kept = k.filter_one(7 * before) * after / alpha
    np.testing.assert_allclose(kept, 7, rtol=1e-5)
    assert gain == 1


def test_a_lone_pixel_keeps_its_value_up_to_the_blur() -> None:
    k = kernel((1, 1))
    assert 0 < float(k.ones[0]) <= 1 / (1 + 2.0**-5) + 1e-6


@pytest.mark.parametrize("sigma", [0.1, 0.3])
def test_widths_beyond_pydensecrfs_keys_work(sigma: float) -> None:
    image = np.zeros((2, 4000, 3), np.uint8)
    k = build_kernel(image, sigma)
    assert k.count > 20_000  # no two pixels share a vertex: nothing wraps around
    assert 0.4 < k.ones.min() <= k.ones.max() < 1.1


def test_widths_beyond_62_bits_are_named() -> None:
    with pytest.raises(ReplicationError, match=r"`x` is too small for this image") as caught:
        packing([50_000.0, 50_000.0, 2550.0, 2550.0, 2550.0], "`x`")
    assert "\n" not in str(caught.value)


@given(seed=st.integers(0, 99), limit=st.floats(1e-6, 1), classes=st.integers(2, 60))
def test_labels_left_out_stay_below_the_limit(seed: int, limit: float, classes: int) -> None:
    peak = np.random.default_rng(seed).uniform(0, 1, classes).astype(np.float32) ** 20
    chosen = choose(peak, limit)
    others = np.setdiff1d(np.arange(classes), chosen)
    assert peak[others].sum() <= limit
    assert list(chosen) == sorted(set(chosen))
    assert len(chosen) == classes or len(chosen) % 8 == 7


def test_damaged_machine_code_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "update.nbc"
    damaged.write_bytes(b"torn")
    monkeypatch.setattr(compiled, "cache_folder", lambda: tmp_path)

    def rehearse() -> None:
        if damaged.exists():
            raise EOFError("Ran out of input")

    (tmp_path / "exact.compiled").touch()
    compiled.prepare(rehearse, "exact", "lattice")
    assert [path.name for path in tmp_path.iterdir()] == ["exact.compiled"]
    assert capsys.readouterr().err.count("compiling") == 1


def test_only_the_first_start_of_each_mode_says_that_it_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiled, "cache_folder", lambda: tmp_path)
    told = []
    for mode in ("exact", "exact", "fast", "exact", "fast"):
        compiled.prepare(lambda: None, mode, "lattice")
        told.append(capsys.readouterr().err.count("compiling"))
    assert told == [1, 0, 1, 0, 0]


@pytest.mark.parametrize("obstacle", ["a file in the way", "no right to write"])
def test_machine_code_goes_elsewhere_if_a_folder_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    closed = tmp_path / "closed"
    if obstacle == "a file in the way":
        closed.write_text("")
    else:  # root may write anywhere, so the refusal is acted
        temporary = tempfile.TemporaryFile

        def refuse(dir: Path) -> object:
            if closed in dir.parents:
                raise PermissionError(13, "Permission denied", str(dir))
            return temporary(dir=dir)

        monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(closed))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "open"))
    folder = compiled.cache_folder.__wrapped__()
    assert folder is not None
    assert folder.parent.parent == tmp_path / "open"
