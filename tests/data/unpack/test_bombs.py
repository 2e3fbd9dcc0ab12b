"""Archives that unpack to more than a data set has: refused before they fill anything."""

import gzip
import tarfile
from pathlib import Path
from typing import Any

import pytest

from replication.data.unpack import Limits


@pytest.mark.parametrize("packer", ["tgz", "zip"])
def test_bomb_by_size(tmp_path: Path, packer: str, archives: Any) -> None:
    content = archives.packers[packer]({f"{i}": bytes(1 << 20) for i in range(4)})
    archives.refused(
        tmp_path, content, r"unpacks to more than 3,145,728 bytes", limits=Limits(floor=3 << 20)
    )


def test_bomb_in_members_that_are_not_wanted(tmp_path: Path, archives: Any) -> None:
    content = archives.packers["tgz"]({"good": b"1", "bad": bytes(4 << 20)})
    archives.refused(
        tmp_path,
        content,
        "unpacks to more than",
        limits=Limits(floor=1 << 20),
        wanted=lambda name: name == "good",
    )


def test_bomb_by_number(tmp_path: Path, archives: Any) -> None:
    archives.refused(
        tmp_path,
        archives.packers["tar"]({f"{i}": b"" for i in range(11)}),
        "more than 10 members",
        limits=Limits(members=10),
    )


def test_bomb_in_a_header(tmp_path: Path, archives: Any) -> None:
    # a pax header of 64 MiB, which tarfile would read whole
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 26
    content = (
        header.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 26) + archives.packers["tar"]({"a": b"1"})
    )
    archives.refused(tmp_path, gzip.compress(content, 1), "a header asks for 67,108,864 bytes")


def test_bomb_behind_the_end(tmp_path: Path, archives: Any) -> None:
    content = archives.packers["tar"]({"a": b"1"}) + bytes(80 << 20)
    archives.refused(
        tmp_path, gzip.compress(content, 1), "far more than", limits=Limits(floor=1 << 20, ratio=1)
    )


def test_declared_size_alone_is_enough_to_refuse(tmp_path: Path, archives: Any) -> None:
    header = tarfile.TarInfo("huge")
    header.size = 1 << 40
    archives.refused(tmp_path, header.tobuf(tarfile.GNU_FORMAT), "unpacks to more than")
