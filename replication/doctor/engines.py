"""The CRF's engines: numba with a folder for its machine code, and pydensecrf."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from replication.doctor.finding import Finding
from replication.doctor.versions import SETUP, version
from replication.plan import Settings


def numba() -> Iterator[Finding]:
    """See whether numba can be loaded, and keep what it compiles."""
    try:
        from replication.kernels.compiled import cache_folder

        folder = cache_folder()
    except (ImportError, OSError, RuntimeError) as error:
        yield Finding("wrong", "numba", f"can't be loaded ({error})", SETUP)
        return
    said = str(version("numba"))
    if folder is None:
        cure = "set NUMBA_CACHE_DIR to a folder that can be written to"
        said += "; no folder for machine code: it is compiled at every start, some 15 seconds"
        yield Finding("note", "numba", said, cure)
    else:
        yield Finding("ok", "numba", f"{said}; machine code is kept in {folder}")


def pydensecrf(settings: Settings | None) -> Iterator[Finding]:
    """See whether the authors' engine is there; only `crf.engine: pydensecrf` needs it."""
    wanted = settings is not None and settings.params.crf.engine == "pydensecrf"
    try:
        import_module("pydensecrf.densecrf")
    except (ImportError, ValueError) as error:  # ValueError: built for another numpy
        missing = version("pydensecrf2") is None
        said = "not installed" if missing else f"can't be loaded ({error})"
        cure = "install a C++ compiler, then `rm .venv/.ready; make setup`"
        if wanted:
            yield Finding("wrong", "pydensecrf", said, f"{cure}; or set `crf.engine: lattice`")
        else:
            yield Finding("note", "pydensecrf", f"{said}; the engine lattice needs it not", cure)
        return
    yield Finding("ok", "pydensecrf", str(version("pydensecrf2")))
