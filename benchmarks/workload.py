"""What the benchmarks of training train: a run's plan, its network, a batch that lies ready."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def sizes(parser: argparse.ArgumentParser) -> None:
    """Add the options that `planned` reads, and the device."""
    parser.add_argument("--profile", default="paper", help="widths, crop, batch (default: paper)")
    parser.add_argument("--crop", type=int, help="pixels a side (default: the profile's)")
    parser.add_argument("--batch", type=int, help="crops an update (default: the run's)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")


def chosen(given: argparse.Namespace) -> list[str]:
    """Return these options as a command has them, for a process that is started."""
    options = ["--profile", given.profile, "--device", given.device]
    for name in ("crop", "batch"):
        if getattr(given, name):
            options += [f"--{name}", str(getattr(given, name))]
    return options


def classes(plan: Any) -> int:
    """Return how many classes a run's data set has."""
    from replication.data.classes import CITYSCAPES, CONTEXT, PERSON_PART, VOC

    tables = {"pascal_context": CONTEXT, "pascal_person_part": PERSON_PART}
    tables |= {"cityscapes": CITYSCAPES, "cityscapes_half": CITYSCAPES}
    return len(tables.get(plan.data, VOC).classes)  # COCO's are brought to VOC's


def planned(run: str, given: argparse.Namespace) -> Any:
    """Return the run's plan at the crop and batch that are asked for."""
    from replication.plan import load, scale

    settings = load(ROOT, given.profile)
    profile = settings.profile
    if given.crop:
        profile = profile.model_copy(update={"crop": given.crop})
    plan = scale(run, settings.experiments.all_runs[run], given.profile, profile)
    if given.batch:
        recipe = plan.recipe.model_copy(update={"batch_size": given.batch})
        plan = replace(plan, recipe=recipe, micro_batch=min(plan.micro_batch, given.batch))
    return plan


def build(plan: Any) -> Any:
    """Return the network with random weights: a seed's, the same for both ways."""
    import torch

    from replication.models.deeplab import DeepLab
    from replication.models.heads import initialise

    torch.manual_seed(0)
    model = DeepLab(plan, classes(plan))
    initialise(model.classifier, 0.005, torch.Generator().manual_seed(0))
    return model


def crops(plan: Any) -> tuple[Any, Any]:
    """Return a batch: images (B, 3, S, S) float32, labels (B, S, S) uint8."""
    import torch

    draw = torch.Generator().manual_seed(0)
    size = (plan.recipe.batch_size, plan.profile.crop, plan.profile.crop)
    images = torch.randn((size[0], 3, *size[1:]), generator=draw) * 60
    return images, torch.randint(classes(plan), size, generator=draw, dtype=torch.uint8)
