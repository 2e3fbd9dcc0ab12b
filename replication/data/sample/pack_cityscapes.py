"""The sample's Cityscapes: rendered streets, packed as its two zips are."""

from dataclasses import dataclass

from replication.data.sample.archives import Archive, write_zip
from replication.data.sample.encode import encode_png
from replication.data.sample.street import render_street

LABELS_FILE = "gtFine_sample.zip"
IMAGES_FILE = "leftImg8bit_sample.zip"

_CITIES = {"train": ("aachen", "bochum", "zurich"), "val": ("frankfurt", "munster")}


@dataclass(frozen=True)
class Counts:
    """How many streets each split holds."""

    train: int = 60
    val: int = 30


def archives(counts: Counts, jobs: int) -> dict[str, Archive]:
    """Render all streets and return the two archives by name."""
    from joblib import Parallel, delayed

    made = Parallel(n_jobs=jobs)(delayed(_street)(k) for k in range(counts.train + counts.val))
    images, labels = {}, {}
    for k, (image, label) in enumerate(made):
        split = "train" if k < counts.train else "val"
        cities = _CITIES[split]
        city = cities[k % len(cities)]
        name = f"{split}/{city}/{city}_{k:06d}_000019"
        images[f"leftImg8bit/{name}_leftImg8bit.png"] = image
        labels[f"gtFine/{name}_gtFine_labelIds.png"] = label
    return {
        LABELS_FILE: Archive(write_zip, labels),
        IMAGES_FILE: Archive(write_zip, images),
    }


def _street(index: int) -> tuple[bytes, bytes]:
    image, label = render_street(index)
    return encode_png(image), encode_png(label)
