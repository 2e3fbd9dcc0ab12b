"""Bring an archive here, verified: from the user's own copy, or from its addresses in turn.

An archive has its final name only once its size and checksum are right; until then it is a
``.part`` file, which the next call continues. So a file under its final name is whole.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import unquote, urlsplit

from replication.data import verify
from replication.data.download import Policy, download
from replication.data.locks import exclusive
from replication.data.part import AddressFailed, Bar, Target, cannot_write, write
from replication.data.sources import Source
from replication.errors import ReplicationError

__all__ = ["Fetched", "Policy", "fetch"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fetched:
    """An archive that is here and verified, or a folder that the user says is its contents.

    ``origin`` is the address that gave it, ``"present"`` if it was here already, or ``"given"`` if
    it is the user's. ``sha256`` and ``size`` (bytes) are None for a folder, of which nothing has
    been checked but that it is not empty: adaptors look whether it holds what they need.
    """

    source: Source
    path: Path
    kind: Literal["archive", "folder"]
    origin: str
    sha256: str | None = None
    size: int | None = None

    def record(self) -> dict[str, Any]:
        """Describe the archive for ``meta.json``: the same wherever the bytes came from.

        Which mirror answered and where a folder lies are left out, so that the canonical data's
        hash depends on the archive alone.
        """
        return {
            "name": self.source.name,
            "title": self.source.title,
            "file": self.source.file,
            "kind": self.kind,
            "sha256": self.sha256,
            "size": self.size,
            "checksum": self.source.checksum if self.kind == "archive" else None,
            "address": self.source.address,
            "licence": self.source.licence,
            "citation": self.source.citation,
            "homepage": self.source.homepage,
        }


def fetch(
    source: Source,
    into: Path,
    *,
    root: Path,
    given: Path | None = None,
    progress: bool = True,
    policy: Policy | None = None,
) -> Fetched:
    """Return ``source``'s archive, verified; download it to ``into/<source.file>`` if need be.

    Args:
        source: the provenance record, from :mod:`replication.data.sources`.
        into: the folder of archives, made if absent.
        root: the repository root, to which addresses without a scheme and ``given`` are relative.
        given: the user's own archive file or unpacked folder (``data.archives.<name>`` of
            params.yaml). Used where it lies; a file is verified, never copied or changed.
        progress: whether to draw a progress bar, where there is a terminal.
        policy: time limits and retries.

    Of several processes that fetch the same archive, one works and the others wait for it.

    Raises:
        ReplicationError: the given file is absent or not the archive; the disk is full; or every
            address failed, each of which is then listed with its reason.
    """
    source = source.resolved(root)
    if given is not None:
        path = root / given.expanduser()
        try:
            return _given(source, path, into, progress)
        except OSError as error:
            raise ReplicationError(
                f"can't use `{path}`, which {source.setting} in params.yaml names: {error}; "
                "mend its permissions or name another"
            ) from None
    final = into / source.file
    with exclusive(final):
        found = _present(source, final, progress)
        if found is not None:
            return Fetched(source, final, "archive", "present", found.sha256, found.size)
        target = Target(
            into / f"{source.file}.part", source.size, source.setting, source.checksum is not None
        )
        patience = policy or Policy()
        failures: list[str] = []
        login = False
        for address in source.addresses:
            try:
                found = _from_address(
                    address, source, target, root=root, policy=patience, progress=progress
                )
            except AddressFailed as error:
                failures.append(f"{address} {error}")
                login = login or error.login
            except OSError as error:
                raise cannot_write(target, error) from None
            else:
                _install(target, final, found)
                return Fetched(source, final, "archive", address, found.sha256, found.size)
    raise ReplicationError(_all_failed(source, into, failures, login))


def _given(source: Source, path: Path, into: Path, progress: bool) -> Fetched:
    """Take the user's own archive or folder; raise ReplicationError if it can't be that."""
    if path.is_dir():
        if next(path.iterdir(), None) is None:
            raise ReplicationError(
                f"{source.setting} in params.yaml names `{path}`, an empty folder: give the folder "
                f"that `{source.file}` unpacks to, or the archive itself"
            )
        return Fetched(source, path, "folder", "given")
    if not path.is_file():
        raise ReplicationError(
            f"{source.setting} in params.yaml names `{path}`, which does not exist: correct it, or "
            f"set it to null to download `{source.file}`"
        )
    memory = into / f".{source.file}.given.verified"
    found = verify.recall(memory, path, source)
    if found is None:
        why = _wrong_size(source, path)
        if why is None:
            found = verify.digest(path, source.checksum, progress=progress)
            why = found.mismatch(source)
        if why is not None or found is None:
            raise ReplicationError(
                f"{source.setting} in params.yaml names `{path}`, which is not the published "
                f"`{source.file}`: {why}; get it again, or give the unpacked folder if you packed "
                "it yourself"
            )
        verify.remember(memory, path, found)
    return Fetched(source, path, "archive", "given", found.sha256, found.size)


def _wrong_size(source: Source, path: Path) -> str | None:
    """Return how the file's size is wrong, which costs no reading, or None."""
    size = path.stat().st_size
    return verify.Digest(size, "", source.checksum).mismatch(source)


