"""The engine `lattice` against pydensecrf and against brute force, and the laws of mean field."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from scipy import special

from replication import kernels
from replication.crf import dense, lattice
from replication.crf.engine import engine_version, mean_field
from replication.crf.parameters import PRESETS, CrfParameters, Normalization
from replication.crf.unary import unary_from_scores
from replication.errors import ReplicationError
from replication.inference.enlarge import enlarge
from replication.inference.store import read_scores

ALL: tuple[Normalization, ...] = ("after", "symmetric", "before", "none")
PAPER = CrfParameters(w1=4, sigma_alpha=67, sigma_beta=3, w2=3, sigma_gamma=3)
NARROW = CrfParameters(w1=2, sigma_alpha=5, sigma_beta=20, w2=1, sigma_gamma=1.5, iterations=5)

pytestmark = pytest.mark.skipif(
    engine_version("lattice") is None, reason="numba is not installed: no engine `lattice`"
)
installed = pytest.mark.skipif(
    engine_version("pydensecrf") is None, reason="pydensecrf2 is not installed"
)


def change(p: CrfParameters, **changes: object) -> CrfParameters:
    return CrfParameters(**{**p.model_dump(), **changes})


def random_scene(
    size: tuple[int, int], classes: int, seed: int = 0, scale: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """Random energies (C, H, W) over random colours, with something to smooth."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    image[: size[0] // 2] = image[: size[0] // 2] // 16 + 100
    return (rng.normal(size=(classes, *size)) * scale).astype(np.float32), image


