"""SBD, the Semantic Boundaries Dataset, as it unpacks, and train_aug, which is made from it.

    benchmark_RELEASE/dataset/{cls/ID.mat, img/ID.jpg, train.txt, val.txt}

Hariharan et al., Semantic Contours from Inverse Detectors, ICCV 2011: labels of VOC's classes for
11,355 of VOC's images, without void. The paper trains on VOC's train and these: 10,582 images.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from replication.data.canonical import IMAGE_SUFFIXES, files_by_id, read_ids
from replication.data.convert import Item
from replication.data.palette import VOC_CLASSES
from replication.data.voc import find_tree
from replication.errors import ReplicationError


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
