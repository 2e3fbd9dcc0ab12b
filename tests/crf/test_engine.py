"""Mean field against brute force on tiny images, pydensecrf called by hand, and laws."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import special

from replication.crf import dense, engine
from replication.crf.engine import engine_version, find_engine
from replication.crf.parameters import PRESETS, CrfParameters, Normalization
from replication.errors import ReplicationError
from replication.inference.enlarge import enlarge
from replication.inference.store import read_scores

Engine = Callable[..., np.ndarray]
ALL: tuple[Normalization, ...] = ("after", "symmetric", "before", "none")
PARAMETERS = CrfParameters(w1=2, sigma_alpha=5, sigma_beta=20, w2=1, sigma_gamma=1.5, iterations=5)

installed = pytest.mark.skipif(
    engine_version("pydensecrf") is None, reason="pydensecrf2 is not installed"
)


@pytest.fixture(params=["lattice", "pydensecrf"])
def mean_field(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn, through the interface that they share."""
    if engine_version(request.param) is None:
        pytest.skip(f"the engine {request.param} is not installed")
    return partial(engine.mean_field, engine=request.param)


def change(**changes: object) -> CrfParameters:
    return CrfParameters(**{**PARAMETERS.model_dump(), **changes})


def scene(seed: int, size: tuple[int, int] = (14, 18)) -> tuple[np.ndarray, np.ndarray]:
    """Two noisy halves of different colour, three classes: scores (3, H, W) and image."""
    rng = np.random.default_rng(seed)
    width = size[1]
    left = np.arange(width)[None, :, None] < width // 2
    image = np.where(left, [60, 80, 100], [120, 90, 70]) + rng.normal(scale=6, size=(*size, 3))
    scores = rng.normal(size=(3, *size))
    scores[0] += 0.5 * left[..., 0]
    scores[1] += 0.5 * ~left[..., 0]
    return scores.astype(np.float32), image.clip(0, 255).astype(np.uint8)


def brute_force(scores: np.ndarray, image: np.ndarray, p: CrfParameters) -> np.ndarray:
    """Equation 3 of the paper, pixel against pixel, in double precision."""
    classes, height, width = scores.shape
    place = np.stack(np.mgrid[:height, :width], -1).reshape(-1, 2).astype(float)
    colour = image.reshape(-1, 3).astype(float)
    far = ((place[:, None] - place[None]) ** 2).sum(-1)  # (N, N)
    odd = ((colour[:, None] - colour[None]) ** 2).sum(-1)
    kernels = [
        (p.w1, np.exp(-far / (2 * p.sigma_alpha**2) - odd / (2 * p.sigma_beta**2))),
        (p.w2, np.exp(-far / (2 * p.sigma_gamma**2))),
    ]
    log_p = special.log_softmax(scores.reshape(classes, -1).astype(float), axis=0)
    belief = np.exp(log_p)
    for _ in range(p.iterations):
        message = log_p.copy()
        for weight, kernel in kernels:
            ones = kernel.sum(0)
            if p.normalization == "after":
                message += weight * (belief @ kernel) / ones
            elif p.normalization == "before":
                message += weight * (belief / ones) @ kernel
            else:
                message += weight * ((belief / np.sqrt(ones)) @ kernel) / np.sqrt(ones)
        belief = special.softmax(message, axis=0)
    return belief.reshape(scores.shape)


@pytest.mark.parametrize("normalization", ["after", "symmetric", "before"])
@pytest.mark.parametrize("seed", range(3))
def test_stays_near_brute_force(
    mean_field: Engine, normalization: Normalization, seed: int
) -> None:
    scores, image = scene(seed)
    p = change(normalization=normalization)
    truth = brute_force(scores, image, p)
    error = np.abs(mean_field(scores, image, p) - truth).mean()
    assert error < 0.007  # the lattice is an approximation of the Gaussians
    # Any two arguments put in each other's place are much further off.
    for wrong in ({"sigma_alpha": 20.0, "sigma_beta": 5.0}, {"w1": 1, "w2": 2}):
        swapped = CrfParameters(**{**p.model_dump(), **wrong})
        assert np.abs(mean_field(scores, image, swapped) - truth).mean() > 2 * error


