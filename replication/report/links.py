"""Where things are in a report's folder, and texts that lead there."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

# Places on the main page.
PAPER = "#the-paper"
CELL_RULE = "#rule-cells"
CLAIM_RULE = "#rule-claims"


@dataclass(frozen=True)
class Linked:
    """A text and where it leads, from the main page.

    A verdict is shown with its sign; ``detail``, such as an interval, stands below the text.
    """

    text: str
    href: str
    is_verdict: bool = False
    detail: str = ""


def run_page(run: str, anchor: str = "") -> str:
    """Return the address of a run's page, seen from the main page."""
    return f"runs/{quote(run)}.html{anchor}"


def relative(path: Path, root: Path) -> str:
    """Name a file by its place in the repository; one that lies outside, in full."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
