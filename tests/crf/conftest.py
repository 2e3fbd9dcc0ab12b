"""Made-up folders of images, scores and labels for the tests of `refine` and `search`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from replication.data.labels import write_label


@dataclass(frozen=True)
class Folders:
    """The three folders, and the ids in them."""

    root: Path
    ids: tuple[str, ...]

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def scores(self) -> Path:
        return self.root / "scores"

    @property
    def labels(self) -> Path:
        return self.root / "labels"

    def options(self, labels: bool = False) -> list[str]:
        """Return the folders as command-line options."""
        given = ["--images", str(self.images), "--scores", str(self.scores)]
        return [*given, "--labels", str(self.labels)] if labels else given


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Five images of about 30x42 pixels: coloured blobs, noisy scores at stride 8, 3 classes."""
    rng = np.random.default_rng(0)
    made = Folders(tmp_path / "mine", tuple("abcde"))
    colours = np.array([[40, 60, 90], [150, 90, 60], [90, 160, 80]])
    for folder in (made.images, made.scores, made.labels):
        folder.mkdir(parents=True)
    for number, name in enumerate(made.ids):
        height, width = 30 + number, 42 - number
        row, column = np.mgrid[:height, :width]
        label = np.zeros((height, width), np.uint8)
        label[(row - 14) ** 2 + (column - 12) ** 2 < 90] = 1
        label[(abs(row - 16) < 8) & (abs(column - 30) < 6)] = 2
        image = colours[label] + rng.normal(scale=12, size=(height, width, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(made.images / f"{name}.png")
        small = label[::8, ::8]
        small = np.pad(small, ((0, 1), (0, 1)), mode="edge")  # (h, w), reaching over the image
        scores = 2.0 * (small == np.arange(3)[:, None, None]) + rng.normal(size=(3, *small.shape))
        np.savez(made.scores / f"{name}.npz", scores=scores.astype(np.float32))
        label[abs(row - 16) + abs(column - 21) < 3] = 255
        write_label(made.labels / f"{name}.png", label)
    return made
