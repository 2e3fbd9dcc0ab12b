"""One archive's provenance record; `sources` holds the table of them."""

import json
import re
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
    Where no checksum is known at all, ``unverified`` says what is checked in its place.
    ``served_as`` is the publisher's name of the file, where it says too little (two publishers call
    theirs ``trainval.tar.gz``) and ``file`` is another.
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
    unverified: str = ""
    served_as: str = ""

    def __post_init__(self) -> None:
        """Refuse a record that could not work; these are our mistakes, so ValueError."""
        if not self.file or Path(self.file).name != self.file or self.file.startswith("."):
            raise ValueError(f"source `{self.name}`: `file` must be a bare name, got {self.file!r}")
        if self.size is not None and self.size <= 0:
            raise ValueError(f"source `{self.name}`: `size` must be positive, got {self.size}")
        if not (self.checksum or self.checksums or self.unverified):
            raise ValueError(
                f"source `{self.name}`: without a checksum, `unverified` must say what is checked"
            )
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