def real_scene(root: Path, image_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Energies (21, H, W) of a real network, and the photograph."""
    folder = root / "data" / "voc100"
    with Picture.open(folder / "JPEGImages" / f"{image_id}.jpg") as picture:
        image = np.array(picture.convert("RGB"))
    small = read_scores(folder / "scores" / f"{image_id}.npz", 21)
    return unary_from_scores(enlarge(small, 16, image.shape[:2])), image


def assert_equal(belief: np.ndarray, expected: np.ndarray) -> None:
    """The largest difference stays below 1e-4; exact ties may fall either way."""
    assert np.abs(belief - expected).max() < 1e-4
    two = np.sort(expected, axis=0)[-2:]
    changed = (belief.argmax(0) != expected.argmax(0)) & (two[1] - two[0] > 1e-5)
    assert changed.mean() <= 1e-5


@installed
@pytest.mark.parametrize("normalization", ALL)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (13, 7), (33, 64), (1, 300)])
@pytest.mark.parametrize("classes", [2, 8, 21])
def test_equals_pydensecrf_on_random_scores(
    normalization: Normalization, size: tuple[int, int], classes: int
) -> None:
    unary, image = random_scene(size, classes)
    p = change(PAPER, normalization=normalization)
    assert_equal(lattice.mean_field(unary, image, p), dense.mean_field(unary, image, p))


@installed
@pytest.mark.parametrize("normalization", ALL)
def test_equals_pydensecrf_with_256_labels(normalization: Normalization) -> None:
    unary, image = random_scene((19, 23), 256)
    p = change(PAPER, normalization=normalization)
    assert_equal(lattice.mean_field(unary, image, p), dense.mean_field(unary, image, p))


@installed
@pytest.mark.parametrize("iterations", [0, 1, 2, 3])
@pytest.mark.parametrize("weights", [(4, 3), (0, 3), (4, 0), (0, 0)])
def test_equals_pydensecrf_with_few_updates_and_single_kernels(
    iterations: int, weights: tuple[int, int]
) -> None:
    unary, image = random_scene((20, 31), 21, scale=4)
    p = change(PAPER, iterations=iterations, w1=weights[0], w2=weights[1])
    assert_equal(lattice.mean_field(unary, image, p), dense.mean_field(unary, image, p))


@installed
@pytest.mark.parametrize("kind", ["grey", "black", "white", "two colours"])
@pytest.mark.parametrize("normalization", ALL)
def test_equals_pydensecrf_on_plain_images(kind: str, normalization: Normalization) -> None:
    unary, image = random_scene((24, 37), 5, seed=3)
    image[:] = {"black": 0, "white": 255}.get(kind, 127)
    if kind == "two colours":
        image[:, 18:] = (200, 30, 90)
    if kind == "grey":
        image += (
            np.random.default_rng(0).integers(0, 99, image.shape[:2]).astype(np.uint8)[..., None]
        )
    p = change(PAPER, normalization=normalization)
    assert_equal(lattice.mean_field(unary, image, p), dense.mean_field(unary, image, p))


@installed
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    classes=st.integers(2, 40),
    w1=st.floats(0.1, 20),
    sigma_alpha=st.floats(1, 200),
    sigma_beta=st.floats(1, 50),
    sigma_gamma=st.floats(0.5, 20),
)
@example(
    seed=313,
    height=15,
    width=15,
    classes=31,
    w1=16.0,
    sigma_alpha=1.0,
    sigma_beta=1.0,
    sigma_gamma=13.0,
)  # the last binary digit of the scores moves pydensecrf's own Q by 4.3e-4 here
def test_equals_pydensecrf_at_any_parameters(
    seed: int, height: int, width: int, classes: int, **parameters: float
) -> None:
    unary, image = random_scene((height, width), classes, seed)
    p = CrfParameters(**parameters, w2=3, iterations=4)
    assert_equal(lattice.mean_field(unary, image, p), dense.mean_field(unary, image, p))


@installed
@pytest.mark.parametrize("image_id", ["000", "024", "043"])  # 024: many labels that matter
@pytest.mark.parametrize("normalization", ALL)
def test_equals_pydensecrf_on_real_scores(
    shared: Path, image_id: str, normalization: Normalization
) -> None:
    unary, image = real_scene(shared, image_id)
    unary, image = unary[:, 40:300:1, 60:321], np.ascontiguousarray(image[40:300, 60:321])
    p = change(PRESETS["resnet_ports"].parameters, normalization=normalization)
    assert_equal(
        lattice.mean_field(np.ascontiguousarray(unary), image, p),
        dense.mean_field(unary, image, p),
    )


@installed
@pytest.mark.parametrize("classes", [2, 3, 4, 7, 13, 21, 64])
@pytest.mark.parametrize("normalization", ALL)
def test_strong_messages_are_rounded_as_pydensecrf_rounds_them(
    normalization: Normalization, classes: int
) -> None:
    """In no other order of operations do both agree: the last binary digit moves Q by 1e-3."""
    unary, image = random_scene((64, 96), classes, seed=classes)
    p = change(PAPER, w1=40, normalization=normalization)
    expected = dense.mean_field(unary, image, p)
    assert np.abs(lattice.mean_field(unary, image, p) - expected).max() < 1e-6


def test_many_settings_give_what_each_gives_alone(shared: Path) -> None:
    unary, image = real_scene(shared, "060")
    unary, image = np.ascontiguousarray(unary[:, :200, :200]), image[:200, :200]
    grid = [
        change(PAPER, w1=w1, sigma_alpha=alpha, w2=w2, iterations=iterations)
        for alpha in (40.0, 80.0)
        for w1 in (0.0, 3.0, 4.0, 6.0)
        for w2, iterations in ((3.0, 5), (1.0, 5), (3.0, 1), (0.0, 0))
    ]
    many = list(lattice.mean_field_many(unary, image, grid, beliefs=True))
    assert sorted(map(str, (r.parameters for r in many))) == sorted(map(str, grid))
    for refined in many:
        alone = lattice.mean_field(unary, image, refined.parameters)
        np.testing.assert_allclose(refined.beliefs, alone, atol=1e-5)
        np.testing.assert_array_equal(refined.labels, refined.beliefs.argmax(0))


@pytest.mark.parametrize("image_id", ["008", "016", "024", "072"])
def test_fast_changes_less_than_one_label_in_10_000(shared: Path, image_id: str) -> None:
    unary, image = real_scene(shared, image_id)
    grid = [change(PAPER, w1=w1, sigma_alpha=50.0) for w1 in (3.0, 6.0)]
    exact = lattice.mean_field_many(unary, image, grid)
    fast = lattice.mean_field_many(unary, image, grid, "fast")
    for a, b in zip(exact, fast, strict=True):
        assert a.parameters == b.parameters
        assert b.beliefs is None
        assert (a.labels != b.labels).mean() < 1e-4


@pytest.mark.parametrize("classes", [2, 7, 21, 40])
def test_fast_takes_random_scores(classes: int) -> None:
    unary, image = random_scene((50, 60), classes, scale=6)
    for p in (NARROW, change(NARROW, w1=0), change(NARROW, w2=0), change(NARROW, iterations=2)):
        (exact,) = lattice.mean_field_many(unary, image, [p])
        (fast,) = lattice.mean_field_many(unary, image, [p], "fast")
        assert (exact.labels != fast.labels).mean() <= 1e-3


def test_fast_has_no_beliefs() -> None:
    unary, image = random_scene((4, 5), 2)
    with pytest.raises(ValueError, match="beliefs"):
        list(lattice.mean_field_many(unary, image, [PAPER], "fast", beliefs=True))


def test_calls_may_interleave() -> None:
    first, second = random_scene((12, 30), 3, seed=1), random_scene((31, 9), 4, seed=2)
    grid = [change(NARROW, w1=w1) for w1 in (1.0, 2.0, 3.0, 4.0, 5.0)]
    apart = [[r.labels for r in lattice.mean_field_many(*x, grid)] for x in (first, second)]
    both = (lattice.mean_field_many(*first, grid), lattice.mean_field_many(*second, grid))
    mixed = list(zip(*both, strict=True))
    for number, labels in enumerate(apart):
        for refined, expected in zip([pair[number] for pair in mixed], labels, strict=True):
            np.testing.assert_array_equal(refined.labels, expected)


def brute_force(unary: np.ndarray, image: np.ndarray, p: CrfParameters) -> np.ndarray:
    """Equation 3 of the paper, pixel against pixel, in double precision; normalised after."""
    classes, height, width = unary.shape
    place = np.stack(np.mgrid[:height, :width], -1).reshape(-1, 2).astype(float)
    colour = image.reshape(-1, 3).astype(float)
    far = ((place[:, None] - place[None]) ** 2).sum(-1)
    odd = ((colour[:, None] - colour[None]) ** 2).sum(-1)
    alike = np.exp(-far / (2 * p.sigma_alpha**2) - odd / (2 * p.sigma_beta**2))
    near = np.exp(-far / (2 * p.sigma_gamma**2))
    energy = unary.reshape(classes, -1).astype(float)
    belief = special.softmax(-energy, axis=0)
    for _ in range(p.iterations):
        message = p.w1 * (belief @ alike) / alike.sum(0) + p.w2 * (belief @ near) / near.sum(0)
        belief = special.softmax(message - energy, axis=0)
    return belief.reshape(unary.shape)


def test_both_engines_are_equally_far_from_the_true_model(shared: Path) -> None:
    """Real photographs and scores at a quarter of their size: small enough for brute force."""
    errors: dict[str, list[float]] = {"lattice": [], "pydensecrf": []}
    flips: dict[str, list[float]] = {"lattice": [], "pydensecrf": []}
    p = change(PAPER, sigma_alpha=67 / 8, sigma_gamma=1.0)
    engines = ["lattice"] + (["pydensecrf"] if engine_version("pydensecrf") else [])
    for image_id in ("000", "040"):
        unary, image = real_scene(shared, image_id)
        unary, image = np.ascontiguousarray(unary[:, ::8, ::8]), image[::8, ::8].copy()
        truth = brute_force(unary, image, p)
        for name in engines:
            belief = mean_field(-unary, image, p, name)
            errors[name].append(float(np.abs(belief - truth).max(0).mean()))
            flips[name].append(float((belief.argmax(0) != truth.argmax(0)).mean()))
    print({name: (np.mean(errors[name]), np.mean(flips[name])) for name in engines})
    assert 0 < np.mean(errors["lattice"]) < 0.05
    assert np.mean(flips["lattice"]) < 0.02
    if "pydensecrf" in engines:
        assert errors["lattice"] == pytest.approx(errors["pydensecrf"], abs=1e-5)


@pytest.mark.parametrize("normalization", ALL)
@pytest.mark.parametrize("classes", [2, 9, 256])
def test_beliefs_sum_to_one(normalization: Normalization, classes: int) -> None:
    unary, image = random_scene((11, 17), classes)
    belief = lattice.mean_field(unary, image, change(PAPER, normalization=normalization))
    np.testing.assert_allclose(belief.sum(0), 1, atol=2e-6)
    assert belief.min() >= 0


def test_permuting_labels_permutes_beliefs() -> None:
    unary, image = random_scene((25, 30), 21, scale=5)
    order = np.random.default_rng(1).permutation(21)
    belief = lattice.mean_field(unary, image, PAPER)
    turned = lattice.mean_field(np.ascontiguousarray(unary[order]), image, PAPER)
    np.testing.assert_allclose(turned, belief[order], atol=2e-5)


@pytest.mark.parametrize("weight", [1000.0, 60.0])
@pytest.mark.parametrize("normalization", ALL)
def test_huge_weights_do_not_overflow(weight: float, normalization: Normalization) -> None:
    unary, image = random_scene((20, 20), 12, scale=1000)
    p = change(NARROW, w1=weight, w2=weight, normalization=normalization)
    with np.errstate(all="raise"):
        belief = lattice.mean_field(unary, image, p)
    np.testing.assert_allclose(belief.sum(0), 1, atol=1e-5)


def test_a_missing_numba_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    places = ("replication.crf.lattice.", "replication.kernels.")
    for name in [name for name in sys.modules if name.startswith(places)]:
        if not name.endswith(".result"):
            monkeypatch.delitem(sys.modules, name)
    for package, name in ((lattice, "meanfield"), (kernels, "compiled")):
        monkeypatch.delattr(package, name, raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    unary, image = random_scene((4, 5), 2)
    with pytest.raises(ReplicationError, match="pip install numba") as caught:
        lattice.mean_field(unary, image, PAPER)
    assert "\n" not in str(caught.value)


def test_importing_the_package_imports_no_numba() -> None:
    code = "import sys, replication.crf.engine; print('numba' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "False"
