"""The jinja2 environment of everything that is written as text."""

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from replication.markdown import escape


def environment(**delimiters: str) -> Environment:
    """Return an environment that reads this package's templates; a missing value is an error.

    Its filter ``md`` escapes others' words for Markdown.
    """
    made = Environment(
        loader=PackageLoader("replication.reporting"),
        autoescape=select_autoescape(),  # of HTML only: Markdown and LaTeX are no HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        **delimiters,  # type: ignore[arg-type]
    )
    made.filters["md"] = escape
    return made
