"""Scores of a whole split: shapes, padding, repeatability, and everything that can be wrong."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from replication.data.canonical import DataSet
from replication.errors import ReplicationError
from replication.inference.score import load_trained, padded_input, score
from replication.inference.store import read_scores
from replication.models.deeplab import DeepLab
from replication.plan import Plan, evaluated_ids, scale
from replication.provenance import sha256_file
from replication.settings import Experiments, Profile, parse

HERE = Path(__file__).resolve().parents[2]
MEAN = np.array([104.008, 116.669, 122.675], np.float32)  # B, G, R
SIZES = {"b": (57, 33), "a": (40, 57), "c": (9, 9)}  # in val's order


def plan(run: str = "aspp_l", **changes: Any) -> Plan:
    values = yaml.safe_load((HERE / "profiles" / "smoke.yaml").read_text())
    values |= {"width": 1 / 32, "test_size": 57, "score_batch": 2, "limit_eval": None, **changes}
    experiments = parse(Experiments, HERE / "experiments.yaml")
    return scale(run, experiments.runs[run], "smoke", Profile(**values))


@pytest.fixture
def dataset(write_dataset: Callable[..., DataSet]) -> DataSet:
    rng = np.random.default_rng(0)
    pixels = {
        name: (rng.integers(0, 256, (*size, 3)).astype(np.uint8), np.zeros(size, np.uint8))
        for name, size in SIZES.items()
    }
    return write_dataset(pixels, ["ground", "sheep", "tree"])


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_file(DeepLab(plan(), 3).state_dict(), path)
    return path


def one_by_one(dataset: DataSet, weights: Path, name: str) -> np.ndarray:
    """The network's scores of one image, padded with the mean pixel before it is subtracted."""
    with Image.open(dataset.image_path(name)) as image:
        rgb = np.array(image).astype(np.float32)
    canvas = np.broadcast_to(MEAN, (57, 57, 3)).copy()
    canvas[: rgb.shape[0], : rgb.shape[1]] = rgb[:, :, ::-1]
    tensor = torch.from_numpy((canvas - MEAN).transpose(2, 0, 1))[None]
    with torch.inference_mode():
        return load_trained(plan(), 3, weights)(tensor)[0].numpy()  # type: ignore[no-any-return]


def test_scores_are_those_of_each_image_alone(
    tmp_path: Path, dataset: DataSet, weights: Path
) -> None:
    record = score(plan(), dataset, weights, tmp_path / "out", device="cpu", precision="32-true")
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == ["a.npz", "b.npz", "c.npz", "score.json"]
    for name in SIZES:
        with np.load(out / f"{name}.npz") as archive:
            assert archive["scores"].dtype == np.float16
            assert archive["scores"].shape == (3, 8, 8)  # (57 - 1) / 8 + 1
        expected = one_by_one(dataset, weights, name)
        assert expected.std() > 0
        np.testing.assert_allclose(
            read_scores(out / f"{name}.npz", 3), expected, rtol=2e-3, atol=1e-4
        )
    assert record == json.loads((out / "score.json").read_text())
    assert (record["images"], record["split"], record["test_size"]) == (3, "val", 57)
    assert record["weights_sha256"] == sha256_file(weights)
    assert (record["device"], record["precision"]) == ("cpu", "32-true")
    assert record["seconds"] > 0
    assert record["peak_memory_mib"] > 0


def test_cityscapes_is_scored_in_tiles(
    tmp_path: Path, write_dataset: Callable[..., DataSet], weights: Path
) -> None:
    """A tile's scores where it lies alone, and those of an image that one tile holds."""
    rng = np.random.default_rng(0)
    sizes = {"large": (57, 137), "small": (33, 49)}
    pixels = {
        name: (rng.integers(0, 256, (*size, 3)).astype(np.uint8), np.zeros(size, np.uint8))
        for name, size in sizes.items()
    }
    wide = write_dataset(pixels, ["ground", "sheep", "tree"])
    tiled = replace(plan(), data="cityscapes")
    record = score(tiled, wide, weights, tmp_path / "out", device="cpu", precision="32-true")
    assert (record["test_size"], record["tile_overlap"]) == (57, 19)
    small = read_scores(tmp_path / "out" / "small.npz", 3)[:, :5, :7]
    expected = one_by_one(wide, weights, "small")[:, :5, :7]
    np.testing.assert_allclose(small, expected, rtol=2e-3, atol=1e-4)
    large = read_scores(tmp_path / "out" / "large.npz", 3)
    assert large.shape == (3, 8, 18)  # (57 - 1) / 8 + 1, (137 - 1) / 8 + 1
    image = pixels["large"][0]
    # tiles of 57 that share at least 19: they begin at 0, 24, 48 and 80; the first score
    # that two of them hold is at 24
    first = torch.from_numpy((image[:, :57, ::-1].astype(np.float32) - MEAN).transpose(2, 0, 1))
    with torch.inference_mode():
        alone = load_trained(plan(), 3, weights)(first[None])[0].numpy()
    np.testing.assert_allclose(large[:, :, :3], alone[:, :, :3], rtol=2e-3, atol=1e-4)


