"""A root with a tiny profile, made-up data and weights; updates without the files of a run."""

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from replication.data.canonical import DataSet, ids_sha256
from replication.data.labels import write_label
from replication.data.palette import voc_palette
from replication.models.vgg import VGG16
from replication.plan import Settings, load
from replication.training.module import Segmentation

HERE = Path(__file__).resolve().parents[2]
SPLITS = {"train": [f"t{i}" for i in range(6)], "val": ["v0", "v1"]}
CLASSES = ["ground", "sheep", "tree"]
# 20,000 iterations of a batch of 10 become 24 of 4; 6,000 become 7.
TINY = {
    "about": "a test",
    "data": "sample",
    "train_split": "train",
    "width": 1 / 32,
    "crop": 33,
    "test_size": 57,
    "iterations_factor": 0.0012,
    "batch_factor": 0.4,
    "base_lr_factor": 10.0,
    "micro_batch": 2,
    "backbone": "backbone.safetensors",
    "fc_std": 0.01,
    "checkpoint_every": 7,
    "score_batch": 1,
    "limit_eval": None,
}


def write_dataset(root: Path) -> DataSet:
    """Write six training and two val images of varied sizes, in the canonical layout."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "splits").mkdir()
    for split, ids in SPLITS.items():
        (root / "splits" / f"{split}.txt").write_text("\n".join(ids) + "\n")
        for name in ids:
            size = (int(rng.integers(20, 57)), int(rng.integers(20, 57)))
            pixels = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / "images" / f"{name}.png")
            label = np.repeat(rng.integers(0, 3, (1, size[1])), size[0], 0).astype(np.uint8)
            label[:2] = 255
            write_label(root / "labels" / f"{name}.png", label)
    meta = {
        "name": "made up",
        "classes": CLASSES,
        "palette": voc_palette().tolist(),
        "void": 255,
        "splits": {s: {"count": len(i), "sha256": ids_sha256(i)} for s, i in SPLITS.items()},
        "sources": [],
    }
    (root / "meta.json").write_text(json.dumps(meta))
    return DataSet.open(root)


@pytest.fixture
def dataset(tmp_path: Path) -> DataSet:
    """Return a tiny data set: ids t0..t5 and v0, v1, three classes, a void contour on top."""
    return write_dataset(tmp_path / "made_up")


@pytest.fixture
def tiny(tmp_path: Path) -> Settings:
    """Return the settings of a root where every stage from training on can run in seconds."""
    root = tmp_path / "root"
    (root / "profiles").mkdir(parents=True)
    params = yaml.safe_load((HERE / "params.yaml").read_text())
    params |= {"profile": "tiny", "seeds": [3], "device": "cpu", "precision": "32-true"}
    params["data"] |= {"backbone": None}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    (root / "profiles" / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    (root / "experiments.yaml").write_bytes((HERE / "experiments.yaml").read_bytes())
    write_dataset(root / "datasets" / "tiny" / "voc2012")
    torch.manual_seed(0)
    layers = VGG16(1 / 32).convolutions()
    tensors = {f"{n}_W": layer.weight.detach() for n, layer in layers.items()}
    tensors |= {f"{n}_b": torch.zeros(layer.out_channels) for n, layer in layers.items()}
    save_file(tensors, root / "backbone.safetensors")
    return load(root)


def updates(module: Segmentation, batches: Sequence[tuple[Tensor, Tensor]]) -> list[float]:
    losses: list[float] = []

    class Record(L.Callback):
        def on_train_batch_end(self, *arguments: Any, **_: Any) -> None:
            losses.append(float(arguments[2]["loss"]))

    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=len(batches),
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Record()],
    )
    loader = DataLoader(batches, batch_size=None, num_workers=0)  # type: ignore[arg-type]
    with warnings.catch_warnings():  # Lightning's advice on loader workers, as `run` silences it
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        trainer.fit(module, loader)
    assert trainer.global_step == len(batches)
    return losses


@pytest.fixture
def train() -> Callable[[Segmentation, Sequence[tuple[Tensor, Tensor]]], list[float]]:
    """A function that makes one update on each batch with Lightning and returns their losses."""
    return updates
