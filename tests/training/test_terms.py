"""The loss at several scales: sizes and labels of its terms, updates against hand arithmetic."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from replication.models.multi_scale import at_scale
from replication.settings import MultiScale, Recipe
from replication.training.module import Segmentation
from replication.training.terms import divisors, nearest_labels, term_labels, term_scores

AUTHORS, PORTS = MultiScale(), MultiScale(wiring="ports")
RECIPE = Recipe(policy="poly", batch_size=2, iterations=10, base_lr=0.01)


def made_up_labels(batch: int = 1, size: int = 321) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 21, (batch, size, size), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.1] = 255
    return labels.to(torch.uint8)


def test_the_authors_labels_are_subsampled_by_8_and_16() -> None:
    labels = made_up_labels()
    fused, full, three_quarters, half = term_labels(labels, AUTHORS)
    for term in (fused, full, three_quarters):  # the 0.75 branch has the labels of the first
        assert torch.equal(term, labels[:, ::8, ::8])
        assert term.shape == (1, 41, 41)
    assert torch.equal(half, labels[:, ::16, ::16])
    assert half.shape == (1, 21, 21)


def test_the_ports_shrink_the_labels_of_each_branch() -> None:
    labels = made_up_labels()
    fused, full, three_quarters, half = term_labels(labels, PORTS)
    assert torch.equal(fused, labels[:, ::8, ::8])
    assert torch.equal(full, fused)
    assert torch.equal(half, labels[:, ::16, ::16])
    assert three_quarters.shape == (1, 31, 31)
    for row in range(31):
        for column in range(31):  # 320 / 30 pixels from one position to the next
            y, x = (math.floor(320 * place / 30 + 0.5) for place in (row, column))
            assert three_quarters[0, row, column] == labels[0, y, x]


def test_nearest_labels_keep_corners_and_class_numbers() -> None:
    labels = made_up_labels(2, 33)
    shrunk = nearest_labels(labels, (9, 17))
    assert torch.equal(shrunk, labels[:, ::4, ::2])


@pytest.mark.parametrize(("multi_scale", "sides"), [(AUTHORS, (5, 5, 5, 3)), (PORTS, (5, 5, 4, 3))])
def test_scores_of_the_terms(multi_scale: MultiScale, sides: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    one, three_quarters, half = (torch.randn(2, 3, side, side) for side in (5, 4, 3))
    terms = term_scores([one, three_quarters, half], multi_scale)
    assert tuple(term.shape[-1] for term in terms) == sides
    enlarged = [
        nn.functional.interpolate(b, (5, 5), mode="bilinear", align_corners=True)
        for b in (three_quarters, half)
    ]
    torch.testing.assert_close(terms[0], torch.stack([one, *enlarged]).amax(0))
    assert terms[1] is one
    torch.testing.assert_close(terms[2], enlarged[0] if multi_scale is AUTHORS else three_quarters)
    assert terms[3] is half


def test_what_a_loss_is_divided_by() -> None:
    labels = torch.full((3, 2, 2), 255, dtype=torch.uint8)
    labels[0, 0], labels[1] = 1, 2  # 2, 4 and 0 valid positions
    assert divisors(labels, 255, "batch").tolist() == [6, 6, 6]
    assert divisors(labels, 255, "image").tolist() == [6, 12, 3]
    assert divisors(labels[2:], 255, "batch").tolist() == [1]
    assert divisors(labels[:1], 255, "batch") == divisors(labels[:1], 255, "image")


class Tiny(nn.Module):
    """A 1x1 classifier on every eighth pixel of each scale: small enough to work out by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.fc8 = nn.Conv2d(3, 2, 1, stride=8)

    def branches(self, images: Tensor) -> list[Tensor]:
        return [self.fc8(at_scale(images, scale)) for scale in (1.0, 0.75, 0.5)]


def resize_matrix(known: int, wanted: int) -> np.ndarray:
    """Bilinear, corners aligned, along one axis: (wanted, known)."""
    places = np.arange(wanted) * (known - 1) / (wanted - 1)
    return np.stack([np.interp(places, np.arange(known), one) for one in np.eye(known)], axis=1)


