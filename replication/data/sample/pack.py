"""Pack the rendered scenes as the official archives are packed: VOC 2012's tar and SBD's tgz here.

The code that unpacks and converts the official archives then reads the sample's, unchanged. All
archives are the same to the byte when made again with the same versions of the libraries: fixed
times, owners and order. To save bytes these two leave out what semantic segmentation never reads:
`Annotations` (boxes) and `SegmentationObject` of VOC's; `inst` of SBD's, and `img`, whose pictures
VOC's `JPEGImages` holds already.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage, sparse

from replication.atomic import write_json
from replication.data.labels import encode_label
from replication.data.sample import pack_cityscapes, pack_coco, pack_pascal
from replication.data.sample.archives import Archive, write_tar, write_tgz
from replication.data.sample.encode import encode_jpeg, mat_bytes
from replication.data.sample.scenes import render as render_one
from replication.errors import ReplicationError
from replication.provenance import sha256_file

VOC_FILE = "VOCtrainval_sample.tar"
SBD_FILE = "benchmark_sample.tgz"
CHECKSUMS_FILE = "checksums.json"


@dataclass(frozen=True)
class Counts:
    """How many scenes each part holds: VOC's and SBD's here, the other sets' in their own counts.

    Some of SBD's images are VOC's as well, in train and in val: as with the official archives,
    train_aug must take VOC's label where both exist, and leave val's images out.
    """

    val: int = 200
    train: int = 200
    extra: int = 400
    extra_in_train: int = 40
    extra_in_val: int = 30
    pascal: pack_pascal.Counts = field(default_factory=pack_pascal.Counts)
    cityscapes: pack_cityscapes.Counts = field(default_factory=pack_cityscapes.Counts)
    coco: int = 120

    @property
    def scenes(self) -> int:
        """The number of different scenes of VOC and SBD."""
        return self.val + self.train + self.extra


def image_id(index: int) -> str:
    """Return the id of a scene in VOC's pattern, year and number; distinct below 10,007."""
    return f"{2007 + index % 5}_{(index * 37 + 32) % 10_007:06d}"


def split_indices(counts: Counts) -> dict[str, list[int]]:
    """Return the scenes of VOC's ``train`` and ``val`` and of ``sbd_train`` and ``sbd_val``.

    SBD splits its images its own way, which train_aug disregards: here, every fourth is val.
    """
    first_train, first_extra = counts.val, counts.val + counts.train
    sbd = [
        *range(counts.extra_in_val),
        *range(first_train, first_train + counts.extra_in_train),
        *range(first_extra, counts.scenes),
    ]
    return {
        "val": list(range(counts.val)),
        "train": list(range(first_train, first_extra)),
        "sbd_train": [scene for k, scene in enumerate(sbd) if k % 4],
        "sbd_val": sbd[::4],
    }


@dataclass(frozen=True)
class _Files:
    """One scene's files, as bytes; those that its archives do not hold are None."""

    jpeg: bytes
    label: bytes | None
    mat: bytes | None


def render(into: Path, jobs: int = 1, counts: Counts | None = None) -> dict[str, Path]:
    """Render the sample and write its archives and their checksums into a folder.

    Args:
        into: the folder, made if it is absent; files of the same names are replaced.
        jobs: processes that render side by side; the bytes do not depend on it.
        counts: how many scenes; those of `Counts` if None.

    Returns:
        The path of each file written, by name.

    Raises:
        ReplicationError: ``into`` is a file, or ``jobs`` is less than 1.
    """
    from joblib import Parallel, delayed

    if into.exists() and not into.is_dir():
        raise ReplicationError(f"{into}: a file is in the way; name a folder for the sample")
    if jobs < 1:
        raise ReplicationError(f"jobs = {jobs} is too few; give 1 or more")
    counts = counts or Counts()
    splits = split_indices(counts)
    in_voc = {*splits["train"], *splits["val"]}
    in_sbd = {*splits["sbd_train"], *splits["sbd_val"]}
    made = Parallel(n_jobs=jobs)(
        delayed(_scene_files)(k, k in in_voc, k in in_sbd) for k in range(counts.scenes)
    )
    files: dict[str, _Files] = {image_id(k): scene for k, scene in enumerate(made)}
    ids = {split: sorted(image_id(k) for k in scenes) for split, scenes in splits.items()}

    archives = {
        VOC_FILE: Archive(write_tar, _voc_members(files, ids)),
        SBD_FILE: Archive(write_tgz, _sbd_members(files, ids)),
        **pack_pascal.archives(counts.pascal, jobs),
        **pack_cityscapes.archives(counts.cityscapes, jobs),
        **pack_coco.archives(counts.coco, jobs),
    }
    paths = {name: into / name for name in (*archives, CHECKSUMS_FILE)}
    for name, archive in archives.items():
        archive.write(paths[name], archive.members)
    write_json(
        paths[CHECKSUMS_FILE],
        {
            name: {"sha256": sha256_file(paths[name]), "size": paths[name].stat().st_size}
            for name in archives
        },
    )
    return paths


def _scene_files(index: int, in_voc: bool, in_sbd: bool) -> _Files:
    scene = render_one("sample", index)
    return _Files(
        jpeg=encode_jpeg(scene.image),
        label=encode_label(scene.label) if in_voc else None,
        mat=encode_mat(scene.classes) if in_sbd else None,
    )


def encode_mat(classes: UInt8[np.ndarray, "H W"]) -> bytes:
    """Return SBD's MATLAB file of a label map (0..20, no void).

    The struct `GTcls` has the official fields: `Segmentation` (uint8), `CategoriesPresent` (uint8
    column) and `Boundaries` (20 x 1 cell of sparse logical maps, one pixel wide).
    """
    boundaries = np.empty((20, 1), dtype=object)
    for k in range(20):
        inside = classes == k + 1
        boundaries[k, 0] = sparse.csc_array(inside & ~ndimage.binary_erosion(inside))
    present = np.setdiff1d(classes, [0]).astype(np.uint8)
    fields = {
        "Boundaries": boundaries,
        "Segmentation": classes,
        "CategoriesPresent": present[:, None],
    }
    return mat_bytes({"GTcls": fields}, "SBD")


def _lines(ids: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in ids).encode()


def _voc_members(files: dict[str, _Files], ids: dict[str, list[str]]) -> dict[str, bytes]:
    """Return the contents of VOC's tar by path."""
    root = "VOCdevkit/VOC2012"
    members = {f"{root}/JPEGImages/{name}.jpg": scene.jpeg for name, scene in files.items()}
    for name, scene in files.items():
        if scene.label is not None:
            members[f"{root}/SegmentationClass/{name}.png"] = scene.label
    lists = {k: ids[k] for k in ("train", "val")} | {"trainval": sorted(ids["train"] + ids["val"])}
    for split, names in lists.items():
        members[f"{root}/ImageSets/Segmentation/{split}.txt"] = _lines(names)
    return members


def _sbd_members(files: dict[str, _Files], ids: dict[str, list[str]]) -> dict[str, bytes]:
    """Return the contents of SBD's tar by path."""
    root = "benchmark_RELEASE/dataset"
    members = {f"{root}/cls/{name}.mat": scene.mat for name, scene in files.items() if scene.mat}
    members |= {f"{root}/{k}.txt": _lines(ids[f"sbd_{k}"]) for k in ("train", "val")}
    return members
