"""From any source to the canonical layout: every image decoded, every label checked, then written.

Adaptors say which file holds what (`Item`); this module opens the files, in threads (Pillow lets
go of the interpreter's lock while it decodes), and writes folder, lists and meta.json.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from tqdm import tqdm

from replication.atomic import write_json, write_text
from replication.data.canonical import FORMAT, content_sha256, ids_sha256
from replication.data.guard import shared_content
from replication.data.labels import VOID, decode_image, encode_label
from replication.data.palette import voc_palette
from replication.errors import ReplicationError

_MOST_ERRORS = 20


@dataclass(frozen=True)
class Item:
    """One image of a source.

    Attributes:
        name: its id.
        image: the photograph's file.
        label: the label's file.
        read: reads the label's file, given the number of classes (None: unchecked), as uint8
            (H, W); raises ReplicationError on a bad one.
        redraw: turns the photograph's bytes into those to keep, in the same format (Cityscapes at
            half resolution); None keeps the file as it is.
    """

    name: str
    image: Path
    label: Path
    read: Callable[[Path, int | None], UInt8[np.ndarray, "H W"]]
    redraw: Callable[[Path, bytes], bytes] | None = None


@dataclass(frozen=True)
class Seen:
    """What was seen of one item: size in pixels, pixels by label value, hashes."""

    name: str
    size: tuple[int, int]
    pixels: Int64[np.ndarray, "256"]
    image_sha256: str
    label_sha256: str


def convert(
    item: Item,
    into: Path,
    num_classes: int | None,
    links: Path | None,
    palette: UInt8[np.ndarray, "256 3"] | None = None,
) -> Seen:
    """Check one item and write it to `into`/images and `into`/labels.

    Args:
        item: the files.
        into: a folder of ours that nobody reads yet, so files go straight to their names.
        num_classes: as `labels.read_label`.
        links: images under this folder (our own unpacking) are hard-linked; others are copied,
            since a link would let a later change to the user's file reach into prepared data.
        palette: uint8 (256, 3), the label's colours; VOC's if None.

    Raises:
        ReplicationError: image or label can't be read, or their sizes differ.
    """
    try:
        raw = item.image.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise ReplicationError(f"{item.image}: the image can't be read ({reason})") from None
    if item.redraw is not None:
        raw = item.redraw(item.image, raw)
    height, width = decode_image(item.image, raw).shape[:2]
    label = item.read(item.label, num_classes)  # (H, W)
    if label.shape != (height, width):
        raise ReplicationError(_sizes_differ(item, (height, width), label.shape))
    suffix = ".png" if item.image.suffix.lower() == ".png" else ".jpg"
    image = into / "images" / f"{item.name}{suffix}"
    ours = links is not None and item.redraw is None and item.image.is_relative_to(links)
    if not ours or not _linked(item.image, image):
        image.write_bytes(raw)
    (into / "labels" / f"{item.name}.png").write_bytes(encode_label(label, palette))
    return Seen(
        name=item.name,
        size=(height, width),
        pixels=np.bincount(label.ravel(), minlength=256),
        image_sha256=hashlib.sha256(raw).hexdigest(),
        label_sha256=hashlib.sha256(label.tobytes()).hexdigest(),
    )


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _sizes_differ(item: Item, image: tuple[int, int], label: tuple[int, ...]) -> str:
    turned = label == image[::-1]
    cure = (
        "the image's EXIF rotation is not applied: store it upright"
        if turned
        else "draw the label on the image as stored"
    )
    return (
        f"{item.label}: the label is {label[1]}x{label[0]} pixels, its image {item.image.name}"
        f" {image[1]}x{image[0]}; {cure}"
    )


def convert_all(
    items: Iterable[Item],
    into: Path,
    num_classes: int | None,
    *,
    links: Path | None,
    progress: bool,
    palette: UInt8[np.ndarray, "256 3"] | None = None,
) -> dict[str, Seen]:
    """Convert items in threads; returns what was seen by id, in the items' order.

    Arguments as `convert`.

    Raises:
        ReplicationError: the first bad file, and how many others were met: a person who mends a
            folder wants to hear of all of them at once.
    """
    items = list(items)
    for folder in ("images", "labels", "splits"):
        (into / folder).mkdir(parents=True)
    seen: dict[str, Seen] = {}
    errors: list[str] = []

    def one(item: Item) -> Seen | ReplicationError:
        try:
            return convert(item, into, num_classes, links, palette)
        except ReplicationError as error:
            return error

    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        results = tqdm(
            pool.map(one, items),
            total=len(items),
            desc="prepare",
            unit="image",
            disable=not progress,
        )
        for result in results:
            if isinstance(result, Seen):
                seen[result.name] = result
                continue
            errors.append(str(result))
            if len(errors) == _MOST_ERRORS:
                break
    finally:
        pool.shutdown(cancel_futures=True)
    if errors:
        raise ReplicationError(_together(errors))
    return seen


def _together(errors: list[str]) -> str:
    if len(errors) == 1:
        return errors[0]
    others = [Path(error.split(": ", 1)[0]).name for error in errors[1:]]
    named = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
    more = "at least " if len(errors) == _MOST_ERRORS else ""
    return f"{errors[0]} ({more}{len(others)} more bad files: {named})"


def class_names(seen: Mapping[str, Seen]) -> tuple[str, ...]:
    """Name the classes `class_0`, `class_1`, ... up to the largest label seen.

    Raises:
        ReplicationError: every pixel is void.
    """
    pixels = sum((one.pixels for one in seen.values()), np.zeros(256, np.int64))
    used = np.flatnonzero(pixels[:VOID])
    if not used.size:
        raise ReplicationError(f"every label is void ({VOID}) throughout; label something")
    return tuple(f"class_{value}" for value in range(int(used[-1]) + 1))


def write_lists(
    into: Path,
    *,
    name: str,
    classes: tuple[str, ...],
    splits: Mapping[str, list[str]],
    seen: Mapping[str, Seen],
    sources: list[dict[str, Any]],
    palette: UInt8[np.ndarray, "256 3"] | None = None,
) -> dict[str, Any]:
    """Write splits/*.txt and, last, meta.json; returns the latter.

    meta.json holds no time and no path, so that the same sources give the same bytes. ``sources``
    are kept as given. `shared_images` lists pairs [training id, val id] whose files are identical.
    """
    for split, ids in splits.items():
        write_text(into / "splits" / f"{split}.txt", "".join(f"{i}\n" for i in ids))
    sizes = np.array([one.size for one in seen.values()])  # (images, 2)
    hashes = {split: {i: seen[i].image_sha256 for i in ids} for split, ids in splits.items()}
    shared = [
        pair
        for split in splits
        if split != "val"
        for pair in shared_content(hashes[split], hashes.get("val", {}))
    ]
    meta = {
        "format": FORMAT,
        "name": name,
        "classes": list(classes),
        "palette": (voc_palette() if palette is None else palette).tolist(),
        "void": VOID,
        "images": len(seen),
        "largest": {"height": int(sizes[:, 0].max()), "width": int(sizes[:, 1].max())},
        "splits": {split: _split(ids, seen, len(classes)) for split, ids in splits.items()},
        "shared_images": [list(pair) for pair in sorted({tuple(pair) for pair in shared})],
        "sources": sources,
    }
    write_json(into / "meta.json", meta)
    return meta


def _split(ids: list[str], seen: Mapping[str, Seen], num_classes: int) -> dict[str, Any]:
    """Describe a split: ids, content, pixels by class."""
    pixels = sum((seen[i].pixels for i in ids), np.zeros(256, np.int64))
    hashes = ((i, seen[i].image_sha256, seen[i].label_sha256) for i in ids)
    return {
        "count": len(ids),
        "sha256": ids_sha256(ids),
        "content_sha256": content_sha256(hashes),
        "void_pixels": int(pixels[VOID]),
        "class_pixels": pixels[:num_classes].tolist(),
    }
