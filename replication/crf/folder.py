"""Anyone's folders: images, scores and labels that belong together by file name.

IMAGES/ID.jpg|jpeg|png   photographs
SCORES/ID.npz|npy        class scores before softmax, (C, h, w), any float type; key ``scores``
LABELS/ID.png            palette or grey PNG, class indices, 255 void (a search needs them)

The folders must hold the same ids, unless a list names those to take.
"""

from collections.abc import Sequence
from pathlib import Path

from replication.crf import ledger
from replication.crf.run import Item
from replication.data.canonical import IMAGE_SUFFIXES, files_by_id, read_ids
from replication.errors import ReplicationError
from replication.inference.store import SUFFIXES as SCORE_SUFFIXES
from replication.inference.store import read_scores

_KINDS = {
    "image": IMAGE_SUFFIXES,
    "scores": SCORE_SUFFIXES,
    "label": (".png",),
}


def _files(folder: Path, kind: str) -> dict[str, Path]:
    suffixes = _KINDS[kind]
    found = files_by_id(folder, suffixes)
    if not found:
        raise ReplicationError(
            f"{folder}: holds no {kind} (ID{', ID'.join(suffixes)}); give the folder that does"
        )
    return found


def read_folders(
    images: Path, scores: Path, labels: Path | None = None, ids: Path | None = None
) -> list[Item]:
    """Pair the files of two folders, or three; nothing is opened yet.

    Args:
        images: ``ID.jpg``, ``.jpeg`` or ``.png``.
        scores: ``ID.npz`` or ``ID.npy``.
        labels: ``ID.png``; None where there is nothing to compare with.
        ids: a list of the ids to take, one a line; None takes all.

    Returns:
        The items, by id in sorted order.

    Raises:
        ReplicationError: a folder is missing or empty, holds two files for an id, or lacks the
            partner of a file; or the list names an id that is not there, or twice.
    """
    places = {"image": images, "scores": scores}
    if labels is not None:
        places["label"] = labels
    files = {kind: _files(folder, kind) for kind, folder in places.items()}
    wanted = sorted(set().union(*files.values()) if ids is None else read_ids(ids))
    for name in wanted:
        for kind, folder in places.items():
            if name not in files[kind]:
                file = folder / f"{name}{_KINDS[kind][0]}"
                raise ReplicationError(_lacks(file, kind, name, files, ids))
    return [
        Item(
            id=name,
            image=files["image"][name],
            scores=files["scores"][name],
            label=files["label"][name] if labels is not None else None,
        )
        for name in wanted
    ]


def _lacks(
    file: Path, kind: str, name: str, files: dict[str, dict[str, Path]], ids: Path | None
) -> str:
    others = "".join(f", {suffix}" for suffix in _KINDS[kind][1:])
    missing = f"{file}: there is no such file" + (f" (nor {others[2:]})" if others else "")
    if ids is not None:
        return f"{missing}, and {ids} lists `{name}`: add the file, or take the id off the list"
    partner = next(found[name] for found in files.values() if name in found)
    return (
        f"{missing}, and {partner} is there: add the one or take away the other, or list the ids "
        "to take with --ids FILE"
    )


def count_classes(items: Sequence[Item]) -> int:
    """Return the channels of the first item's scores, which all others must have too.

    Raises:
        ReplicationError: the file can't be read, or its scores have 1 or more than 256 channels.
    """
    path = items[0].scores
    classes = len(read_scores(path))
    if not 2 <= classes <= 256:
        raise ReplicationError(
            f"{path}: scores have {classes} channels; the CRF takes 2 to 256 classes, the first "
            "axis, background included: save the scores as (classes, height, width)"
        )
    return classes


def check_out(out: Path, inputs: Sequence[Path]) -> None:
    """Refuse an output folder in which a refinement would write over what it did not make.

    Raises:
        ReplicationError: ``out`` is one of the input folders, a file, or holds PNGs of which no
            earlier refinement tells.
    """
    if out.exists() and not out.is_dir():
        raise ReplicationError(f"{out}: is a file; give a folder to write to")
    if any(out.resolve() == folder.resolve() for folder in inputs):
        raise ReplicationError(f"{out}: is a folder that is read from; give another one for --out")
    known = (out / ledger.NAME).is_file()
    strange = [] if known else sorted(p.name for p in out.glob("*.png"))
    if strange:
        raise ReplicationError(
            f"{out / strange[0]}: is not from an earlier refinement ({len(strange)} such files), "
            "and would be written over: give another folder for --out"
        )
