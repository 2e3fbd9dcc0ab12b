"""Archives, then the canonical layout: the stages `fetch` and `prepare`, for each data set."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replication.atomic import write_json
from replication.errors import ReplicationError
from replication.plan import Settings
from replication.stages.left_out import left_out

if TYPE_CHECKING:
    from replication.data.canonical import DataSet


def fetch(settings: Settings, data: str) -> None:
    """Bring the archives of a data set here, verified: addresses -> archives/.

    Two data sets may be made from one archive: the second links to the first one's.
    """
    from replication.data.fetch import fetch as fetch_one
    from replication.data.sets import get_set
    from replication.data.sources import get_source

    kind, into = settings.profile.data, settings.place("archives", data)
    if left_out(settings.leaves_out_data(data), into):
        return
    given = settings.params.data.archives.model_dump()
    sources = [] if kind == "folder" else get_set(data).sources(sample=kind == "sample")
    listed = []
    for name in sources:
        source, own = get_source(name), given.get(name)
        if own is None:
            others = (settings.place("archives", other) for other in settings.experiments.datasets)
            _link(into / source.file, [other / source.file for other in others])
        fetched = fetch_one(source, into, root=settings.root, given=Path(own) if own else None)
        listed.append({"path": str(fetched.path), "record": fetched.record()})
    write_json(into / "fetched.json", listed)


def _link(path: Path, elsewhere: list[Path]) -> None:
    """Give another data set's archive a second name here; what is in it is verified later."""
    for other in elsewhere:
        if other.is_file() and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # a file system without links: it is downloaded
                path.hardlink_to(other)


def prepare(settings: Settings, data: str) -> None:
    """Bring archives, or the user's own folder, into the canonical layout -> datasets/.

    One process at a time prepares a data set: it deletes what stood there.
    """
    from replication.data.locks import alone

    into = settings.place("datasets", data)
    if (reason := settings.leaves_out_data(data)) is not None:
        write_json(into / "meta.json", {"left_out": reason})  # the file that later stages wait for
        return
    with alone(into, f"prepare data set {data!r}"):
        _prepare(settings, data, into)


def _prepare(settings: Settings, data: str, into: Path) -> None:
    from replication.data.folder import prepare_folder
    from replication.data.sets import prepare_set

    if settings.profile.data == "folder":
        folder = settings.params.data.folder
        assert folder is not None  # settings.load has seen to it
        prepare_folder(settings.root / folder, into, sources=[])
        return
    path = settings.place("archives", data) / "fetched.json"
    try:
        fetched = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ReplicationError(
            f"{path} is missing or broken; run the stage `fetch` again"
        ) from None
    options: dict[str, Any] = {}
    lists = settings.params.data.archives.person_part_lists
    if data == "pascal_person_part" and lists is not None:
        options["lists"] = settings.root / lists
    prepare_set(
        data,
        [Path(one["path"]) for one in fetched],
        into,
        sample=settings.profile.data == "sample",
        sources=[one["record"] for one in fetched],
        **options,
    )


def open_dataset(settings: Settings, run: str) -> DataSet:
    """Open the data set of ``run``, as `prepare` made it."""
    from replication.data.canonical import DataSet

    return DataSet.open(settings.place("datasets", settings.experiments.all_runs[run].data))
