"""Every data set by name: its archives, official and embedded, and its adaptor.

The one table that says which archives belong together; `sources` says where each is from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from replication.data.canonical import DataSet
from replication.data.cityscapes import read_cityscapes
from replication.data.coco import read_coco
from replication.data.context import read_context
from replication.data.person_part import read_person_part
from replication.data.prepare import Found, prepare
from replication.data.sbd import read_trainaug
from replication.errors import ReplicationError


@dataclass(frozen=True)
class DataKind:
    """How a data set is made.

    Attributes:
        archives: names in `sources.SOURCES`, in the order in which ``read`` takes them; the
            embedded sample's have `_sample` at the end.
        read: the adaptor: paths of the archives or unpacked folders, then a `prepare.Work`.
    """

    archives: tuple[str, ...]
    read: Callable[..., Found]

    def sources(self, *, sample: bool) -> tuple[str, ...]:
        """Return the names of the archives, of the official ones or the sample's."""
        return tuple(f"{name}_sample" if sample else name for name in self.archives)


_CITYSCAPES = ("cityscapes_images", "cityscapes_labels")

SETS: dict[str, DataKind] = {
    "voc2012": DataKind(("voc2012", "sbd"), read_trainaug),
    "pascal_context": DataKind(("voc2010", "pascal_context"), read_context),
    "pascal_person_part": DataKind(("voc2010", "pascal_part"), read_person_part),
    "cityscapes": DataKind(_CITYSCAPES, read_cityscapes),
    "cityscapes_half": DataKind(_CITYSCAPES, partial(read_cityscapes, resolution="half")),
    "coco": DataKind(("coco_images", "coco_annotations"), read_coco),
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


def title(name: str, *, sample: bool) -> str:
    """Return what results and tables call a data set."""
    own, half, _ = name.partition("_half")
    return own + (" half" if half else "") + (" sample" if sample else "")


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
        into, sources, progress: as `replication.data.prepare.prepare`.
        sample: the archives are the embedded sample's: their counts are not the official ones.
        options: what the adaptor takes besides (Person-Part's `lists`, COCO's `least`).

    Raises:
        ReplicationError: there is no such set, or names the file that is wrong, with its cure.
    """
    kind = get_set(name)
    if len(archives) != len(kind.archives):
        raise ReplicationError(
            f"data set `{name}` is made from {len(kind.archives)} archives"
            f" ({', '.join(kind.archives)}), not {len(archives)}; give all of them"
        )
    return prepare(
        lambda work: kind.read(*archives, work, **options),
        into,
        official=not sample,
        sources=sources,
        name=title(name, sample=sample),
        progress=progress,
    )