@installed
@pytest.mark.parametrize("normalization", ALL)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (13, 7)])
def test_equals_pydensecrf_called_by_hand(
    mean_field: Engine, normalization: Normalization, size: tuple[int, int]
) -> None:
    from pydensecrf import densecrf, utils

    scores, image = scene(1, size)
    p = change(normalization=normalization)
    crf = densecrf.DenseCRF2D(size[1], size[0], 3)
    crf.setUnaryEnergy(utils.unary_from_softmax(special.softmax(scores, axis=0), clip=None))
    flag = {
        "after": densecrf.NORMALIZE_AFTER,
        "symmetric": densecrf.NORMALIZE_SYMMETRIC,
        "before": densecrf.NORMALIZE_BEFORE,
        "none": densecrf.NO_NORMALIZATION,
    }[normalization]
    kernel = densecrf.DIAG_KERNEL
    crf.addPairwiseGaussian(1.5, 1, kernel, flag)
    crf.addPairwiseBilateral(5, 20, image, 2, kernel, flag)
    by_hand = np.array(crf.inference(5)).reshape(3, *size)
    belief = mean_field(scores, image, p)
    np.testing.assert_allclose(belief, by_hand, atol=2e-4)
    # 1-pixel images leave no neighbour but the pixel itself; ties may fall either way.
    clear = np.ptp(np.sort(by_hand, axis=0)[-2:], axis=0) > 1e-3
    np.testing.assert_array_equal(belief.argmax(0)[clear], by_hand.argmax(0)[clear])


