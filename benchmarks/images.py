"""The images that benchmarks work on: VOC's where they lie beside the repository, else random ones.

../shared/data/voc100 has 100 photographs of VOC with their labels, and a trained network's scores.
"""

from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "voc100"
STRIDE = 16  # of the scores
CLASSES = 21  # of the scores


def image_ids() -> list[str]:
    """Return the ids of all images; of random ones, numbers."""
    if DATA.is_dir():
        return sorted(path.stem for path in (DATA / "scores").glob("*.npz"))
    return [f"{number:03}" for number in range(100)]


def some_ids(count: int) -> list[str]:
    """Return ``count`` ids, evenly out of all."""
    everything = image_ids()
    return everything[:: max(1, len(everything) // count)][:count]


def source() -> str:
    """Return what the images are, in a word, for a row."""
    return "voc100" if DATA.is_dir() else "random"


def read(image_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Return an image's scores (21, 33, 33) at output stride 16, and its colours (H, W, 3)."""
    from PIL import Image
    from scipy import ndimage

    from replication.inference.store import read_scores

    if DATA.is_dir():
        with Image.open(DATA / "JPEGImages" / f"{image_id}.jpg") as picture:
            image = np.array(picture.convert("RGB"))
        small = read_scores(DATA / "scores" / f"{image_id}.npz", CLASSES)
    else:
        rng = np.random.default_rng(int(image_id))
        noise = ndimage.gaussian_filter(rng.normal(size=(375, 500, 3)), (8, 8, 0))
        noise = noise / noise.std() * 50 + 120 + rng.normal(scale=4, size=noise.shape)
        image = noise.clip(0, 255).astype(np.uint8)
        small = ndimage.gaussian_filter(rng.normal(size=(CLASSES, 33, 33)), (0, 3, 3)) * 60
    return small, image