def test_the_same_weights_give_the_same_scores_and_old_ones_go(
    tmp_path: Path, dataset: DataSet, weights: Path
) -> None:
    out = tmp_path / "out"
    score(plan(), dataset, weights, out, device="cpu", precision="32-true")
    before = {name: (out / f"{name}.npz").read_bytes() for name in SIZES}
    (out / "stale.npz").write_bytes(b"of an image that the split no longer holds")
    score(plan(), dataset, weights, out, device="cpu", precision="32-true")
    assert {name: (out / f"{name}.npz").read_bytes() for name in SIZES} == before
    assert not (out / "stale.npz").exists()


def test_padding_is_the_mean_at_the_bottom_and_right(dataset: DataSet) -> None:
    image = padded_input(dataset.image_path("a"), 57)
    assert (image.shape, image.dtype) == ((3, 57, 57), torch.float32)
    assert not image[:, 40:].any()  # the mean, once subtracted
    assert image[:, :40].any(0).any(1).all()
    with Image.open(dataset.image_path("a")) as file:
        red, green, blue = (float(v) for v in file.getpixel((5, 3)))  # type: ignore[union-attr]
    expected = [blue - 104.008, green - 116.669, red - 122.675]
    assert image[:, 3, 5].tolist() == pytest.approx(expected, rel=1e-5)


def test_a_too_large_image_is_named_and_nothing_is_lost(
    tmp_path: Path, dataset: DataSet, weights: Path
) -> None:
    out = tmp_path / "out"
    score(plan(), dataset, weights, out, device="cpu", precision="32-true")
    before = sorted(out.iterdir())
    small = plan(test_size=49)
    with pytest.raises(ReplicationError) as caught:
        score(small, dataset, weights, out, device="cpu", precision="32-true")
    message = str(caught.value)
    assert "\n" not in message
    assert f"{dataset.image_path('b')} is 33 x 57, larger than the profile's" in message
    assert "`test_size` 49; raise `test_size`" in message
    assert sorted(out.iterdir()) == before
    with pytest.raises(ReplicationError, match="larger than"):
        padded_input(dataset.image_path("b"), 49)


def test_limit_eval_takes_the_first_of_val(dataset: DataSet) -> None:
    assert evaluated_ids(plan().profile, dataset) == ["b", "a", "c"]
    assert evaluated_ids(plan(limit_eval=2).profile, dataset) == ["b", "a"]
    assert evaluated_ids(plan(limit_eval=9).profile, dataset) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("missing", "does not exist; train run 'aspp_l' first"),
        ("rubbish", "does not fit run 'aspp_l'"),
        ("empty", "does not fit run 'aspp_l'"),
        ("short", "does not fit run 'aspp_l'"),
        ("of another run", "does not fit run 'aspp_l'"),
        ("of other classes", "does not fit run 'aspp_l'"),
    ],
)
def test_weights_that_cannot_serve_are_one_line(
    tmp_path: Path, dataset: DataSet, weights: Path, damage: str, said: str
) -> None:
    content = weights.read_bytes()
    new = {"rubbish": b"x" * 500, "empty": b"", "short": content[:-100]}
    if damage == "missing":
        weights.unlink()
    elif damage in new:
        weights.write_bytes(new[damage])
    else:
        other = DeepLab(plan("poly_b10_20k"), 3) if "run" in damage else DeepLab(plan(), 4)
        save_file(other.state_dict(), weights)
    out = tmp_path / "out"
    out.mkdir()
    (out / "finished.npz").write_bytes(b"")
    with pytest.raises(ReplicationError) as caught:
        score(plan(), dataset, weights, out, device="cpu", precision="32-true")
    message = str(caught.value)
    assert "\n" not in message
    assert str(weights) in message
    assert said in message
    assert len(message) < 400 + len(str(weights))
    assert (out / "finished.npz").exists()


def test_a_network_that_has_diverged_is_named(
    tmp_path: Path, dataset: DataSet, weights: Path
) -> None:
    state = DeepLab(plan(), 3).state_dict()
    state["classifier.branches.0.fc8.bias"][1] = float("nan")
    save_file(state, weights)
    with pytest.raises(ReplicationError, match="has diverged"):
        score(plan(), dataset, weights, tmp_path / "out", device="cpu", precision="32-true")
    assert not (tmp_path / "out" / "score.json").exists()