@pytest.mark.parametrize("normalization", ALL)
@pytest.mark.parametrize("classes", [2, 21, 256])
def test_beliefs_are_probabilities(
    mean_field: Engine, normalization: Normalization, classes: int
) -> None:
    scores = np.random.default_rng(0).normal(scale=5, size=(classes, 9, 11)).astype(np.float16)
    image = np.random.default_rng(1).integers(0, 256, (9, 11, 3)).astype(np.uint8)
    belief = mean_field(scores, image, change(normalization=normalization))
    assert belief.dtype == np.float32
    assert belief.shape == scores.shape
    np.testing.assert_allclose(belief.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("changes", [{"w1": 0, "w2": 0}, {"iterations": 0}])
def test_without_a_message_the_softmax_comes_out(
    mean_field: Engine, changes: dict[str, object]
) -> None:
    scores, image = scene(0)
    expected = special.softmax(scores.astype(float), axis=0)
    np.testing.assert_allclose(mean_field(scores, image, change(**changes)), expected, atol=1e-6)


def test_a_weight_of_zero_switches_its_kernel_off(mean_field: Engine) -> None:
    scores, image = scene(0)
    dark = np.zeros_like(image)
    spatial = change(w1=0)
    np.testing.assert_array_equal(
        mean_field(scores, image, spatial), mean_field(scores, dark, spatial)
    )
    wide, narrow = change(w2=0, sigma_gamma=9), change(w2=0, sigma_gamma=1)
    np.testing.assert_array_equal(
        mean_field(scores, image, wide), mean_field(scores, image, narrow)
    )


def test_renaming_the_classes_permutes_the_beliefs(mean_field: Engine) -> None:
    scores, image = scene(2)
    order = [2, 0, 1]
    belief = mean_field(scores, image, PARAMETERS)
    renamed = mean_field(scores[order], image, PARAMETERS)
    np.testing.assert_allclose(renamed, belief[order], atol=1e-6)


def test_shifting_all_scores_of_a_pixel_changes_nothing(mean_field: Engine) -> None:
    scores, image = scene(2)
    shift = np.random.default_rng(0).integers(-8, 9, scores.shape[1:])
    shifted = mean_field((scores + shift).astype(np.float32), image, PARAMETERS)
    np.testing.assert_allclose(shifted, mean_field(scores, image, PARAMETERS), atol=1e-4)


def test_on_a_constant_image_equal_scores_stay_equal(mean_field: Engine) -> None:
    scores = np.broadcast_to(np.array([1, 0, -1], np.float32)[:, None, None], (3, 12, 12))
    grey = np.full((12, 12, 3), 127, np.uint8)
    belief = mean_field(scores, grey, PARAMETERS)
    # Normalised after filtering, the message is the common belief itself: a scalar recursion.
    q = log_p = special.log_softmax(np.array([1.0, 0.0, -1.0]))
    q = np.exp(q)
    for _ in range(PARAMETERS.iterations):
        q = special.softmax(log_p + (PARAMETERS.w1 + PARAMETERS.w2) * q)
    np.testing.assert_allclose(belief, np.broadcast_to(q[:, None, None], belief.shape), atol=1e-5)


def test_huge_weights_and_scores_do_not_overflow(mean_field: Engine) -> None:
    scores, image = scene(0)
    huge = change(w1=1000, w2=1000, normalization="none")
    assert np.isfinite(mean_field(scores * 1e4, image, huge)).all()


def test_probabilities_may_be_given_and_arrays_are_left_alone(mean_field: Engine) -> None:
    scores, image = scene(0)
    p = special.softmax(scores, axis=0)
    for array in (scores, image, p):
        array.setflags(write=False)
    expected = mean_field(scores, image, PARAMETERS)
    turned = np.asfortranarray(scores), image[:, ::-1][:, ::-1]
    np.testing.assert_array_equal(mean_field(*turned, PARAMETERS), expected)
    belief = mean_field(p, image, PARAMETERS, probabilities=True)
    np.testing.assert_allclose(belief, expected, atol=1e-5)


@installed
def test_widths_too_small_for_the_lattice_are_named() -> None:
    scores = np.zeros((2, 1, 4000), np.float32)
    image = np.zeros((1, 4000, 3), np.uint8)
    with pytest.raises(ReplicationError, match=r"`sigma_gamma` 0\.1 is too small"):
        dense.mean_field(scores, image, change(sigma_gamma=0.1))
    with pytest.raises(ReplicationError, match=r"`sigma_alpha` 0\.1 or `sigma_beta`"):
        dense.mean_field(scores, image, change(sigma_alpha=0.1))


@pytest.mark.parametrize(
    ("scores", "image", "words"),
    [
        (np.zeros((3, 4, 5)), np.zeros((4, 6, 3), np.uint8), "4x5 pixels, and `image` has 4x6"),
        (np.zeros((1, 4, 5)), np.zeros((4, 5, 3), np.uint8), "1 classes"),
        (np.zeros((257, 4, 5)), np.zeros((4, 5, 3), np.uint8), "257 classes"),
        (np.full((3, 4, 5), np.inf), np.zeros((4, 5, 3), np.uint8), "NaN or infinite"),
    ],
)
def test_bad_input_is_named(
    mean_field: Engine, scores: np.ndarray, image: np.ndarray, words: str
) -> None:
    with pytest.raises(ReplicationError, match=words):
        mean_field(scores, image, PARAMETERS)


def test_wrong_types_are_our_fault(mean_field: Engine) -> None:
    scores, image = scene(0)
    with pytest.raises((ValueError, TypeError), match="scores"):
        mean_field(scores.astype(int), image, PARAMETERS)
    with pytest.raises((ValueError, TypeError), match="image"):
        mean_field(scores, image.astype(np.float32), PARAMETERS)


def test_unknown_engines_are_named() -> None:
    with pytest.raises(ReplicationError, match="'latice'; use one of: lattice, pydensecrf"):
        find_engine("latice")


def test_a_missing_pydensecrf_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    scores, image = scene(0)
    with pytest.raises(ReplicationError, match=r"pip install pydensecrf2") as caught:
        engine.mean_field(scores, image, PARAMETERS, "pydensecrf")
    assert "\n" not in str(caught.value)


@installed
@pytest.mark.parametrize("image_id", ["007", "042"])
def test_real_scores_equal_pydensecrf_by_hand(
    mean_field: Engine, shared: Path, image_id: str
) -> None:
    from pydensecrf import densecrf

    root = shared / "data" / "voc100"
    image = np.array(Image.open(root / "JPEGImages" / f"{image_id}.jpg").convert("RGB"))
    height, width = image.shape[:2]
    small = read_scores(root / "scores" / f"{image_id}.npz", 21)
    scores = enlarge(small, 16, (height, width))
    p = CrfParameters(**{**PRESETS["resnet_ports"].parameters.model_dump(), "iterations": 3})
    crf = densecrf.DenseCRF2D(width, height, 21)
    unary = -special.log_softmax(scores.astype(float), axis=0).reshape(21, -1)
    crf.setUnaryEnergy(unary.astype(np.float32))
    after = {"normalization": densecrf.NORMALIZE_AFTER}
    crf.addPairwiseGaussian(sxy=1, compat=3, **after)
    crf.addPairwiseBilateral(sxy=67, srgb=3, rgbim=image, compat=4, **after)
    by_hand = np.array(crf.inference(3)).reshape(scores.shape)
    belief = mean_field(scores, image, p)
    assert np.abs(belief - by_hand).max() < 1e-4
    assert (belief.argmax(0) == by_hand.argmax(0)).mean() >= 0.99999


def test_the_lattice_bound_holds_on_pydensecrfs_own_positions() -> None:
    # Elevation as in Adams et al. 2010, over random features inside the extents.
    rng = np.random.default_rng(0)
    extents = [900.0, 700.0, 2550.0, 2550.0, 2550.0]
    features = rng.uniform(0, 1, (1000, 5)).round() * extents
    d = 5
    scaled = features * np.sqrt(2 / 3) * (d + 1) / np.sqrt([(i + 1) * (i + 2) for i in range(d)])
    elevated = np.zeros((1000, d + 1))
    total = np.zeros(1000)
    for j in range(d, 0, -1):
        elevated[:, j] = total - j * scaled[:, j - 1]
        total += scaled[:, j - 1]
    elevated[:, 0] = total
    largest = np.abs(elevated).max()
    dense._check_lattice(extents, "`x`")
    grown = [x * 32_767 / largest for x in extents]
    with pytest.raises(ReplicationError):
        dense._check_lattice(grown, "`x`")
