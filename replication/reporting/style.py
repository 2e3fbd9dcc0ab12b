"""What all figures share: colours that colour-blind readers can tell apart, and saving.

Figures are made without pyplot, so that no window system or global state is involved.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from replication.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette for colour-blind readers, without its yellow, which is faint in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))  # tells them apart without colour too
DPI = 150
MINUS = "\N{MINUS SIGN}"  # as wide as a plus, in print
PAGE = 8.3  # inches, the width of a figure that fills a page
# No date and no version of the drawing library: the same figure gives the same bytes.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def literal(text: str) -> str:
    """Return others' words, such as a class's name, as matplotlib prints them unchanged.

    It would typeset what stands between two dollars, and leave what begins with an underscore out
    of legends.
    """
    return f" {text}".replace("$", r"\$") if text.startswith("_") else text.replace("$", r"\$")


def save(figure: Figure, out: Path) -> list[Path]:
    """Write ``out``.png (150 dots an inch) and ``out``.pdf; ``out`` has no suffix. Return both."""
    import matplotlib as mpl

    written = []
    for suffix, metadata in _METADATA.items():
        path = out.with_name(f"{out.name}.{suffix}")
        # type 42: letters stay letters in the PDF, as journals ask
        with mpl.rc_context({"pdf.fonttype": 42}), atomic_path(path) as part:
            figure.savefig(part, format=suffix, dpi=DPI, metadata=metadata)
        written.append(path)
    return written
