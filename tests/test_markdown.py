"""Others' words in Markdown, held against what a Markdown reader shows."""

from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from replication.errors import one_line
from replication.evaluation.folder import Evaluation
from replication.evaluation.markdown import to_markdown
from replication.markdown import escape

# Everything that GitHub's tables, emphasis and HTML need; HTML is let through, as GitHub's is.
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


class Cells(HTMLParser):
    """The texts of a page's table cells and paragraphs, and the tags inside them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.open = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in ("td", "th", "p", "h1"):
            self.texts.append("")
            self.open = True

    def handle_endtag(self, tag: str) -> None:
        self.open = False

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[-1] += data


WORDS = st.text(st.sampled_from("ab _*`|<>&;#![](){}\\~$\"'-+.1\n\r\téü:/@="), max_size=12)


@given(WORDS)
@example("<script>alert(1)</script>")
@example("__a__ _b_ c_d")
@example("&amp; &#60;b&#62;")
@example("[x](javascript:alert(1)) ![y](z)")
@example("a\n\n# b\n| c |")
@example("~~gone~~ `code` \\* $x$")
def test_a_reader_shows_what_was_written(words: str) -> None:
    plain = " ".join(words.split())
    page = READER.render(f"| name | x |\n| --- | --- |\n| {escape(words)} | 1 |\n")
    cells = Cells(page)
    assert [" ".join(text.split()) for text in cells.texts[2:]] == [plain, "1"]
    assert cells.tags <= {"table", "thead", "tbody", "tr", "th", "td"}
    heading = Cells(READER.render(f"# Table 1, on {escape(words)}: ours\n"))
    assert " ".join(heading.texts[0].split()) == " ".join(f"Table 1, on {plain}: ours".split())
    assert heading.tags == {"h1"}


def test_names_of_runs_are_left_as_they_are() -> None:
    for name in ("resnet_msc_coco_aug_aspp", "voc2012 sample", "AMD EPYC 7B13, 2.4 GHz (2 cores)"):
        assert escape(name) == name


def test_class_names_in_an_evaluation() -> None:
    names = ["<b>cat</b>", "a|b", "*d*\n"]
    found = Evaluation(
        miou=50.0,
        per_class_iou=[50.0, 50.0, None],
        pixel_accuracy=50.0,
        mean_accuracy=50.0,
        frequency_weighted_iou=50.0,
        images=1,
        confusion=[[1, 1, 0], [1, 1, 0], [0, 0, 0]],
        trimap=None,
        confidence_interval=None,
        num_classes=3,
        ignore_index=255,
        classes=names,
    )
    cells = Cells(READER.render(to_markdown(found)))
    assert {"<b>cat</b>", "a|b", "*d*"} <= set(cells.texts)
    assert "b" not in cells.tags


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("plain, é and 中", "plain, é and 中"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("turned\u202eround", r"turned\u202eround"),
    ],
)
def test_errors_are_one_line_that_a_terminal_only_prints(text: str, printed: str) -> None:
    assert one_line(ValueError(text)) == printed
