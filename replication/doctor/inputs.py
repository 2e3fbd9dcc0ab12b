"""What a profile starts from: initial weights and data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from replication.doctor.disk import settings_data
from replication.doctor.finding import Finding, gib
from replication.doctor.repository import is_lfs_pointer
from replication.errors import ReplicationError
from replication.plan import Settings

_KINDS = {
    "vgg16": (".safetensors", ".npz", ".pth", ".pt"),
    "resnet101": (".safetensors", ".caffemodel", ".pth", ".pt"),
}


def weights(settings: Settings) -> Iterator[Finding]:
    """See whether each backbone's initial weights are there, or can be downloaded."""
    given, profile = settings.params.data, settings.profile
    places = {
        "vgg16": (given.backbone or profile.backbone, "data.backbone"),
        "resnet101": (given.resnet_backbone or profile.resnet_backbone, "data.resnet_backbone"),
    }
    used = {
        run.backbone
        for name, run in settings.experiments.all_runs.items()
        if not settings.leaves_out(name)
    }
    for backbone in sorted(used):
        place, key = places[backbone]
        what = f"{backbone} weights"
        path = settings.root / place
        if place == "torchvision":
            yield _from_torchvision(backbone, what, key)
        elif not path.is_file():
            cure = f"run `make data` for the sample's, or set `{key}` in params.yaml"
            yield Finding("wrong", what, f"{path} does not exist", cure)
        elif path.suffix not in _KINDS[backbone]:
            cure = f"give {', '.join(_KINDS[backbone])} in `{key}`"
            yield Finding("wrong", what, f"{path} ends in {path.suffix!r}", cure)
        elif is_lfs_pointer(path):
            yield Finding("wrong", what, f"{path} is a note of git-lfs", "fetch the file itself")
        else:
            yield Finding("ok", what, f"{place}, {gib(path.stat().st_size)}")


def _from_torchvision(backbone: str, what: str, key: str) -> Finding:
    import torch
    from torchvision.models import ResNet101_Weights, VGG16_Weights

    chosen = {
        "vgg16": VGG16_Weights.IMAGENET1K_V1,
        "resnet101": ResNet101_Weights.IMAGENET1K_V1,
    }[backbone]
    name = str(chosen.url).rsplit("/", 1)[-1]
    kept = Path(torch.hub.get_dir()) / "checkpoints" / name
    if kept.is_file():
        return Finding("ok", what, f"torchvision's, kept as {kept}")
    cure = f"without a network, set `{key}` in params.yaml to a file"
    return Finding("note", what, f"torchvision's {name} will be downloaded", cure)


def data(settings: Settings) -> Iterator[Finding]:
    """See whether the profile's data are there, or can be fetched."""
    kind = settings.profile.data
    if kind == "folder":
        yield _folder(settings)
    elif kind == "official":
        for name in settings_data(settings):
            yield from _official(settings, name)


def _folder(settings: Settings) -> Finding:
    from replication.data.folder import read_folder

    folder = settings.root / (settings.params.data.folder or "")
    try:
        found = read_folder(folder)
    except (ReplicationError, OSError) as error:
        return Finding("wrong", "data", str(error))
    counts = ", ".join(f"{split} {len(ids):,}" for split, ids in found.splits.items())
    return Finding("ok", "data", f"{folder}: {counts}")


def _official(settings: Settings, name: str) -> Iterator[Finding]:
    """Look for each archive of a data set: given, fetched, or to be fetched."""
    from replication.data.sets import get_set
    from replication.data.sources import get_source

    given = settings.params.data.archives.model_dump()
    if (settings.place("datasets", name) / "meta.json").is_file():
        yield Finding("ok", f"data {name}", "prepared")
        return
    for one in get_set(name).sources(sample=False):
        source, own, what = get_source(one), given.get(one), f"data {name}"
        here = [
            settings.place("archives", other) / source.file for other in settings_data(settings)
        ]
        if own is not None:
            path = settings.root / Path(own).expanduser()
            if path.exists():
                yield Finding("ok", what, f"{one}: {path}")
            else:
                said = f"{path}, which {source.setting} names, does not exist"
                yield Finding("wrong", what, said, "correct it in params.yaml")
        elif any(path.is_file() for path in here):
            yield Finding("ok", what, f"{one}: {source.file} is fetched")
        elif source.login_required:
            said = f"{one}: {source.file} must be downloaded by hand"
            cure = f"{source.login}, and name it in `{source.setting}`"
            yield Finding("wrong", what, said, cure)
        else:
            size = f" ({gib(source.size)})" if source.size else ""
            cure = f"without a network, name a copy in `{source.setting}`"
            yield Finding("note", what, f"{one}: {source.file}{size} will be fetched", cure)
