"""The jinja2 environment of the report: every value is escaped, whatever its template's name."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from replication.report import marks


@cache
def environment() -> Environment:
    """Return the environment; a value that a template misses is an error."""
    made = Environment(
        loader=PackageLoader("replication.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"sign": marks.sign, "kind": marks.kind, "markdown": markdown}
    return made


def markdown(text: str) -> Markup:
    """Turn Markdown, such as the rules' docstrings, into HTML; HTML in it stays text."""
    html: str = MarkdownIt("js-default").render(text)
    return Markup(html)  # noqa: S704  js-default escapes HTML and unsafe addresses
