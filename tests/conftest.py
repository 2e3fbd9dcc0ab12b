"""Fixtures that several rooms' tests share."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before torch is imported, here and in the commands that tests start: networks as small as theirs
# gain nothing by a second thread, and lose minutes to it on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image

from replication.data.canonical import DataSet, ids_sha256
from replication.data.labels import write_label
from replication.data.palette import voc_palette

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs, labels, scores and weights; tests skip where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real photographs here: {SHARED} does not exist")
    return SHARED


@pytest.fixture
def write_dataset(tmp_path: Path) -> Callable[..., DataSet]:
    """A function that writes a canonical data set with one split, val, in the dict's order.

    ``pixels`` holds, by id, an image (H, W, 3) and a label (H, W), both uint8.
    """

    def write(
        pixels: dict[str, tuple[np.ndarray, np.ndarray]], classes: list[str], **meta: Any
    ) -> DataSet:
        root = tmp_path / "data"
        for folder in ("images", "splits"):
            (root / folder).mkdir(parents=True)
        for name, (image, label) in pixels.items():
            Image.fromarray(image).save(root / "images" / f"{name}.png")
            write_label(root / "labels" / f"{name}.png", label)
        (root / "splits" / "val.txt").write_text("".join(f"{name}\n" for name in pixels))
        described = {
            "name": "made up",
            "classes": classes,
            "palette": voc_palette().tolist(),
            "void": 255,
            "splits": {"val": {"count": len(pixels), "sha256": ids_sha256(list(pixels))}},
            "sources": [],
        }
        (root / "meta.json").write_text(json.dumps(described | meta))
        return DataSet.open(root)

    return write
