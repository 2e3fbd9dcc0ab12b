"""Others' words in Markdown: names of classes, folders and processors, shown as they are written.

A folder may be called ``<b>|mine`` and a class ``a*b*``: unescaped, the one breaks a table and the
other is set in italics; HTML would be obeyed by whatever shows the page.
"""

import re

# An underscore inside a word is no emphasis (CommonMark), and the names of runs are full of them.
_SPECIAL = re.compile(r"[\\`*\[\]|~$#!]|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ENTITY = re.compile("[&<>]")


def escape(text: object) -> str:
    """Return ``text`` on one line, every character that Markdown or HTML would obey escaped."""
    line = " ".join(str(text).split())
    escaped = _SPECIAL.sub(lambda found: f"\\{found[0]}", line)
    return _ENTITY.sub(lambda found: _ENTITIES[found[0]], escaped)


def row(*cells: str) -> str:
    """Return a line of a table; ``cells`` are escaped already, or hold nothing to escape."""
    return "| " + " | ".join(cells) + " |"
