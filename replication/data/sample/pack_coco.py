"""The sample's COCO: scenes that no other archive holds, polygons and run lengths in its json."""

import json
from typing import Any

import numpy as np
from jaxtyping import Bool

from replication.data.classes import COCO_CATEGORIES, COCO_TO_VOC
from replication.data.sample.archives import Archive, write_zip
from replication.data.sample.encode import encode_jpeg
from replication.data.sample.scenes import Scene, render

IMAGES_FILE = "train2014_sample.zip"
ANNOTATIONS_FILE = "annotations_sample.zip"

_FIRST = 20_000  # scenes that no other archive of the sample holds
_EVERY = 9  # so many annotations, one is a run-length code, as COCO's crowds are
_CATEGORIES = {number: name for name, number in COCO_TO_VOC.items()}


def archives(count: int, jobs: int) -> dict[str, Archive]:
    """Render ``count`` images and return the two archives by name."""
    from joblib import Parallel, delayed

    made = Parallel(n_jobs=jobs)(delayed(_image)(k) for k in range(count))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    files = {}
    for number, (jpeg, (height, width), masks) in enumerate(made, start=1):
        file = f"COCO_train2014_{number:012d}.jpg"
        files[f"train2014/{file}"] = jpeg
        images.append({"id": number, "file_name": file, "height": height, "width": width})
        for one in masks:
            annotations.append({"id": len(annotations) + 1, "image_id": number, **one})
    content = {
        "info": {"description": "rendered sample in the layout of COCO 2014", "year": 2014},
        "images": images,
        "categories": [{"id": _number(n), "name": n} for n in COCO_CATEGORIES],
        "annotations": annotations,
    }
    text = json.dumps(content, separators=(",", ":")).encode()
    return {
        IMAGES_FILE: Archive(write_zip, files),
        ANNOTATIONS_FILE: Archive(write_zip, {"annotations/instances_train2014.json": text}),
    }


def _number(category: str) -> int:
    """Return a category's number; the sample's have no gaps, which nothing may count on."""
    return COCO_CATEGORIES.index(category) + 1


def _image(index: int) -> tuple[bytes, tuple[int, int], list[dict[str, Any]]]:
    scene = render("sample", _FIRST + index)
    return encode_jpeg(scene.image), scene.objects.shape, _annotations(scene, index)


def _annotations(scene: Scene, index: int) -> list[dict[str, Any]]:
    found = []
    for number, kind in enumerate(scene.kinds, start=1):
        inside = scene.objects == number
        if not inside.any():
            continue
        crowd = (index + number) % _EVERY == 0
        found.append(
            {
                "category_id": _number(_CATEGORIES[kind]),
                "iscrowd": int(crowd),
                "area": int(inside.sum()),
                "segmentation": run_lengths(inside) if crowd else polygons(inside),
            }
        )
    return found


def polygons(inside: Bool[np.ndarray, "H W"]) -> list[list[float]]:
    """Return a mask's outer contours, [x, y, x, y, ...] in pixels, holes left out as COCO does.

    A contour runs half-way between pixels in and out, and has every second point of that: still
    finer than a hand draws. Single pixels and lines may be lost.
    """
    from contourpy import FillType, contour_generator

    framed = np.pad(inside, 1).astype(np.float64)
    filled = contour_generator(z=framed, fill_type=FillType.OuterOffset).filled(0.5, 2.0)
    outer = []
    for points, offsets in zip(*filled, strict=True):
        ring = points[: offsets[1] - 1] - 0.5  # (points, 2); the frame is one pixel, centres half
        ring = ring[::2] if len(ring) > 8 else ring
        outer.append([round(float(v), 1) for v in ring.ravel()])
    return outer


def run_lengths(inside: Bool[np.ndarray, "H W"]) -> dict[str, Any]:
    """Return a mask's run lengths, column by column, zeros first."""
    flat = np.concatenate([[False], inside.T.ravel(), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff([0, *edges.tolist(), inside.size])
    if counts[-1] == 0:
        counts = counts[:-1]
    return {"size": list(inside.shape), "counts": counts.tolist()}
