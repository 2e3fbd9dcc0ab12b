"""One line of the examination."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was seen, and what to do about it.

    ``ok`` needs no cure; a ``note`` is good to know and stops nothing; ``wrong`` stops a stage, or
    makes its numbers other than they should be.
    """

    status: Status
    what: str
    said: str
    cure: str = ""

    def line(self, width: int) -> str:
        """Return the finding as one line; ``width`` is that of the column of names."""
        text = f"{self.said}; {self.cure}" if self.cure else self.said
        return f"{self.status:<5}  {self.what:<{width}}  {' '.join(text.split())}"


def gib(count: float) -> str:
    """Return a number of bytes in words: ``3.1 GiB``, or ``40 MiB`` below half of one."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**29 else f"{count / 2**20:.0f} MiB"
