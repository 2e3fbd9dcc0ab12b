"""Updates against hand arithmetic; micro-batches, dropout and seeds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from replication.errors import ReplicationError
from replication.settings import Recipe
from replication.training.module import Segmentation

Batch = tuple[Tensor, Tensor]
Fit = Callable[..., list[float]]
POLY = Recipe(policy="poly", batch_size=2, iterations=4, base_lr=0.01)


class Tiny(nn.Module):
    """A 1x1 body and a 1x1 last layer on every second pixel: small enough to work out by hand."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 2, 1, stride=2)
        self.drop = nn.Dropout(dropout)
        self.fc8 = nn.Conv2d(2, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc8(self.drop(self.body(images)))
        return scores


def tiny(dropout: float = 0.0) -> Tiny:
    torch.manual_seed(0)
    return Tiny(dropout)


def batches(count: int, size: int = 2) -> list[Batch]:
    torch.manual_seed(1)
    out = []
    for _ in range(count):
        labels = torch.randint(0, 3, (size, 5, 5), dtype=torch.uint8)
        labels[0, 0, :3] = 255  # images differ in their number of valid positions
        out.append((torch.randn(size, 3, 5, 5), labels))
    return out


@pytest.fixture
def fit(train: Callable[..., list[float]]) -> Fit:
    """A function that trains a model on the batches and returns each update's loss."""

    def function(
        model: nn.Module, data: list[Batch], recipe: Recipe = POLY, **options: Any
    ) -> list[float]:
        options = {"micro_batch": 2, "seed": 0, "stride": 2, **options}
        return train(Segmentation(model, recipe, **options), data)

    return function


def by_hand(model: Tiny, data: list[Batch], recipe: Recipe) -> tuple[dict[str, Any], list[float]]:
    """SGD as Caffe does it, in numpy float64: the gradient of the two 1x1 layers written out.

    v <- momentum v + lr_mult lr (gradient + decay_mult decay w);  w <- w - v. Caffe has the rate
    inside v, so that v remembers the rates of the past; torch has it outside: w <- w - lr v.
    Here it is torch's: the two part where the rate falls, see the last test.
    """
    w = {n: p.detach().double().numpy().copy() for n, p in model.named_parameters()}
    w = {n: v.reshape(v.shape[:2]) if v.ndim == 4 else v for n, v in w.items()}
    multipliers = {"body.weight": 1, "body.bias": 2, "fc8.weight": 10, "fc8.bias": 20}
    velocity = {n: np.zeros_like(v) for n, v in w.items()}
    losses = []
    for update, (images, labels) in enumerate(data):
        x = images[:, :, ::2, ::2].double().numpy().transpose(0, 2, 3, 1).reshape(-1, 3)
        y = labels[:, ::2, ::2].numpy().reshape(-1)
        x, y = x[y != 255], y[y != 255].astype(int)
        hidden = x @ w["body.weight"].T + w["body.bias"]
        scores = hidden @ w["fc8.weight"].T + w["fc8.bias"]
        p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        losses.append(float(-np.log(p[np.arange(len(y)), y]).mean()))
        d = (p - np.eye(3)[y]) / len(y)
        back = d @ w["fc8.weight"]
        gradient = {
            "fc8.weight": d.T @ hidden,
            "fc8.bias": d.sum(0),
            "body.weight": back.T @ x,
            "body.bias": back.sum(0),
        }
        rate = recipe.base_lr * (1 - update / recipe.iterations) ** recipe.power
        for name in w:
            decay = recipe.weight_decay if name.endswith("weight") else 0.0
            velocity[name] = recipe.momentum * velocity[name] + gradient[name] + decay * w[name]
            w[name] = w[name] - multipliers[name] * rate * velocity[name]
    return w, losses


@pytest.mark.parametrize("updates", [1, 2, 4])
def test_updates_equal_hand_arithmetic(fit: Fit, updates: int) -> None:
    """Momentum (from the second update on), decay on weights alone, multipliers 1, 2, 10, 20."""
    recipe = POLY.model_copy(update={"weight_decay": 0.5})  # large, so that it shows
    data = batches(updates)
    expected, losses = by_hand(tiny(), data, recipe)
    model = tiny()
    found = fit(model, data, recipe)
    assert found == pytest.approx(losses, rel=1e-5)
    for name, parameter in model.named_parameters():
        value = parameter.detach().double().numpy().reshape(expected[name].shape)
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-7, err_msg=name)
        assert not np.array_equal(value, dict(tiny().named_parameters())[name].detach().numpy())


