"""Padding, resizing, tiling and several scales of one image, against explicit arithmetic."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import map_coordinates

from replication.errors import ReplicationError
from replication.inference.fit import Fit, Scorer, fit_and_score
from replication.models.deeplab import DeepLab
from replication.settings import Architecture, Head

MEAN = np.array([104.008, 116.669, 122.675], np.float32)  # B, G, R


@pytest.fixture(scope="module")
def network() -> DeepLab:
    """VGG-16 at 1/32 width with a 1x1 fc6: it sees 113 pixels around a score's own."""
    torch.manual_seed(0)
    head = Head(kernel=1, rates=[1], channels=8, average_pool=False)
    return DeepLab(Architecture(backbone="vgg16", width=1 / 32, head=head), 5).eval()


@pytest.fixture(scope="module")
def scorer(network: DeepLab) -> Scorer:
    return Scorer(network, "cpu", "32-true")


def photograph(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)


def run(network: DeepLab, rgb: np.ndarray, height: int, width: int) -> torch.Tensor:
    """The scores of an image on a canvas of the mean colour, (1, C, h, w)."""
    canvas = np.broadcast_to(MEAN, (height, width, 3)).copy()
    canvas[: rgb.shape[0], : rgb.shape[1]] = rgb[:, :, ::-1]
    with torch.inference_mode():
        scores: torch.Tensor = network(torch.from_numpy((canvas - MEAN).transpose(2, 0, 1))[None])
    assert scores.std() > 0
    return scores


