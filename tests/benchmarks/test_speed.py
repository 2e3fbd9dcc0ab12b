"""The benchmarks of speed at toy size: that they run and count rightly, never how fast they are."""

import argparse
import csv
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from replication.models.weights import MEAN_BGR

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let `import table` work as it does for the scripts."""
    monkeypatch.syspath_prepend(str(HERE))
    return HERE


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def rows(
    script: str, out: Path, *arguments: str, device: str | None = "cpu"
) -> list[dict[str, Any]]:
    command = [sys.executable, str(HERE / script), *arguments, "--out", str(out)]
    command += [] if device is None else ["--device", device]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    with out.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_convolutions_at_toy_size(tmp_path: Path) -> None:
    out = tmp_path / "convolution.csv"
    named = ["conv4_1", "fc6 3x3 rate 12"]
    options = ["--crop", "33", "--batch", "1", "--rounds", "2"]
    found = rows("convolution.py", out, *named, *options, device=None)
    assert [(row["layer"], row["way"]) for row in found] == [
        (layer, way) for layer in named for way in ("direct", "taps", "winograd")
    ]
    for row in found:
        assert float(row["seconds"]) > 0
        if row["way"] == "direct":
            assert (row["ratio"], row["multiplications"], row["seconds_of_one"]) == ("1.0",) * 3
        assert row["chosen"] == str(row["way"] == "direct")  # so small
    # 5 x 5 positions at rate 12 meet the middle tap alone
    assert float(found[4]["multiplications"]) == pytest.approx(1 / 9, abs=1e-3)


def test_training_at_toy_size(tmp_path: Path) -> None:
    out = tmp_path / "training.csv"
    runs = ["poly_b10_20k", "resnet_msc_coco_aug_aspp"]
    options = ["--profile", "smoke", "--crop", "33", "--batch", "2", "--rounds", "2"]
    found = rows("training.py", out, *runs, *options)
    assert [(row["run"], row["way"]) for row in found] == [
        (run, way) for run in runs for way in ("ours", "plain")
    ]
    for row in found:
        assert float(row["images_per_second"]) == pytest.approx(
            2 / float(row["seconds_an_update"]), rel=0.01
        )
        assert float(row["ratio_least"]) <= float(row["ratio"])
        assert float(row["ratio"]) > 0
        assert int(row["peak_memory_mib"]) > 100
        assert (row["crop"], row["batch"], row["device"]) == ("33", "2", "cpu")
        assert row["share_of_peak"] == ""
        assert row["commit"]
        assert float(row["memory_gib"]) > 0
    for plain in found[1::2]:
        assert (plain["ratio"], plain["ratio_least"]) == ("1.0", "1.0")
        assert plain["precision"] == "32-true"
    again = rows("training.py", out, runs[0], *options[:-1], "1")
    assert [row["rounds"] for row in again] == ["1", "1", "2", "2"]  # in place of the old rows


def test_inference_at_toy_size(tmp_path: Path) -> None:
    options = ["--profile", "smoke", "--images", "2", "--test-size", "65"]
    (row,) = rows("inference.py", tmp_path / "inference.csv", "aspp_l", *options)
    network, energies, crf = (
        float(row[f"{part}_seconds"]) for part in ("network", "energies", "crf")
    )
    assert float(row["network_frames_per_second"]) == pytest.approx(1 / network, rel=0.05)
    assert float(row["network_and_crf_frames_per_second"]) == pytest.approx(
        1 / (network + energies + crf), rel=0.05
    )
    assert (row["paper_network_frames_per_second"], row["paper_crf_seconds"]) == ("8.0", "0.5")
    assert row["images"] == "2"
    assert float(row["predict_frames_per_second"]) == pytest.approx(
        1 / float(row["predict_seconds"]), rel=0.05
    )
    assert int(row["cores"]) >= 1


def test_one_update_at_toy_size(tmp_path: Path) -> None:
    """A run of another data set than VOC, as those of the families are."""
    run, options = "cityscapes_half_vgg_large_fov", ["--profile", "smoke"]
    options += ["--crop", "33", "--batch", "2"]
    (row,) = rows("one_update.py", tmp_path / "one.csv", run, *options)
    assert (row["run"], row["profile"]) == (run, "smoke")
    assert (row["batch"], row["crop"], row["device"]) == ("2", "33", "cpu")
    assert float(row["seconds_a_crop"]) == pytest.approx(
        float(row["seconds_an_update"]) / 2, abs=0.006
    )
    assert int(row["peak_memory_mib"]) > 100
    assert row["commit"]


@pytest.mark.usefixtures("scripts")
def test_operations_of_large_fov_by_hand() -> None:
    """Table 1's LargeFOV at 321 pixels: two a weight and position; backward costs twice forward.

    The gradient of the images is not asked for: the first layer's backward costs but once.
    """
    given = argparse.Namespace(profile="paper", crop=None, batch=None)
    plan = module("workload").planned("poly_b10_20k", given)
    layers = [(321, 3, 64), (321, 64, 64), (161, 64, 128), (161, 128, 128), (81, 128, 256)]
    layers += [(81, 256, 256)] * 2 + [(41, 256, 512)] + [(41, 512, 512)] * 5
    layers += [(41, 512, 1024)]
    forward = sum(2 * 9 * before * after * side**2 for side, before, after in layers)
    forward += 2 * 41**2 * (1024 * 1024 + 1024 * 21)
    first = 2 * 9 * 3 * 64 * 321**2
    assert module("operations").flops_an_image(plan) == 3 * forward - first
    weights = sum(9 * before * after + after for _, before, after in layers)
    weights += 1024 * 1024 + 1024 + 1024 * 21 + 21
    assert module("operations").parameters(plan) == weights


@pytest.mark.usefixtures("scripts")
def test_batch_and_crop_are_those_asked_for() -> None:
    workload = module("workload")
    plan = workload.planned("aspp_l", argparse.Namespace(profile="paper", crop=97, batch=4))
    assert (plan.profile.crop, plan.recipe.batch_size, plan.micro_batch) == (97, 4, 4)
    images, labels = workload.crops(plan)
    assert (images.shape, labels.shape) == ((4, 3, 97, 97), (4, 97, 97))


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Three images in VOC's layout, one smaller than the crop."""
    root, rng = tmp_path / "voc", np.random.default_rng(0)
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for name, (height, width) in {"a": (40, 50), "b": (50, 40), "c": (20, 60)}.items():
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{name}.jpg")
        label = np.zeros((height, width), np.uint8)
        Image.fromarray(label).save(root / "SegmentationClass" / f"{name}.png")
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("c\na\nb\n")
    return root


