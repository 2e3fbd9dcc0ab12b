"""What a profile starts from: weights, a folder of one's own, official archives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from replication.data.labels import write_label
from replication.doctor import inputs
from replication.doctor.finding import Finding
from replication.plan import Settings, load


def test_weights(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: Any) -> None:
    def found(settings: Settings) -> dict[str, Finding]:
        return {finding.what: finding for finding in inputs.weights(settings)}

    both = found(load(root))
    assert [one.status for one in both.values()] == ["wrong", "wrong"]
    file = root / "mine.npz"
    settings = change(data__backbone="mine.npz", data__resnet_backbone="mine.npz")
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "note of git-lfs" in found(settings)["vgg16 weights"].said
    file.write_bytes(b"PK")
    assert found(settings)["vgg16 weights"].status == "ok"
    assert "ends in '.npz'" in found(settings)["resnet101 weights"].said
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    settings = change(
        data__backbone=None, data__resnet_backbone=None, data__folder=".", profile="photos"
    )
    # the profile makes no ResNet
    assert list(found(settings)) == ["vgg16 weights"]
    assert found(settings)["vgg16 weights"].status == "note"
    kept = tmp_path / "torch" / "hub" / "checkpoints" / "vgg16-397923af.pth"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"")
    assert found(settings)["vgg16 weights"].status == "ok"


def test_a_folder_of_ones_own(root: Path, change: Any, one: Any) -> None:
    mine = root / "mine"
    settings = change(profile="photos", data__folder="mine")
    assert one(inputs.data(settings)).status == "wrong"
    lists = mine / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, name in (("train", "a"), ("val", "b")):
        (lists / f"{split}.txt").write_text(f"{name}\n")
        (mine / "JPEGImages").mkdir(exist_ok=True)
        Image.new("RGB", (3, 2)).save(mine / "JPEGImages" / f"{name}.jpg")
        write_label(mine / "SegmentationClass" / f"{name}.png", np.zeros((2, 3), np.uint8))
    assert one(inputs.data(settings)).said.endswith("mine: train 1, val 1")


def test_official_archives(root: Path, change: Any) -> None:
    settings = change(
        profile="paper", data__archives__voc2012="VOC.tar", data__archives__sbd="b.tgz"
    )
    (root / "VOC.tar").write_bytes(b"")
    coco = settings.place("archives", "coco") / "train2014.zip"
    coco.parent.mkdir(parents=True)
    coco.write_bytes(b"")
    meta = settings.place("datasets", "pascal_context") / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text("{}")
    lines = [(found.status, found.what, found.said) for found in inputs.data(settings)]
    by_archive = {said.split(":")[0]: status for status, _, said in lines}
    assert by_archive["voc2012"] == "ok"
    assert by_archive[f"{root / 'b.tgz'}, which data.archives.sbd names, does not exist"] == "wrong"
    assert by_archive["coco_images"] == "ok"
    assert by_archive["coco_annotations"] == by_archive["voc2010"] == "note"
    assert by_archive["cityscapes_images"] == "wrong"  # an account is needed
    assert ("ok", "data pascal_context", "prepared") in lines