def test_decay_moves_weights_and_not_biases(fit: Fit) -> None:
    """On void alone the gradient is zero: only the decay is left."""
    images, labels = batches(1)[0]
    model = tiny()
    (loss,) = fit(model, [(images, torch.full_like(labels, 255))])
    assert loss == 0
    for (name, after), before in zip(model.named_parameters(), tiny().parameters(), strict=True):
        factor = {"body.weight": 1 - 0.01 * 5e-4, "fc8.weight": 1 - 0.1 * 5e-4}.get(name, 1)
        torch.testing.assert_close(after, factor * before, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("micro", [1, 2, 3, 6])
def test_micro_batches_give_the_whole_batchs_updates(fit: Fit, micro: int) -> None:
    data = batches(2, size=6)
    whole, pieces = tiny(), tiny()
    expected = fit(whole, data, micro_batch=6)
    assert fit(pieces, data, micro_batch=micro) == pytest.approx(expected, rel=1e-6)
    for a, b in zip(whole.parameters(), pieces.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_images_with_more_valid_pixels_weigh_more(fit: Fit) -> None:
    """Caffe averages over the batch's valid positions, not over images' means."""
    images, labels = batches(1)[0]
    labels[1] = 255
    labels[1, 0, 0] = 1
    (together,) = fit(tiny(), [(images, labels)])
    scores = tiny()(images)
    shrunk = labels[:, ::2, ::2].long()
    nll = nn.functional.cross_entropy(scores, shrunk, ignore_index=255, reduction="none")
    assert together == pytest.approx(float(nll.detach().sum()) / int((shrunk != 255).sum()))
    assert int((shrunk[1] != 255).sum()) == 1


@pytest.mark.parametrize("micro", [1, 2])
def test_averaged_by_image_every_image_weighs_the_same(fit: Fit, micro: int) -> None:
    """Caffe at iter_size n with one image at a time: the mean of the images' own means."""
    images, labels = batches(1)[0]
    labels[1] = 255
    labels[1, 0, 0] = 1
    by_image = POLY.model_copy(update={"average": "image"})
    model = tiny()
    (together,) = fit(model, [(images, labels)], by_image, micro_batch=micro)
    gradients = []
    alone = tiny()
    for image, label in zip(images.split(1), labels[:, ::2, ::2].split(1), strict=True):
        mean = nn.functional.cross_entropy(alone(image), label.long(), ignore_index=255)
        (mean / 2).backward()  # torch adds the gradients up, as Caffe does over iter_size
        gradients.append(float(mean.detach()))
    assert together == pytest.approx(sum(gradients) / 2)
    moved = tiny().fc8.bias - model.fc8.bias
    assert alone.fc8.bias.grad is not None
    torch.testing.assert_close(moved, 20 * 0.01 * alone.fc8.bias.grad, rtol=1e-4, atol=1e-7)


def test_dropout_follows_from_seed_and_update(fit: Fit) -> None:
    def losses(seed: int, disturb: bool = False) -> list[float]:
        if disturb:
            torch.rand(5)
        return fit(tiny(0.5), batches(3), seed=seed)

    assert losses(0) == losses(0, disturb=True)
    assert losses(0) != losses(1)
    same = [batches(1)[0]] * 3
    still = POLY.model_copy(update={"base_lr": 1e-12})
    drawn = fit(tiny(0.5), same, still)
    assert len(set(drawn)) == 3  # every update draws anew
    largest_seed = 2**31 - 1  # what settings take
    assert len(fit(tiny(0.5), batches(1), seed=largest_seed)) == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_the_weights_change(fit: Fit, bad: float) -> None:
    images, labels = batches(1)[0]
    images[0, 0, 4, 4] = bad
    model = tiny()
    with pytest.raises(ReplicationError, match=r"the loss is (nan|inf) at update 0") as caught:
        fit(model, [(images, labels)])
    assert "\n" not in str(caught.value)
    for after, before in zip(model.parameters(), tiny().parameters(), strict=True):
        assert torch.equal(after, before)


def test_labels_of_a_wrong_size_are_our_fault(fit: Fit) -> None:
    images, labels = batches(1)[0]
    with pytest.raises(ValueError, match="can't shrink by 8"):
        fit(tiny(), [(images, labels)], stride=8)


def test_momentum_is_outside_the_rate_as_in_torch(fit: Fit) -> None:
    """Where the rate falls tenfold, torch's step falls with it at once; Caffe's would lag."""
    recipe = Recipe(
        policy="step", batch_size=2, iterations=2, base_lr=0.01, step_size=1, weight_decay=0.0
    )
    data = batches(1) * 2
    model = tiny()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    fit(model, data[:1], recipe)
    first = {n: before[n] - p.detach() for n, p in model.named_parameters()}
    again = tiny()
    fit(again, data, recipe)
    for name, parameter in again.named_parameters():
        second = before[name] - first[name] - parameter.detach()
        # 0.1 x (0.9 x first + about first): near 0.19 of the first step
        assert 0.1 < float(second.norm() / first[name].norm()) < 0.25, name
