"""Pack label maps as a test server takes them, and look whether the archive is as it should be."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from replication.atomic import atomic_path
from replication.data.labels import encode_label, read_label
from replication.errors import ReplicationError
from replication.submit.servers import Server

# A zip's earliest date, and none in the tar: equal label maps give equal archives.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def encode(label: UInt8[np.ndarray, "H W"], server: Server) -> bytes:
    """Return a label map of our ids as the PNG that the server reads."""
    values = server.values[label]
    if server.palette is not None:
        return encode_label(values, server.palette)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, format="PNG")
    return stream.getvalue()


def pack(server: Server, images: Sequence[Path], labels: Path, out: Path) -> None:
    """Write the archive of the label maps ``labels``/NAME.png of all ``images``.

    Raises:
        ReplicationError: a label map is missing, broken, or of another size than its image.
    """
    with atomic_path(out) as part:
        if server.suffix == ".zip":
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, raw in _members(server, images, labels):
                    archive.writestr(zipfile.ZipInfo(name, _EPOCH), raw)
        else:
            with (
                part.open("wb") as file,
                gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream,
                tarfile.open(fileobj=stream, mode="w") as tar,
            ):
                for name, raw in _members(server, images, labels):
                    member = tarfile.TarInfo(name)
                    member.size = len(raw)
                    tar.addfile(member, io.BytesIO(raw))


def _members(server: Server, images: Sequence[Path], labels: Path) -> Iterator[tuple[str, bytes]]:
    for image in tqdm(images, desc="pack", unit="image", disable=None):
        path = labels / f"{image.stem}.png"
        label = read_label(path, len(server.classes))
        if (label == 255).any():
            raise ReplicationError(f"{path}: holds void pixels; predict it again")
        height, width = label.shape
        if (width, height) != _size(image):
            raise ReplicationError(
                f"{path} is {width} x {height}, and {image} {_size(image)}; predict it again"
            )
        yield server.member(image), encode(label, server)


def _size(image: Path) -> tuple[int, int]:
    with Image.open(image) as opened:
        return opened.size


def check(server: Server, images: Sequence[Path], out: Path) -> None:
    """Read the archive as the server will: names, sizes, values, colours.

    Raises:
        ReplicationError: names the first member that is missing, too many, or wrong.
    """
    wanted = {server.member(image): image for image in images}
    seen: set[str] = set()
    for name, raw in _read(server, out):
        if name not in wanted or name in seen:
            raise ReplicationError(f"{out}: {name} is not asked for, or stands there twice")
        seen.add(name)
        with Image.open(io.BytesIO(raw)) as picture:
            mode = "L" if server.palette is None else "P"
            if picture.mode != mode or picture.size != _size(wanted[name]):
                raise ReplicationError(
                    f"{out}: {name} is {picture.mode} {picture.size}; it must be {mode} "
                    f"{_size(wanted[name])}"
                )
            values = np.unique(np.asarray(picture))
            strange = values[~np.isin(values, server.values)]
            if strange.size:
                raise ReplicationError(f"{out}: {name} holds {strange[0]}, which is no class")
    if missing := sorted(set(wanted) - seen):
        raise ReplicationError(f"{out}: {len(missing)} label maps are missing, {missing[0]} first")


def _read(server: Server, out: Path) -> Iterator[tuple[str, bytes]]:
    if server.suffix == ".zip":
        with zipfile.ZipFile(out) as archive:
            for entry in archive.infolist():
                yield entry.filename, archive.read(entry)
        return
    with tarfile.open(out, "r:gz") as tar:
        for member in tar:
            stream = tar.extractfile(member)
            yield member.name, stream.read() if stream is not None else b""
