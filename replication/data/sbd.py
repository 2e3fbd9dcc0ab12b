"""SBD, the Semantic Boundaries Dataset, as it unpacks, and train_aug, which is made from it.

    benchmark_RELEASE/dataset/{cls/ID.mat, img/ID.jpg, train.txt, val.txt}

Hariharan et al., Semantic Contours from Inverse Detectors, ICCV 2011: labels of VOC's classes for
11,355 of VOC's images, without void. The paper trains on VOC's train and these: 10,582 images.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from replication.data.building import without
from replication.data.canonical import IMAGE_SUFFIXES, files_by_id, read_ids
from replication.data.convert import Item
from replication.data.palette import VOC_CLASSES
from replication.data.prepare import Found, Splits, Work, ids_of
from replication.data.voc import (
    EXPECTED,
    IMAGES,
    check_expected,
    find_tree,
    find_voc,
    voc_ids,
    voc_items,
)
from replication.errors import ReplicationError

# Instances, boxes and actions: no class labels, but tens of thousands of files.
_VOC_SKIPPED = ("Annotations", "SegmentationObject", "Action", "Layout", "Main")
_SBD_SKIPPED = ("inst",)


def find_sbd(root: Path) -> Path:
    """Return the folder of `cls`, `train.txt` and `val.txt` at or below ``root``."""
    return find_tree(
        root, ("cls", "train.txt", "val.txt"), what="SBD (its benchmark_RELEASE/dataset)"
    )


def sbd_ids(tree: Path) -> list[str]:
    """Return the ids of SBD's train, then of its val; an id in both is an error.

    SBD's own split plays no part in train_aug: its val and VOC's are different images.
    """
    train, val = read_ids(tree / "train.txt"), read_ids(tree / "val.txt")
    both = sorted(set(train) & set(val))
    if both:
        raise ReplicationError(
            f"{tree / 'val.txt'}: id `{both[0]}` is in train.txt as well; keep it in one"
        )
    return train + val


def derive_trainaug(train: Iterable[str], sbd: Iterable[str], val: Iterable[str]) -> list[str]:
    """Return train_aug, sorted: VOC's train and all of SBD, without VOC's val."""
    return sorted((set(train) | set(sbd)) - set(val))


def read_sbd_label(path: Path, num_classes: int | None = None) -> UInt8[np.ndarray, "H W"]:
    """Read `GTcls.Segmentation` of an SBD .mat file.

    Args:
        path: MATLAB 5 file with the struct `GTcls`.
        num_classes: values must be in 0..num_classes-1; VOC's 21 if None. SBD has no void.

    Returns:
        uint8 (H, W).

    Raises:
        ReplicationError: the file is missing, broken, of another structure, or holds another value.
    """
    from scipy.io import loadmat  # 0.2 s that only this conversion needs

    again = "unpack the SBD archive again"
    if not path.is_file():
        raise ReplicationError(f"{path}: there is no such SBD label; {again}")
    try:
        truth = loadmat(path, appendmat=False, variable_names=["GTcls"])["GTcls"]
        label = np.asarray(truth[0, 0]["Segmentation"])
    except Exception as error:  # scipy's reader fails on broken bytes in a dozen ways
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ReplicationError(f"{path}: the SBD label is broken ({reason}); {again}") from None
    if label.ndim != 2 or label.dtype.kind not in "iuf" or label.size == 0:
        raise ReplicationError(
            f"{path}: GTcls.Segmentation is {label.dtype} {label.shape}, not a map of classes;"
            f" {again}"
        )
    classes = num_classes or len(VOC_CLASSES)
    wrong = label[~np.isin(label, np.arange(classes))]
    if wrong.size:
        raise ReplicationError(
            f"{path}: GTcls.Segmentation holds the value {wrong[0]} ({wrong.size} pixels are"
            f" outside 0..{classes - 1}); {again}"
        )
    return label.astype(np.uint8)


def sbd_items(tree: Path, ids: Iterable[str], voc_images: Path | None) -> dict[str, Item]:
    """Return image and .mat label of each id.

    Args:
        tree: as `find_sbd` returns it.
        ids: ids that SBD labels.
        voc_images: VOC's JPEGImages, whose file is preferred to SBD's own copy: VOC's is the
            image that the rest of the field trains on.

    Raises:
        ReplicationError: names the first id without image or label.
    """
    images = files_by_id(tree / "img", IMAGE_SUFFIXES) if (tree / "img").is_dir() else {}
    if voc_images is not None:
        images |= files_by_id(voc_images, IMAGE_SUFFIXES)
    labels = files_by_id(tree / "cls", (".mat",))
    items = {}
    for name in ids:
        if name not in labels:
            raise ReplicationError(
                f"{tree / 'cls'}: no {name}.mat for a listed id; unpack the SBD archive again"
            )
        if name not in images:
            raise ReplicationError(
                f"{tree / 'img'}: no image for listed id `{name}`, nor in VOC's JPEGImages;"
                " unpack the archives again"
            )
        items[name] = Item(name, images[name], labels[name], read_sbd_label)
    return items


def read_trainaug(voc: Path, sbd: Path | None, work: Work) -> Found:
    """Read VOC 2012 with SBD: splits train, trainaug and val, 21 classes.

    trainaug is VOC's train and all of SBD without VOC's val; where both label an image, VOC's
    label is used (recipe.md, Data). Without ``sbd`` there is no trainaug. The official archives
    must give the three official lists, by count and hash.

    Args:
        voc: the trainval archive, or the folder that it unpacks to (or one above).
        sbd: SBD's archive or folder, likewise.
        work: as `prepare` gives it.

    Raises:
        ReplicationError: names the file that is wrong, with its cure.
    """
    tree = find_voc(work.unpacked(voc, "voc", without(*_VOC_SKIPPED)))
    splits = {split: voc_ids(tree, split) for split in ("train", "val")}
    sbd_tree = None
    if sbd is not None:
        sbd_tree = find_sbd(work.unpacked(sbd, "sbd", without(*_SBD_SKIPPED)))
        splits["trainaug"] = derive_trainaug(splits["train"], sbd_ids(sbd_tree), splits["val"])
    for split, ids in splits.items():
        check_expected(split, ids, EXPECTED[split] if work.official else None)
    by_voc = {*splits["train"], *splits["val"]}

    def items(wanted: Splits) -> dict[str, Item]:
        ids = ids_of(wanted)
        found = voc_items(tree, (i for i in ids if i in by_voc))
        if sbd_tree is not None:
            found |= sbd_items(sbd_tree, [i for i in ids if i not in by_voc], tree / IMAGES)
        return found

    return Found(splits, items, VOC_CLASSES)
