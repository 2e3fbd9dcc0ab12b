"""Checks as a table for the terminal, plain text: it can be piped and kept."""

from collections.abc import Sequence

from replication.verification.compare import Check

_HEAD = ("seed", "what", "result", "now", "")


def as_text(checks: Sequence[Check], file: str) -> str:
    """Return one line a check, and a last one that sums up."""
    rows = [_HEAD] + [
        ("" if c.seed is None else str(c.seed), c.what, c.recorded, c.found, c.verdict)
        for c in checks
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    counts = {
        verdict: sum(check.verdict == verdict for check in checks)
        for verdict in ("same", "differs", "not recorded")
    }
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return "\n".join([*lines, "", f"{file}: {said}"])