def resized(maps: np.ndarray, size: int) -> np.ndarray:
    matrix = resize_matrix(maps.shape[-1], size)
    return np.einsum("yi,...ij,xj->...yx", matrix, maps, matrix)


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
    """Return the summed loss of one image (K, h, w) and its valid positions."""
    total, valid = 0.0, 0
    for y, x in np.ndindex(labels.shape):
        if labels[y, x] != 255:
            at = scores[:, y, x]
            total += math.log(np.exp(at).sum()) - at[labels[y, x]]
            valid += 1
    return total, valid


def by_hand(
    data: tuple[np.ndarray, np.ndarray],
    w: np.ndarray,
    b: np.ndarray,
    *,
    wiring: str,
    average: str,
) -> float:
    """The four terms in numpy, float64, crops of 33: scores of 5, 4 and 3 positions a side."""
    terms: list[list[tuple[float, int]]] = [[], [], [], []]
    for image, label in zip(*data, strict=True):
        scores = [
            np.einsum("kc,cyx->kyx", w, resized(image, side)[:, ::8, ::8]) + b[:, None, None]
            for side in (33, 25, 17)
        ]
        enlarged = [resized(one, 5) for one in scores]
        by_8, by_16 = label[::8, ::8], label[::16, ::16]
        if wiring == "authors":
            third = enlarged[1], by_8
        else:
            places = [0, 11, 21, 32]  # thirds of 32, rounded
            third = scores[1], label[np.ix_(places, places)]
        pairs = [(np.max(enlarged, 0), by_8), (scores[0], by_8), third, (scores[2], by_16)]
        for term, (some_scores, some_labels) in zip(terms, pairs, strict=True):
            term.append(cross_entropy(some_scores, some_labels))
    if average == "batch":
        return sum(sum(t for t, _ in term) / sum(n for _, n in term) for term in terms)
    return sum(sum(t / n for t, n in term) / len(term) for term in terms)


@pytest.mark.parametrize("micro", [1, 2])
@pytest.mark.parametrize("average", ["batch", "image"])
@pytest.mark.parametrize("wiring", ["authors", "ports"])
def test_loss_and_update_equal_hand_arithmetic(
    train: Callable[..., list[float]], wiring: str, average: str, micro: int
) -> None:
    torch.manual_seed(0)
    model = Tiny().double()
    images = torch.randn(2, 3, 33, 33, dtype=torch.float64)
    labels = torch.randint(0, 2, (2, 33, 33), dtype=torch.uint8)
    labels[0, :20] = 255  # images differ in their number of valid positions
    w, b = (p.detach().numpy().copy() for p in (model.fc8.weight[:, :, 0, 0], model.fc8.bias))
    data = (images.numpy(), labels.numpy())

    def hand(w: np.ndarray, b: np.ndarray) -> float:
        return by_hand(data, w, b, wiring=wiring, average=average)

    loss = hand(w, b)

    multi_scale = MultiScale(wiring=wiring)  # type: ignore[arg-type]
    recipe = RECIPE.model_copy(update={"average": average, "weight_decay": 0.0})
    module = Segmentation(model, recipe, micro, 0, multi_scale=multi_scale)
    (found,) = train(module, [(images, labels)])
    assert found == pytest.approx(loss, rel=1e-6)
    # the gradient by differences of the hand-made loss, at 10 and 20 times the rate
    step = 1e-5
    for weights, moved, rate in (
        (w, model.fc8.weight.detach().numpy()[:, :, 0, 0] - w, 0.1),
        (b, model.fc8.bias.detach().numpy() - b, 0.2),
    ):
        for index in np.ndindex(weights.shape):
            losses = []
            for change in (step, -step):
                weights[index] += change
                losses.append(hand(w, b))
                weights[index] -= change
            slope = (losses[0] - losses[1]) / (2 * step)
            assert moved[index] == pytest.approx(-rate * slope, rel=1e-4, abs=1e-7)
