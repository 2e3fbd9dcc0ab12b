"""Archives, whatever their bytes: a folder that holds what was packed, or one line and nothing."""

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from replication.data.unpack import Limits, unpack

Rounds = Callable[[], Iterator[np.random.Generator]]
Check = Callable[..., object]
Mutate = Callable[[bytes, np.random.Generator], bytes]
LIMITS = Limits(members=100, ratio=10, floor=1 << 20)


def archives() -> list[bytes]:
    """The same small tree in every packing that is read, and two with long names."""
    files = {"set/images/a.jpg": b"a" * 700, "set/labels/a.png": bytes(range(256)), "set/b": b""}
    tar = io.BytesIO()
    long = io.BytesIO()
    for stream, style in ((tar, tarfile.USTAR_FORMAT), (long, tarfile.PAX_FORMAT)):
        with tarfile.open(fileobj=stream, mode="w", format=style) as archive:
            for name, content in files.items():
                longer = f"{'d' * 120}/{name}-é" if style == tarfile.PAX_FORMAT else name
                entry = tarfile.TarInfo(longer)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    zipped = []
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", packing) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        zipped.append(stream.getvalue())
    plain = tar.getvalue()
    packed = [gzip.compress(plain), bz2.compress(plain), lzma.compress(plain)]
    return [plain, long.getvalue(), *packed, *zipped]


def test_changed_archives(
    tmp_path: Path, rounds: Rounds, mutate: Mutate, value_or_one_line: Check
) -> None:
    valid = archives()
    home = tmp_path / "home"
    home.mkdir()
    for rng in rounds():
        raw = mutate(valid[int(rng.integers(len(valid)))], rng)
        if raw[:2] == b"\x1f\x8b" and rng.random() < 0.5:  # a changed tar in a good gzip
            raw = gzip.compress(mutate(valid[0], rng))
        archive, into = home / "archive", home / "unpacked"
        archive.write_bytes(raw)
        found = value_or_one_line(unpack, archive, into, progress=False, limits=LIMITS)
        left = {path.name for path in home.iterdir() if not path.name.endswith(".lock")}
        assert left == ({"archive", "unpacked"} if found == into else {"archive"})
        assert [path.name for path in tmp_path.iterdir()] == ["home"]
        if found == into:
            files = [path for path in into.rglob("*") if not path.is_dir()]
            assert files
            assert all(path.is_file() and not path.is_symlink() for path in files)
            assert sum(path.stat().st_size for path in files) <= LIMITS.bytes(len(raw))
            shutil.rmtree(into)
