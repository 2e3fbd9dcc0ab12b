"""What a profile leaves out: its stages write a note in place of their output, and do no more."""

from pathlib import Path

from replication.atomic import write_json

NOTE = "left_out.json"


def left_out(reason: str | None, place: Path) -> bool:
    """Leave the ``reason`` as a note in a stage's folder, or take an old note away.

    Returns whether there is a reason: the stage then has nothing else to do. What the folder holds
    of an earlier profile's making stays.
    """
    note = place / NOTE
    if reason is None:
        note.unlink(missing_ok=True)
        return False
    write_json(note, {"left_out": reason})
    return True
