"""Archives, then the canonical layout: the stages `fetch` and `prepare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from replication.atomic import write_json
from replication.errors import ReplicationError
from replication.plan import Settings

if TYPE_CHECKING:
    from replication.data.canonical import DataSet

# Which archives a profile's data is made from: VOC's, SBD's.
ARCHIVES = {"sample": ("voc2012_sample", "sbd_sample"), "voc2012": ("voc2012", "sbd")}


def fetch(settings: Settings) -> None:
    """Bring the profile's archives here, verified: addresses -> archives/."""
    from replication.data.fetch import fetch as fetch_one
    from replication.data.sources import get_source

    into = settings.place("archives")
    given = settings.params.data.archives.model_dump()
    listed = []
    for name in ARCHIVES.get(settings.profile.data, ()):
        own = given.get(name)
        fetched = fetch_one(
            get_source(name), into, root=settings.root, given=Path(own) if own else None
        )
        listed.append({"path": str(fetched.path), "official": fetched.kind == "archive"})
        listed[-1]["record"] = fetched.record()
    write_json(into / "fetched.json", listed)


def prepare(settings: Settings) -> None:
    """Bring archives, or the user's own folder, into the canonical layout -> datasets/."""
    from replication.data.prepare import prepare_folder, prepare_voc

    into, kind = settings.place("datasets"), settings.profile.data
    if kind == "folder":
        folder = settings.params.data.folder
        assert folder is not None  # settings.load has seen to it
        prepare_folder(settings.root / folder, into, sources=[])
        return
    path = settings.place("archives") / "fetched.json"
    try:
        voc, sbd = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ReplicationError(
            f"{path} is missing or broken; run the stage `fetch` again"
        ) from None
    prepare_voc(
        Path(voc["path"]),
        Path(sbd["path"]),
        into,
        official=kind == "voc2012",
        sources=[voc["record"], sbd["record"]],
        name="voc2012" if kind == "voc2012" else "voc2012 sample",
    )


def open_dataset(settings: Settings) -> DataSet:
    """Open what `prepare` made."""
    from replication.data.canonical import DataSet

    return DataSet.open(settings.place("datasets"))
