"""What stands beside each figure: its title, its caption, and a text for those who can't see it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from replication.atomic import write_json

FILE = "captions.json"


@dataclass(frozen=True)
class Caption:
    """One figure of a profile, ``figures/<profile>/NAME.png`` and ``.pdf``.

    Attributes:
        name: of the files, without suffix.
        title: one line, such as "Figure 2: atrous convolution in one dimension".
        caption: one to four sentences: what is seen, by which rule it was chosen.
        alt: what the picture shows, for those who can't see it.
        runs: names in experiments.yaml that it is about.
        files: what it was drawn from, relative to the repository's root, ``/`` between folders.
    """

    name: str
    title: str
    caption: str
    alt: str
    runs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def write_captions(captions: Sequence[Caption], folder: Path) -> Path:
    """Write ``folder``/captions.json: a list of objects with a caption's keys, in this order."""
    path = folder / FILE
    write_json(path, [asdict(caption) for caption in captions])
    return path
