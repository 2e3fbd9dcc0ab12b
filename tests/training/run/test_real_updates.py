"""Two updates at full width, on real photographs from ImageNet's convolutions."""

import shutil
from pathlib import Path

import torch
import yaml

from replication.data.canonical import DataSet
from replication.data.folder import prepare_folder
from replication.inference.score import load_trained
from replication.models.deeplab import DeepLab, build
from replication.models.weights import load_backbone
from replication.plan import scale
from replication.settings import Experiments, Profile, parse
from replication.training import run
from replication.training.crops import Crops
from replication.training.loss import shrink_labels, summed_loss

RUN = "poly_b10_20k"
HERE = Path(__file__).resolve().parents[3]


def photographs(source: Path, root: Path) -> DataSet:
    """Prepare four of the real photographs, two to train on."""
    folder = root / "photographs"
    lists = source / "ImageSets" / "Segmentation"
    for split in ("train", "val"):
        ids = (lists / f"{split}.txt").read_text().split()[:2]
        for kind, suffix in (("JPEGImages", ".jpg"), ("SegmentationClass", ".png")):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            for name in ids:
                shutil.copy(source / kind / f"{name}{suffix}", folder / kind)
        target = folder / "ImageSets" / "Segmentation" / f"{split}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(ids))
    shutil.copy(source / "classes.txt", folder)
    return prepare_folder(folder, root / "prepared", sources=[], progress=False)


def mean_loss(model: DeepLab, crops: Crops, count: int) -> float:
    """Return the loss of the first crops without dropout, as Caffe averages it."""
    pairs = [crops[number] for number in range(count)]
    images = torch.stack([image for image, _ in pairs])
    labels = shrink_labels(torch.stack([label for _, label in pairs]))
    with torch.inference_mode():
        total = summed_loss(model.eval()(images), labels)
    return float(total / (labels != 255).sum())


def test_two_real_updates_at_full_width_lower_the_loss(shared: Path, tmp_path: Path) -> None:
    """Table 3's LargeFOV on real photographs from ImageNet's convolutions: 2 crops of 97 pixels."""
    settings = yaml.safe_load((HERE / "profiles" / "photos.yaml").read_text())
    settings |= {"crop": 97, "iterations_factor": 1e-4, "batch_factor": 0.2}
    experiments = parse(Experiments, HERE / "experiments.yaml")
    plan = scale(RUN, experiments.runs[RUN], "photos", Profile(**settings))
    assert (plan.recipe.iterations, plan.recipe.batch_size, plan.profile.width) == (2, 2, 1)
    dataset = photographs(shared / "data" / "msrc21", tmp_path)
    weights = load_backbone(str(shared / "weights" / "vgg16_conv_imagenet.npz"), tmp_path)
    out = tmp_path / "out"
    record = run.train(
        plan, dataset, weights, 0, out=out, checkpoints=tmp_path / "c", precision="32-true"
    )
    # conv1_1 .. conv5_3, fc6, fc7, fc8: table 1's 20.5 million for 21 classes
    by_hand = 14_714_688 + (512 * 9 + 1) * 1_024 + 1_025 * 1_024 + 1_025 * dataset.num_classes
    assert record["parameters"] == by_hand
    crops = Crops(dataset, "train", 97, 0)
    before = mean_loss(build(plan, dataset.num_classes, weights, 0), crops, 4)
    after = mean_loss(
        load_trained(plan, dataset.num_classes, out / "weights.safetensors"), crops, 4
    )
    assert after < before - 0.1
