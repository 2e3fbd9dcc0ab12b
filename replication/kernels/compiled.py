"""Decorators that compile with numba, and the folder where machine code is kept between starts.

numba asks only whether a function's own file has changed; what it inlined from other modules may
have. So the code is kept in a folder named after the sources of all kernels: in ``NUMBA_CACHE_DIR``
if that is set, else in the user's cache folder, else in the temporary one. The package's own folder
may be read-only.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config as _numba_config

Function = TypeVar("Function", bound=Callable[..., Any])

_config: Any = _numba_config  # its attributes are made at run time
_MESSAGE = "{}: compiling for this processor, once (up to a quarter of a minute)"
_PACKAGE = Path(__file__).parents[1]
# Where what is decorated stands.
_PLACES = ("kernels", "crf/lattice")


def _sources() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for place in _PLACES:
        for path in sorted((_PACKAGE / place).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_folder() -> Path | None:
    """Return the folder for this version's machine code; None if none can be written to."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    places = [
        os.environ.get("NUMBA_CACHE_DIR"),
        Path(user) / "deeplab-v2-replication",
        Path(tempfile.gettempdir()) / f"deeplab-v2-replication-{owner}",
    ]
    for place in places:
        if not place:
            continue
        folder = Path(place) / f"kernels-{_sources()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


@contextmanager
def _kept() -> Iterator[bool]:
    """Have numba keep what is decorated meanwhile in `cache_folder`; yield whether it can."""
    folder = cache_folder()
    before = _config.CACHE_DIR
    try:
        if folder is not None:
            _config.CACHE_DIR = str(folder)
        yield folder is not None
    finally:
        _config.CACHE_DIR = before


def compiled(function: Function) -> Function:
    """Compile a kernel at its first call, or load it; it runs without Python's lock."""
    with _kept() as possible:
        result: Any = numba.njit(cache=possible, nogil=True)(function)
    return cast(Function, result)


def inlined(function: Function) -> Function:
    """Make a part of kernels: its code goes wherever it is called."""
    result: Any = numba.njit(forceinline=True)(function)
    return cast(Function, result)


def prepare(rehearse: Callable[[], object], name: str, who: str) -> None:
    """Call ``rehearse``, which uses every kernel of ``name`` once, with ``who``'s line at first.

    Should what is kept on disk turn out unreadable, it is thrown away and made again.
    """
    folder = cache_folder()
    marker = None if folder is None else folder / f"{name}.compiled"
    if marker is None or not marker.exists():
        print(_MESSAGE.format(who), file=sys.stderr, flush=True)
    try:
        rehearse()
    except Exception:
        if folder is None:
            raise
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        print(_MESSAGE.format(who), file=sys.stderr, flush=True)
        rehearse()
    if marker is not None:
        with suppress(OSError):  # then it only says so again
            marker.touch()
