"""Make the sample's small pre-trained backbones again: what ImageNet's weights are to the paper.

Each network, at the sample's width and at output stride 16, learns to segment rendered scenes of
its own, with the sample's twenty classes and twenty others.
"""

import json
from pathlib import Path
from typing import Literal

import lightning as L
import torch
from joblib import Parallel, delayed
from safetensors.torch import save_file
from torch.utils.data import DataLoader
from tqdm import tqdm

from replication.atomic import atomic_path, write_text
from replication.data.canonical import DataSet
from replication.data.folder import prepare_folder
from replication.data.labels import write_label
from replication.data.sample.encode import encode_jpeg
from replication.data.sample.scenes import classes, render_scene
from replication.models.deeplab import DeepLab
from replication.plan import Plan
from replication.settings import Profile, Recipe
from replication.training.callbacks import Progress
from replication.training.crops import Crops, From
from replication.training.module import Segmentation
from replication.training.pretrain_resnet import HEAD, ready_resnet, resnet_tensors
from replication.training.pretrain_vgg import ready_vgg, vgg_head, vgg_tensors

Backbone = Literal["vgg16", "resnet101"]

SCENES, HELD_OUT = 2_000, 50
WIDTH = 0.125
STRIDE = 16
UPDATES: dict[Backbone, int] = {"vgg16": 1_300, "resnet101": 2_000}


def pretraining_plan(updates: int, backbone: Backbone = "vgg16") -> Plan:
    """Return the pre-training as a plan: poly, batch 10; the network's own head."""
    profile = Profile(
        about="the sample's backbone",
        data="sample",
        train_split="train",
        width=WIDTH,
        crop=145,
        test_size=193,
        iterations_factor=1,
        batch_factor=1,
        base_lr_factor=1,
        micro_batch=10,
        backbone="",
        fc_std=0.01,
        checkpoint_every=500,
        score_batch=1,
        limit_eval=None,
    )
    recipe = Recipe(policy="poly", batch_size=10, iterations=updates, base_lr=0.01)
    return Plan(
        "pretraining",
        "pretraining",
        profile,
        vgg_head(WIDTH) if backbone == "vgg16" else HEAD,
        recipe,
        micro_batch=10,
        backbone=backbone,
        flavour="caffe" if backbone == "vgg16" else "torchvision",
    )


def pretraining_scenes(folder: Path, jobs: int) -> DataSet:
    """Render the pre-training scenes as a VOC-style folder and prepare it."""
    source, ready = folder / "scenes", folder / "dataset"
    if (ready / "meta.json").is_file():
        return DataSet.open(ready)
    ids = [f"{index:06d}" for index in range(SCENES)]
    (source / "JPEGImages").mkdir(parents=True, exist_ok=True)
    tasks = (delayed(_render)(source, index) for index in range(SCENES))
    done = Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)
    for _ in tqdm(done, total=SCENES, desc="render", unit="scene", disable=None):
        pass
    splits = source / "ImageSets" / "Segmentation"
    write_text(splits / "train.txt", "\n".join(ids[HELD_OUT:]) + "\n")
    write_text(splits / "val.txt", "\n".join(ids[:HELD_OUT]) + "\n")
    write_text(source / "classes.txt", "\n".join(classes("pretraining")) + "\n")
    return prepare_folder(source, ready, sources=[], name="pretraining scenes")


def _render(folder: Path, index: int) -> None:
    image, label = render_scene("pretraining", index)
    (folder / "JPEGImages" / f"{index:06d}.jpg").write_bytes(encode_jpeg(image))
    write_label(folder / "SegmentationClass" / f"{index:06d}.png", label)


def pretrain(
    out: Path,
    work: Path,
    *,
    backbone: Backbone = "vgg16",
    updates: int | None = None,
    jobs: int = 2,
    seed: int = 0,
) -> None:
    """Write a backbone's weights (float16, BGR input) to ``out``; scenes stay in ``work``.

    Takes about ten minutes (VGG-16) or half an hour (ResNet-101) on two cores. The same machine and
    versions give the same bytes. ``updates`` None makes `UPDATES`.
    """
    dataset = pretraining_scenes(work, jobs)
    updates = updates or UPDATES[backbone]
    plan = pretraining_plan(updates, backbone)
    torch.manual_seed(seed)
    model = DeepLab(plan, dataset.num_classes)
    (ready_vgg if backbone == "vgg16" else ready_resnet)(model, seed)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = Segmentation(model, plan.recipe, plan.micro_batch, seed, STRIDE)
    crops = Crops(dataset, "train", plan.profile.crop, seed)
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=updates,
        max_epochs=1,
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Progress("pre-train", updates)],
    )
    trainer.fit(module, DataLoader(crops, batch_size=10, sampler=From(0, updates * 10)))
    made_by = f"replication sample pretrain, {updates} updates"
    if backbone == "vgg16":
        tensors, notes = vgg_tensors(model), {"made_by": made_by}
    else:
        # one key: safetensors writes several in any order, and the bytes would differ
        described = {"made_by": made_by, "configuration": plan.configuration()}
        tensors, notes = resnet_tensors(model), {"replication": json.dumps(described)}
    with atomic_path(out) as part:
        save_file(tensors, part, metadata=notes)