def at_pixels(scores: torch.Tensor) -> np.ndarray:
    size = [8 * (side - 1) + 1 for side in scores.shape[2:]]
    wide = F.interpolate(scores, size=size, mode="bilinear", align_corners=True)
    return wide[0].numpy()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("size", "shape", "canvas"),
    [
        (57, (40, 57), (57, 57)),  # the test size where it fits
        (57, (57, 58), (57, 65)),  # else the next 8 k + 1
        (57, (1, 1), (57, 57)),
        (None, (40, 58), (41, 65)),  # no test size is known
        (None, (3, 9), (9, 9)),
    ],
)
def test_pad(
    network: DeepLab,
    scorer: Scorer,
    size: int | None,
    shape: tuple[int, int],
    canvas: tuple[int, int],
) -> None:
    image = photograph(*shape)
    found = fit_and_score(scorer, image, Fit("pad", size))
    expected = run(network, image, *canvas)
    np.testing.assert_allclose(found.scores, expected[0].numpy(), atol=1e-6)
    wide = found.enlarged(shape, "image")
    np.testing.assert_allclose(
        wide, at_pixels(expected)[:, : shape[0], : shape[1]], atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("shape", [(120, 60), (31, 77), (20, 20), (57, 40), (300, 2)])
def test_resize(network: DeepLab, scorer: Scorer, shape: tuple[int, int]) -> None:
    """The longer side becomes 57; a score of the small image lies where its pixel's centre does."""
    image, factor = photograph(*shape), 57 / max(shape)
    h, w = (max(1, round(side * factor)) for side in shape)
    small = np.asarray(Image.fromarray(image).resize((w, h), Image.Resampling.BILINEAR))
    scores = at_pixels(run(network, small, 57, 57))[:, :h, :w]
    rows, columns = ((np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(shape, (h, w), strict=True))
    grid = np.meshgrid(rows, columns, indexing="ij")
    expected = [map_coordinates(one, grid, order=1, mode="nearest") for one in scores]
    found = fit_and_score(scorer, image, Fit("resize", 57))
    assert found.stride == 1
    np.testing.assert_allclose(found.enlarged(shape, "image"), expected, atol=1e-5)


def test_tiles_equal_the_padded_image_in_the_safe_zone(network: DeepLab, scorer: Scorer) -> None:
    """Tiles of 257 pixels that share 33: columns 113 pixels and more from the edges between."""
    image = photograph(60, 480)
    found = fit_and_score(scorer, image, Fit("tile", 257, 33))
    whole = run(network, image, 257, 481)[0, :, :9].numpy()
    assert found.scores.shape == whole.shape == (5, 9, 61)
    edges = np.array([224, 256])  # where the second tile begins and the first ends
    place = 8 * np.arange(61)
    safe = (place <= edges[1] - 113) & (place < edges[0]) | (place >= edges[0] + 113)
    assert 30 < safe.sum() < 61
    off = np.abs(found.scores - whole).max((0, 1))
    assert off[safe].max() < 1e-5
    assert off[~safe].max() > 1e-4


@pytest.mark.parametrize("way", ["pad", "tile"])
def test_several_scales_are_an_explicit_maximum(network: DeepLab, way: Any) -> None:
    image = photograph(129, 100)
    expected = run(network, image, 129, 129)
    canvas = np.broadcast_to(MEAN, (129, 129, 3)).copy()
    canvas[:, :100] = image[:, :, ::-1]
    tensor = torch.from_numpy((canvas - MEAN).transpose(2, 0, 1))[None]
    for side in (97, 65):  # 0.75 and 0.5 of 129, corners aligned
        smaller = F.interpolate(tensor, size=(side, side), mode="bilinear", align_corners=True)
        with torch.inference_mode():
            scores = network(smaller)
        scores = F.interpolate(scores, size=(17, 17), mode="bilinear", align_corners=True)
        expected = torch.maximum(expected, scores)
    several = Scorer(network, "cpu", "32-true")
    try:
        network.scales = [1.0, 0.75, 0.5]
        found = fit_and_score(several, image, Fit(way, 129))
    finally:
        network.scales = [1.0]
    width = found.scores.shape[2]
    np.testing.assert_allclose(found.scores, expected[0, :, :, :width].numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("fit", "said"),
    [
        (Fit("resize"), "`--fit resize` needs a size, and the checkpoint names none; give --size"),
        (Fit("tile"), "`--fit tile` needs a size"),
        (Fit("pad", 64), "`--size` is 64; align-corners at output stride 8 needs 8 k + 1: use 57"),
        (Fit("pad", 1), "use 9 or 17"),
        (Fit("tile", 57, 57), "`--tile-overlap` is 57, and tiles are 57 pixels wide"),
    ],
)
def test_what_cannot_be_done_is_one_line(fit: Fit, said: str) -> None:
    with pytest.raises(ReplicationError) as caught:
        fit.check()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    Fit("pad").check()
    Fit("tile", 57, 49).check()


def test_a_network_that_has_diverged_is_named(network: DeepLab) -> None:
    bias = network.get_parameter("classifier.branches.0.fc8.bias")
    before = bias.detach().clone()
    with torch.no_grad():
        bias[0] = float("nan")
    try:
        with pytest.raises(ReplicationError, match="has diverged"):
            fit_and_score(Scorer(network, "cpu", "32-true"), photograph(9, 9), Fit("pad", 9))
    finally:
        with torch.no_grad():
            bias.copy_(before)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 90.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_too_little_memory_is_one_line(network: DeepLab, error: RuntimeError) -> None:
    def fail(images: torch.Tensor) -> torch.Tensor:
        raise error

    scorer = Scorer(network, "cpu", "32-true")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "forward", fail)
        with pytest.raises(ReplicationError) as caught:
            fit_and_score(scorer, photograph(70, 90), Fit("pad", 57))
        assert str(caught.value) == (
            "an input of 97 x 73 pixels needs more memory than cpu has; use --fit tile, or a "
            "smaller --size"
        )
        patch.setattr(network, "forward", lambda _: (_ for _ in ()).throw(RuntimeError("shape")))
        with pytest.raises(RuntimeError, match="shape"):
            fit_and_score(scorer, photograph(70, 90), Fit("pad", 57))
