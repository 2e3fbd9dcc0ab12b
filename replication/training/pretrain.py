"""Make the sample's small pre-trained backbone again: what ImageNet's weights are to the paper.

VGG-16 at the sample's width, with batch norm and at output stride 16, learns to segment rendered
scenes of its own, with the sample's twenty classes and twenty others. Batch norm is then folded
into the convolutions, because the paper's network has none. fc6 (7x7, rate 2 here, so rate 4 at
stride 8) and fc7 are kept: each run makes the network dense and decimates them, as the paper does
with ImageNet's.
"""

import math
from collections import OrderedDict
from pathlib import Path

import lightning as L
import torch
from joblib import Parallel, delayed
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.data import DataLoader
from tqdm import tqdm

from replication.atomic import atomic_path, write_text
from replication.data.canonical import DataSet
from replication.data.labels import write_label
from replication.data.prepare import prepare_folder
from replication.data.sample.encode import encode_jpeg
from replication.data.sample.scenes import classes, render_scene
from replication.models.deeplab import DeepLab
from replication.models.heads import Branch, initialise
from replication.models.vgg import VGG16
from replication.models.weights import Layer
from replication.plan import Plan
from replication.settings import Head, Profile, Recipe
from replication.training.callbacks import Progress
from replication.training.crops import Crops, From
from replication.training.module import Segmentation

SCENES, HELD_OUT = 2_000, 50
WIDTH = 0.125
# Larger responses make the new last layer learn faster than the layers below it, which at the same
# pace forget what they know before the last layer reads it.
GAIN = 10**0.5
STRIDE = 16


def pretraining_plan(updates: int) -> Plan:
    """Return the pre-training as a plan: fc6 7x7 at rate 2 (stride 16), poly, batch 10."""
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
    head = Head(kernel=7, rates=[2], channels=round(4_096 * WIDTH), average_pool=False, dropout=0.2)
    recipe = Recipe(policy="poly", batch_size=10, iterations=updates, base_lr=0.01)
    return Plan("pretraining", "pretraining", profile, head, recipe, micro_batch=10)


def coarsen(backbone: VGG16) -> None:
    """Give pool4 back its stride of 2 and conv5 its rate of 1, in place: output stride 16."""
    pools = [layer for layer in backbone if isinstance(layer, nn.MaxPool2d)]
    pools[3].stride = 2
    for name, layer in backbone.convolutions().items():
        if name.startswith("conv5"):
            layer.dilation = layer.padding = (1, 1)


def add_batch_norm(module: nn.Module) -> None:
    """Put batch norm after every convolution but fc8, in place."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d) and name != "fc8":
            norm = nn.BatchNorm2d(child.out_channels)
            nn.init.kaiming_normal_(child.weight, nonlinearity="relu")
            setattr(module, name, nn.Sequential(OrderedDict(conv=child, norm=norm)))
        else:
            add_batch_norm(child)


def fold_batch_norm(module: nn.Module) -> None:
    """Fold batch norm's running statistics, scale and shift into the convolutions, in place.

    In evaluation mode the network computes the same function before and after.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Sequential) and [*dict(child.named_children())] == ["conv", "norm"]:
            conv, norm = child
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            setattr(module, name, fuse_conv_bn_eval(conv.eval(), norm.eval()))
        else:
            fold_batch_norm(child)


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


def balance(layers: dict[str, Layer]) -> dict[str, Layer]:
    """Give all layers' weights one Frobenius norm; fc7's responses grow by `GAIN`, no more changes.

    Each layer of a chain of ReLUs and max pools may be multiplied by a positive number if another
    is divided by it (biases by the product so far). Folded batch norm leaves conv1_1, which reads
    0..255, 400 times smaller than fc7: at one learning rate for all, SGD would then move it 100,000
    times faster for its size.
    """
    norms = {name: float(weight.norm()) for name, (weight, _) in layers.items()}
    mean = math.exp(sum(math.log(norm) for norm in norms.values()) / len(norms))
    share = GAIN ** (1 / len(layers))
    product, balanced = 1.0, {}
    for name, (weight, bias) in layers.items():
        factor = share * mean / norms[name]
        product *= factor
        balanced[name] = (weight * factor, bias * product)
    return balanced


def pretrain(out: Path, work: Path, *, updates: int = 1_300, jobs: int = 2, seed: int = 0) -> None:
    """Write the backbone's layers (float16, BGR input) to ``out``; scenes stay in ``work``.

    Takes about ten minutes on two cores. The same machine and versions give the same bytes.
    """
    dataset = pretraining_scenes(work, jobs)
    plan = pretraining_plan(updates)
    torch.manual_seed(seed)
    model = DeepLab(plan, dataset.num_classes)
    initialise(model.classifier, 0.01, torch.Generator().manual_seed(seed))
    assert isinstance(model.backbone, VGG16)
    coarsen(model.backbone)
    add_batch_norm(model)
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
    fold_batch_norm(model.eval())
    branch = model.classifier.branches[0]
    assert isinstance(branch, Branch)
    layers = {**model.backbone.convolutions(), "fc6": branch.fc6, "fc7": branch.fc7}
    learned: dict[str, Layer] = {}
    for name, layer in layers.items():
        assert layer.bias is not None
        learned[name] = (layer.weight.detach(), layer.bias.detach())
    tensors: dict[str, Tensor] = {}
    for name, (weight, bias) in balance(learned).items():
        tensors[f"{name}_W"] = weight.half().contiguous()
        tensors[f"{name}_b"] = bias.half()
    with atomic_path(out) as part:
        save_file(
            tensors, part, metadata={"made_by": f"replication sample pretrain, {updates} updates"}
        )
