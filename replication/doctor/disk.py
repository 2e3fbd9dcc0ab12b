"""The disk: room for what a profile makes, and folders that can be written to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from replication.doctor.finding import Finding, gib
from replication.plan import OUTPUT_STRIDE, Settings

# What the stages write, each under KIND/PROFILE.
MADE = (
    *("archives", "datasets", "checkpoints", "runs", "scores", "searches", "refined"),
    *("results", "metrics", "tables", "figures", "report"),
)
_CACHED = 2  # DVC keeps a second copy of what a stage makes, where the disk can't link
_GB = 10**9
_EVERYTHING = 0.3 * _GB  # that the sample's pipeline makes: the sizes in dvc.lock of the demo
_WEIGHTS = 0.6 * _GB  # of the largest network at full width, fov_7x7_r4
# GB of archives (a set made of another one's archives has none of its own), images of val, classes.
_OFFICIAL = {
    "voc2012": (3.4, 1_449, 21),
    "pascal_context": (1.4, 5_105, 60),
    "pascal_person_part": (0.1, 1_817, 7),
    "cityscapes": (11.8, 500, 19),
    "cityscapes_half": (0.0, 500, 19),
    "coco": (13.8, 0, 21),
}


def needed_bytes(settings: Settings) -> float:
    """Return an upper estimate of what all stages of the profile write, DVC's copies included.

    Archives stand once; prepared data, weights and scores (float16, at output stride 8) twice.
    Cityscapes' tiled scores are of images four times as wide as the test size, and twice as high.
    """
    profile = settings.profile
    if profile.data == "sample":
        return _CACHED * _EVERYTHING
    runs = {
        name: run
        for name, run in settings.experiments.all_runs.items()
        if not settings.leaves_out(name)
    }
    total = 0.0
    if profile.data == "folder":
        folder = settings.root / (settings.params.data.folder or "")
        total += _CACHED * size_of(folder)
    else:
        total += sum((1 + _CACHED) * _OFFICIAL[data][0] * _GB for data in settings_data(settings))
    side = profile.test_size // OUTPUT_STRIDE + 1
    for run in runs.values():
        _, images, classes = _OFFICIAL[run.data]
        if run.data.startswith("cityscapes"):
            images *= 8
        total += _CACHED * 2 * images * classes * side**2  # 2 bytes a score
        total += (_CACHED + 2) * _WEIGHTS * profile.width**2  # and a checkpoint with its momentum
    return total


def settings_data(settings: Settings) -> list[str]:
    """Return the data sets that the profile makes."""
    return [name for name in settings.experiments.datasets if not settings.leaves_out_data(name)]


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder; 0 where there is none."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += (Path(parent) / name).lstat().st_size
            except OSError:
                continue
    return total


def room(settings: Settings) -> Iterator[Finding]:
    """Compare what is free with what is still to be made."""
    needed = needed_bytes(settings)
    made = sum(size_of(settings.place(kind)) for kind in MADE)
    left = max(0.0, needed - _CACHED * made)
    free = shutil.disk_usage(settings.root).free
    said = f"{gib(free)} free; {settings.name} needs about {gib(needed)}, {gib(made)} are made"
    if free > left:
        yield Finding("ok", "disk", said)
    else:
        cure = "make room, or link folders such as archives/ and .dvc/cache to another disk"
        yield Finding("wrong", "disk", said, cure)


def folders(settings: Settings) -> Iterator[Finding]:
    """See whether the folders of the stages and of DVC can be written to."""
    wanted = [settings.place(kind) for kind in MADE]
    wanted += [settings.root / ".dvc" / name for name in ("cache", "tmp")]
    places = sorted({_existing(path) for path in wanted})
    refused = [f"{place} ({reason})" for place in places if (reason := why_not_writable(place))]
    if refused:
        cure = "mend its permissions, or mount it for writing"
        yield Finding("wrong", "folders", f"can't be written to: {', '.join(refused)}", cure)
    else:
        yield Finding("ok", "folders", f"{len(wanted)} can be written to")


def why_not_writable(folder: Path) -> str | None:
    """Return why no file can be made in a folder, or None where one can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _existing(path: Path) -> Path:
    """Return the folder itself, or the nearest above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