def test_loading_at_toy_size(tmp_path: Path, voc: Path) -> None:
    options = ["--folder", str(voc), "--images", "2", "--crop", "33", "--rounds", "1"]
    found = rows("loading.py", tmp_path / "loading.csv", *options, device=None)
    ways = ["torchvision", "ours", "ours, from the cache"]
    assert [row["way"] for row in found] == 2 * ways
    for three in (found[:3], found[3:]):
        peer = float(three[0]["crops_a_second"])
        for row in three:
            assert row["images"] == "2"
            assert float(row["ratio"]) == pytest.approx(
                float(row["crops_a_second"]) / peer, rel=0.01, abs=0.01
            )


def test_torchvisions_way_cuts_the_crops_that_ours_does(
    tmp_path: Path, voc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image of the crop's own size has one crop, mirrored or not: both ways must find it."""
    monkeypatch.syspath_prepend(str(HERE))
    loading = module("loading")
    dataset = loading.as_train(voc, 2, tmp_path / "work")
    image = np.random.default_rng(1).integers(0, 256, (33, 33, 3), np.uint8)
    Image.fromarray(image).save(dataset.image_path("a"), format="PNG")
    Image.fromarray(np.ones((33, 33), np.uint8)).save(dataset.label_path("a"))
    theirs = loading.torchvisions(dataset, ["a"], 33, (1.0,))
    for _ in range(4):
        rgb, label = theirs(0)
        assert (label.shape[-2:], set(label.flatten().tolist())) == ((33, 33), {1})
        expected = image.transpose(2, 0, 1) - np.array(MEAN_BGR[::-1])[:, None, None]
        assert any(np.allclose(rgb.numpy(), expected[:, :, ::step], atol=1e-3) for step in (1, -1))
