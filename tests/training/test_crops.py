"""Training crops against the images they are cut from."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from replication.data.canonical import DataSet
from replication.data.labels import read_image, read_label, write_label
from replication.errors import ReplicationError
from replication.models.weights import MEAN_BGR
from replication.training.crops import Crops, From, pad, rescale, to_network_input

MEAN = np.array([104.008, 116.669, 122.675], np.float32)  # recipe.md: B, G, R


def test_input_is_bgr_minus_the_authors_mean() -> None:
    assert MEAN_BGR == (104.008, 116.669, 122.675)
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 0] = (255, 128, 1)  # R, G, B
    out = to_network_input(image)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[0, 0], [1 - 104.008, 128 - 116.669, 255 - 122.675], rtol=1e-6)
    np.testing.assert_allclose(out[1, 2], -MEAN, rtol=1e-6)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 25))
def test_padding_is_at_the_bottom_and_right(height: int, width: int, size: int) -> None:
    image = np.ones((height, width, 3), np.float32)
    label = np.ones((height, width), np.uint8)
    padded, padded_label = pad(image, label, size)
    assert padded.shape == (max(height, size), max(width, size), 3)
    assert padded_label.shape == padded.shape[:2]
    assert padded_label.dtype == np.uint8
    assert (padded[:height, :width] == 1).all()
    assert (padded_label[:height, :width] == 1).all()
    assert padded.sum() == 3 * height * width  # the mean, once subtracted, is 0
    assert (padded_label == 255).sum() == padded_label.size - height * width


def find(dataset: DataSet, name: str, crop: np.ndarray, size: int) -> list[tuple[int, int, bool]]:
    """Search an image for a crop by brute force: every (top, left, mirrored) that matches."""
    rgb = read_image(dataset.image_path(name)).astype(np.float32)
    whole = np.zeros((max(rgb.shape[0], size), max(rgb.shape[1], size), 3), np.float32)
    whole[: rgb.shape[0], : rgb.shape[1]] = rgb[:, :, ::-1] - MEAN
    return [
        (top, left, mirrored)
        for top in range(whole.shape[0] - size + 1)
        for left in range(whole.shape[1] - size + 1)
        for mirrored in (False, True)
        if np.array_equal(
            whole[top : top + size, left : left + size][:, :: -1 if mirrored else 1],
            crop.transpose(1, 2, 0),
        )
    ]


def test_crops_are_windows_of_their_image_with_the_labels_windows(dataset: DataSet) -> None:
    size = 33
    crops = Crops(dataset, "train", size, seed=0)
    found = []
    for number in range(60):
        image, label = crops[number]
        assert (image.shape, image.dtype) == ((3, size, size), torch.float32)
        assert (label.shape, label.dtype) == ((size, size), torch.uint8)
        name = crops.id_of(number)
        ((top, left, mirrored),) = find(dataset, name, image.numpy(), size)
        expected = np.full((200, 200), 255, np.uint8)
        whole = read_label(dataset.label_path(name), 3)
        expected[: whole.shape[0], : whole.shape[1]] = whole
        window = expected[top : top + size, left : left + size][:, :: -1 if mirrored else 1]
        np.testing.assert_array_equal(label.numpy(), window)
        found.append((name, top, left, mirrored))
    mirrored = [m for *_, m in found]
    assert 15 <= sum(mirrored) <= 45  # a fair coin stays inside with probability 0.9999
    assert len({(top, left) for _, top, left, _ in found}) > 10


def test_positions_reach_both_ends(tmp_path: Path, dataset: DataSet) -> None:
    """A 12 x 11 image has 4 x 3 places for crops of 9; all are taken."""
    name = dataset.ids("train")[0]
    pixels = np.random.default_rng(0).integers(0, 256, (12, 11, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(dataset.image_path(name))
    write_label(dataset.label_path(name), np.zeros((12, 11), np.uint8))
    crops = Crops(dataset, "train", 9, seed=0)
    crops.ids = [name]
    places = {find(dataset, name, crops[k][0].numpy(), 9)[0][:2] for k in range(120)}
    assert places == {(top, left) for top in range(4) for left in range(3)}


def test_every_epoch_sees_every_image_once_in_an_order_of_its_own(dataset: DataSet) -> None:
    crops = Crops(dataset, "train", 33, seed=0)
    epochs = [tuple(crops.id_of(6 * epoch + k) for k in range(6)) for epoch in range(5)]
    for order in epochs:
        assert sorted(order) == sorted(dataset.ids("train"))
    assert len(set(epochs)) > 1


def test_a_crop_follows_from_seed_and_number_alone(dataset: DataSet) -> None:
    one, again = (Crops(dataset, "train", 33, seed=5) for _ in range(2))
    expected = [one[k] for k in range(12)]
    torch.manual_seed(1)  # the global generator is of no account
    for k in reversed(range(12)):
        assert all(torch.equal(a, b) for a, b in zip(again[k], expected[k], strict=True))
    other = Crops(dataset, "train", 33, seed=6)
    assert any(not torch.equal(other[k][0], expected[k][0]) for k in range(12))


def test_a_loader_from_the_middle_gives_the_rest_of_the_sequence(dataset: DataSet) -> None:
    crops = Crops(dataset, "train", 33, seed=0)
    whole = list(DataLoader(crops, batch_size=4, sampler=From(0, 20)))
    rest = list(DataLoader(crops, batch_size=4, sampler=From(12, 20)))
    assert len(whole) == 5
    assert len(rest) == 2
    for (a, b), (c, d) in zip(whole[3:], rest, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)


def test_a_loaders_worker_gets_the_same_sequence(dataset: DataSet) -> None:
    crops = Crops(dataset, "train", 33, seed=0)
    sent = pickle.loads(pickle.dumps(crops))  # as to a spawned process
    for number in (0, 7):
        assert all(torch.equal(a, b) for a, b in zip(sent[number], crops[number], strict=True))


FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5)  # recipe.md: the rows marked Aug


@pytest.mark.parametrize("factor", FACTORS)
def test_rescaling_keeps_ramps_and_class_numbers(factor: float) -> None:
    """A ramp stays a ramp (away from borders); label and image stay on one another."""
    height, width = 40, 60
    ramp = np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None] * 4, (height, width, 3))
    label = np.zeros((height, width), np.uint8)
    label[:, 30:], label[10:20] = 7, 255
    image, shrunk = rescale(np.ascontiguousarray(ramp), label, factor)
    assert image.shape == (height * factor, width * factor, 3)
    assert shrunk.shape == image.shape[:2]
    assert set(np.unique(shrunk)) == {0, 7, 255}
    # pixel x of the new image covers the old one around (x + 0.5) / factor - 0.5
    columns = (np.arange(image.shape[1]) + 0.5) / factor - 0.5
    inside = (columns > 2) & (columns < width - 3)
    np.testing.assert_allclose(image[3, inside, 0], 4 * columns[inside], atol=1.01)
    clear = np.abs(columns - 29.5) > 1e-6  # half-way between two pixels, either is right
    np.testing.assert_array_equal((shrunk[2] == 7)[clear], (columns > 29.5)[clear])


def test_factors_are_drawn_alike_and_move_neither_place_nor_mirror(dataset: DataSet) -> None:
    plain, scaled = Crops(dataset, "train", 33, 0), Crops(dataset, "train", 33, 0, FACTORS)
    drawn = [scaled.factor_of(number) for number in range(1_000)]
    for factor in FACTORS:  # 200 each; four standard deviations are 51
        assert 149 <= drawn.count(factor) <= 251
    assert drawn == [Crops(dataset, "train", 33, 0, FACTORS).factor_of(k) for k in range(1_000)]
    assert {plain.factor_of(number) for number in range(50)} == {1.0}
    for number in range(30):
        image, label = scaled[number]
        assert (image.shape, label.shape) == ((3, 33, 33), (33, 33))
        same = all(torch.equal(a, b) for a, b in zip(plain[number], (image, label), strict=True))
        assert same == (drawn[number] == 1)


def test_a_shrunk_image_is_padded_like_a_small_one(dataset: DataSet) -> None:
    crops = Crops(dataset, "train", 33, 0, (0.5,))  # all sides are below 57: none reaches 33
    image, label = crops[0]
    height, width = (
        round(side / 2) for side in read_label(dataset.label_path(crops.id_of(0)), 3).shape
    )
    valid = torch.zeros(33, 33, dtype=torch.bool)
    valid[:height, :width] = True
    inside = valid if image[:, :, 0].any() else valid.flip(1)
    assert not image[:, ~inside].any()
    assert (label[~inside] == 255).all()


def test_a_label_outside_the_classes_names_its_file(dataset: DataSet) -> None:
    meta = dataset.root / "meta.json"
    meta.write_text(json.dumps({**json.loads(meta.read_text()), "classes": ["ground", "sheep"]}))
    crops = Crops(DataSet.open(dataset.root), "train", 33, seed=0)
    with pytest.raises(ReplicationError, match=r"labels/t\d\.png: the label holds the value 2"):
        [crops[number] for number in range(6)]