def _present(source: Source, final: Path, progress: bool) -> verify.Digest | None:
    """Return the digests of the archive that is here already, or None if it must be fetched.

    A wrong file of that name stays until a right one takes its place.
    """
    memory = _memory(final)
    found = verify.recall(memory, final, source)
    if found is not None or not final.is_file():
        return found
    why = _wrong_size(source, final)
    if why is None:
        found = verify.digest(final, source.checksum, progress=progress)
        why = found.mismatch(source)
        if why is None:
            verify.remember(memory, final, found)
            return found
    _log.warning("`%s` is not the archive (%s): fetching it again", final, why)
    return None


def _memory(final: Path) -> Path:
    return final.with_name(f".{final.name}.verified")


def _from_address(
    address: str, source: Source, target: Target, *, root: Path, policy: Policy, progress: bool
) -> verify.Digest:
    """Bring the file from one address into the part file and verify it, or raise AddressFailed.

    A part that was begun before may hold wrong bytes through no fault of this address: it is then
    deleted and the address gets a second, fresh try.
    """
    from tqdm import tqdm

    while True:
        continued = target.held > 0
        with tqdm(
            desc=source.file,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            disable=None if progress else True,
        ) as bar:
            local = _local(address, root)
            if local is None:
                download(address, target, policy, bar)
            else:
                _copy(local, target, bar)
        found = verify.digest(target.part, source.checksum, progress=progress)
        why = found.mismatch(source)
        if why is None:
            return found
        target.discard()
        if not continued:
            raise AddressFailed(f"sent another file: {why}")


def _local(address: str, root: Path) -> Path | None:
    """Return the path that an address names, or None if it is for the network."""
    if address.startswith("file://"):
        return Path(unquote(urlsplit(address).path))
    return None if "://" in address else root / address


def _copy(path: Path, target: Target, bar: Bar) -> None:
    """Copy a file on this machine into the part file, from its beginning."""
    target.discard()
    if not path.is_file():
        raise AddressFailed("does not exist")
    try:
        stream = path.open("rb")
    except OSError as error:
        raise AddressFailed(f"can't be read: {error}") from None
    with stream:
        write(target, _chunks(stream), 0, path.stat().st_size, bar)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(1 << 20):
        yield chunk


def _install(target: Target, final: Path, found: verify.Digest) -> None:
    """Give the verified part its final name, on disk before the rename."""
    with target.part.open("rb") as stream:
        os.fsync(stream.fileno())
    target.part.replace(final)
    target.notes.unlink(missing_ok=True)
    verify.remember(_memory(final), final, found)


def _all_failed(source: Source, into: Path, failures: list[str], login: bool) -> str:
    """Word the error that lists each address and what to do instead."""
    tried = "; ".join(failures) or "it has no public address"
    renamed = f" as `{source.file}`" if source.served_as else ""
    put = f"put it into `{into}`{renamed}, or " if source.login or source.served_as else ""
    cures = [
        f"it needs a login: {source.login}" if source.login else "",
        f"a login may be needed: see {source.homepage}" if login and not source.login else "",
        source.hint,
        f"get it yourself and {put}set {source.setting} in params.yaml to the file or unpacked"
        " folder",
    ]
    cure = "; or ".join(filter(None, cures))
    return f"`{source.file}` ({source.name}) could not be fetched: {tried}. To go on, {cure}"
