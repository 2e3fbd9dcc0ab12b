"""Crops a second of one loader process: decoded each time, kept in memory, and torchvision's way.

    python benchmarks/loading.py [--folder ../shared/data/voc100] [--images 40] [--crop 321]

The images of a folder in VOC's layout (without one, ../shared/data/voc100 where it is there, else
random ones of 500x375), each cropped once a round: by this package's `Crops` without
a cache, by `Crops` from its cache (``image_cache`` in params.yaml; the second epoch), and as
torchvision's transforms v2 do it (decode, resize, RandomCrop, flip, normalize). The ways take turns
image by image; an image's time is its least processor time over the rounds, so that other work on
the machine disturbs little. Once without and once with the random rescaling of ResNet-101's runs.
One row a way, in benchmarks/results/loading_<machine>_cpu.csv: crops a second of one process, and
the ratio to torchvision's.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from images import DATA, read, some_ids, source
from PIL import Image
from table import place, put, surroundings
from torchvision import tv_tensors
from torchvision.transforms import v2

from replication.data.canonical import DataSet
from replication.data.folder import prepare_folder
from replication.data.labels import VOID
from replication.models.weights import MEAN_BGR
from replication.training.crops import Crops

RESCALE = (0.5, 0.75, 1.0, 1.25, 1.5)  # `parts.aug` of experiments.yaml
Crop = Callable[[int], object]


def drawn(images: int, into: Path) -> Path:
    """Write random images, and labels of background alone, in VOC's layout."""
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (into / name).mkdir(parents=True)
    ids = some_ids(images + 1)
    for name in ids:
        _, image = read(name)
        Image.fromarray(image).save(into / "JPEGImages" / f"{name}.jpg", quality=90)
        label = Image.fromarray(np.zeros(image.shape[:2], np.uint8))
        label.save(into / "SegmentationClass" / f"{name}.png")
    (into / "ImageSets" / "Segmentation" / "val.txt").write_text("\n".join(ids))
    return into


def as_train(folder: Path, images: int, into: Path) -> DataSet:
    """Prepare the first ``images`` of val as a training split."""
    given = into / "given"
    (given / "ImageSets" / "Segmentation").mkdir(parents=True)
    ids = (folder / "ImageSets" / "Segmentation" / "val.txt").read_text().split()
    parts = {"train": ids[:images], "val": ids[images : images + 1]}
    for name, part in parts.items():
        text = "".join(f"{i}\n" for i in part)
        (given / "ImageSets" / "Segmentation" / f"{name}.txt").write_text(text)
    for held in ("JPEGImages", "SegmentationClass"):
        (given / held).symlink_to((folder / held).resolve())
    return prepare_folder(given, into / "canonical", sources=[], progress=False)


def torchvisions(dataset: DataSet, ids: list[str], size: int, factors: tuple[float, ...]) -> Crop:
    """Return the crop of image number k as a training written with torchvision would make it."""
    mean = list(reversed(MEAN_BGR))  # RGB
    fill = {tv_tensors.Image: mean, tv_tensors.Mask: VOID}
    crop = v2.Compose(
        [
            v2.RandomCrop(size, pad_if_needed=True, fill=fill),
            v2.RandomHorizontalFlip(),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=False),
            v2.Normalize(mean, [1.0, 1.0, 1.0]),
        ]
    )

    def make(number: int) -> object:
        name = ids[number]
        with Image.open(dataset.image_path(name)) as opened:
            image = tv_tensors.Image(v2.functional.pil_to_tensor(opened.convert("RGB")))
        with Image.open(dataset.label_path(name)) as opened:
            label = tv_tensors.Mask(v2.functional.pil_to_tensor(opened))
        factor = random.choice(factors)
        if factor != 1:
            sides = [round(side * factor) for side in label.shape[-2:]]
            image, label = (v2.functional.resize(one, sides) for one in (image, label))
        return crop(image, label)

    return make


def measure(ways: dict[str, Crop], images: int, rounds: int) -> dict[str, float]:
    """Return crops a second of processor time, by way."""
    least = {name: [float("inf")] * images for name in ways}
    for _ in range(rounds):
        for number in range(images):
            for name, way in ways.items():
                start = time.process_time()
                way(number)
                spent = time.process_time() - start
                least[name][number] = min(least[name][number], spent)
    return {name: images / sum(times) for name, times in least.items()}


def main() -> None:
    """Measure every way and write the CSV."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="in VOC's layout, with a val")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--crop", type=int, default=321)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or (DATA if DATA.is_dir() else None)
        known = source() if folder is None else folder.name
        folder = folder or drawn(given.images, Path(scratch) / "drawn")
        dataset = as_train(folder, given.images, Path(scratch))
        images = len(dataset.ids("train"))
        for factors in ((1.0,), RESCALE):
            plain, kept = (
                Crops(dataset, "train", given.crop, 0, factors, cache=room) for room in (0, 2**40)
            )
            for number in range(images):
                _ = kept[number]
            order = [plain.id_of(number) for number in range(images)]
            ways = {
                "torchvision": torchvisions(dataset, order, given.crop, factors),
                "ours": plain.__getitem__,
                "ours, from the cache": kept.__getitem__,
            }
            speeds = measure(ways, images, given.rounds)
            for name, speed in speeds.items():
                rows.append(
                    {
                        "way": name,
                        "rescale": " ".join(map(str, factors)),
                        "crop": given.crop,
                        "crops_a_second": round(speed, 1),
                        "ratio": round(speed / speeds["torchvision"], 2),
                        "images": images,
                        "source": known,
                        "rounds": given.rounds,
                        **surroundings("torch", "torchvision", "pillow"),
                    }
                )
                print(*(f"{rows[-1][key]!s:>22}" for key in list(rows[-1])[:5]))
    out = given.out or place("loading", "cpu")
    put(out, rows)
    print(f"written to {out}")


if __name__ == "__main__":
    main()
