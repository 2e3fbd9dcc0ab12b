"""A root of its own for a rehearsal: the profile's settings, but two updates and a few images."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from replication.atomic import write_text
from replication.plan import Settings
from replication.settings import read_yaml

UPDATES = 2


def make_workspace(settings: Settings, folder: Path, images: int) -> Path:
    """Write params.yaml, experiments.yaml and the profile's file to ``folder``; return it.

    Everything that costs time or memory for an update or an image stays: width, crop, test size,
    batch, precision, the CRF's iterations. The data are the profile's own where they have been
    prepared, else the embedded sample's, whose images are smaller than the test size and padded.
    ImageNet weights are the profile's own if they are files, else random ones of the same size.

    Args:
        settings: of the profile to rehearse.
        folder: emptied first.
        images: how many of val are scored, refined and measured.
    """
    root, name = settings.root, settings.name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "profiles").mkdir(parents=True)
    params = read_yaml(root / "params.yaml")
    params |= {"profile": name, "seeds": settings.params.seeds[:1]}
    params["crf"]["parameters"] = "vgg_aspp_release"  # a search would take the longest of all
    profile = read_yaml(root / "profiles" / f"{name}.yaml")
    profile |= {"limit_eval": images, "search_samples": 1, "search_every": 3, "more_seeds": {}}
    profile |= {"iterations_factor": 1.0, "resnet_iterations_factor": None, "checkpoint_every": 1}
    experiments = read_yaml(root / "experiments.yaml")
    for family in (experiments["runs"], *experiments["families"].values()):
        for run in family.values():
            run["recipe"] = run["recipe"] | {"iterations": UPDATES, "step_size": 1}
    for data in settings.experiments.datasets:
        prepared = settings.place("datasets", data)
        if (prepared / "meta.json").is_file():
            place = folder / "datasets" / name / data
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(prepared.resolve())
        else:
            profile["data"] = "sample"
    given = settings.params.data
    for key, own in (("backbone", given.backbone), ("resnet_backbone", given.resnet_backbone)):
        weights = own or str(profile.get(key, "torchvision"))
        if weights == "torchvision":
            weights = str(folder / f"{key}.safetensors")
            _write_random(key, Path(weights), settings.profile.width)
        params["data"][key] = str((root / weights).resolve())
    (folder / "data").symlink_to((root / "data").resolve())
    _write(folder / "params.yaml", params)
    _write(folder / "experiments.yaml", experiments)
    _write(folder / "profiles" / f"{name}.yaml", profile)
    return folder


def _write(path: Path, content: dict[str, Any]) -> None:
    write_text(path, yaml.safe_dump(content, sort_keys=False))


def _write_random(key: str, path: Path, width: float) -> None:
    """Write a backbone's file with weights that nobody has learned."""
    import torch
    from safetensors.torch import save_file
    from torch import Tensor

    from replication.models.resnet import ResNet101
    from replication.models.vgg import VGG16

    torch.manual_seed(0)
    if key == "resnet_backbone":
        save_file(ResNet101(width).state_dict(), path)
        return
    tensors: dict[str, Tensor] = {}
    for name, layer in VGG16(width).convolutions().items():
        assert layer.bias is not None
        tensors |= {f"{name}_W": layer.weight.detach(), f"{name}_b": layer.bias.detach()}
    save_file(tensors, path)
