"""Every data set by name: its archives, official and embedded, and its adaptor.

The one table that says which archives belong together; `sources` says where each is from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from replication.data.canonical import DataSet
from replication.data.cityscapes import prepare_cityscapes
from replication.data.coco import prepare_coco
from replication.data.context import prepare_context
from replication.data.person_part import prepare_person_part
from replication.data.prepare import prepare_voc
from replication.errors import ReplicationError


@dataclass(frozen=True)
class DataKind:
    """How a data set is made.

    Attributes:
        archives: names in `sources.SOURCES`, in the order in which ``prepare`` takes them; the
            embedded sample's have `_sample` at the end.
        prepare: the adaptor: paths of the archives or unpacked folders, then the folder to make.
    """

    archives: tuple[str, ...]
    prepare: Callable[..., DataSet]

    def sources(self, *, sample: bool) -> tuple[str, ...]:
        """Return the names of the archives, of the official ones or the sample's."""
        return tuple(f"{name}_sample" if sample else name for name in self.archives)


_CITYSCAPES = ("cityscapes_images", "cityscapes_labels")

SETS: dict[str, DataKind] = {
    "voc2012": DataKind(("voc2012", "sbd"), prepare_voc),
    "pascal_context": DataKind(("voc2010", "pascal_context"), prepare_context),
    "pascal_person_part": DataKind(("voc2010", "pascal_part"), prepare_person_part),
    "cityscapes": DataKind(_CITYSCAPES, prepare_cityscapes),
    "cityscapes_half": DataKind(_CITYSCAPES, partial(prepare_cityscapes, resolution="half")),
    "coco": DataKind(("coco_images", "coco_annotations"), prepare_coco),
}
"""Every data set by name."""


def get_set(name: str) -> DataKind:
    """Return how the data set ``name`` is made.

    Raises:
        ReplicationError: no data set has that name; the message lists those that exist.
    """
    try:
        return SETS[name]
    except KeyError:
        raise ReplicationError(
            f"no data set is called `{name}`: choose from {', '.join(SETS)}"
        ) from None


def prepare_set(
    name: str,
    archives: Sequence[Path],
    into: Path,
    *,
    sample: bool,
    sources: list[dict[str, Any]],
    progress: bool = True,
    **options: Any,
) -> DataSet:
    """Prepare the data set ``name`` from its archives (or the folders that they unpack to).

    Args:
        name: a key of SETS.
        archives: paths, in the order of `DataKind.archives`.
        into: the data set's folder; an earlier data set there is replaced once this one is whole.
        sample: the archives are the embedded sample's: their counts are not the official ones.
        sources: records of where the data is from, kept in meta.json.
        progress: show a bar.
        options: what the adaptor takes besides (`limits`, Person-Part's `lists`, COCO's `least`).

    Raises:
        ReplicationError: there is no such set, or names the file that is wrong, with its cure.
    """
    kind = get_set(name)
    if len(archives) != len(kind.archives):
        raise ReplicationError(
            f"data set `{name}` is made from {len(kind.archives)} archives"
            f" ({', '.join(kind.archives)}), not {len(archives)}; give all of them"
        )
    own = name.removesuffix("_half")  # the adaptor says so itself
    return kind.prepare(
        *archives,
        into,
        official=not sample,
        sources=sources,
        name=f"{own} sample" if sample else own,
        progress=progress,
        **options,
    )
