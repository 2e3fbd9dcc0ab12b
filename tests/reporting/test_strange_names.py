"""Names with quotes, line breaks, HTML and commands of LaTeX, wherever tables and figures go."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from replication.data.canonical import DataSet
from replication.paper import reported
from replication.reporting.crf_table import write_crf_table
from replication.reporting.pictures import Row, lay_out
from replication.reporting.style import literal, save
from replication.reporting.tables import tex_escape, write_tables

STRANGE = 'my|set\n\n# <script>alert("1")</script> *b* $\\frac$ _a_ %x {y} `z` \\input{w}'
PLAIN = " ".join(STRANGE.split())


@pytest.fixture
def tables(tmp_path: Path, make_result: Callable[..., dict[str, Any]]) -> Path:
    results, out = tmp_path / "results" / "demo", tmp_path / "tables" / "demo"
    results.mkdir(parents=True)
    for run in reported.load().runs():
        result = make_result(run, data=STRANGE)
        result["environment"] = {"processor": "<b>fast</b>|cpu"}
        (results / f"{run}.json").write_text(json.dumps(result))
    write_tables(results, out, "demo")
    search = {
        "search": "vgg_aspp",
        "data": {"name": STRANGE, "split": "val", "images": 9},
        "ids": ["a"],
        "seed": 0,
        "run": "aspp_l",
        "points": [],
        "engine": "lattice",
        "fixed": {"iterations": 10, "normalization": "after"},
        "objective": "miou",
        "before_miou": 50.0,
        "published": [],
        "best": {"w1": 1.0, "miou": 51.0},
    }
    write_crf_table({tmp_path / "searches" / "demo" / "vgg_aspp.json": search}, out)
    return out


def test_markdown_shows_the_name_and_obeys_nothing_in_it(tables: Path) -> None:
    reader = MarkdownIt("commonmark").enable("table")
    for name in ("table1", "table3", "claims", "crf"):
        text = (tables / f"{name}.md").read_text()
        page = reader.render(text)
        assert "<script" not in page
        assert "<b>" not in page
        assert len(re.findall("<h1>", page)) == 1
        if name == "claims":
            continue  # its notes are of samples and data sets by their own names
        shown = page.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')
        assert PLAIN in shown
        for row in text.splitlines():
            if row.startswith("| ") and "---" not in row:
                assert "<" not in row


def test_latex_holds_the_name_as_text(tables: Path) -> None:
    for path in sorted(tables.glob("*.tex")):
        text = path.read_text()
        assert r"\input" not in text
        if path.stem == "table1":
            assert r"\textless{}script\textgreater{}" in text
        caption = text[text.index(r"\caption{") : text.index(r"\label")]
        assert not re.search(r"\n\s*\n", caption)
        plain = re.sub(r"\\[{}]", "", text)
        assert plain.count("{") == plain.count("}")


def test_tex_escape_joins_lines() -> None:
    assert tex_escape("a\n\n b\r\nc|<d>") == r"a b c\textbar{}\textless{}d\textgreater{}"


def test_figures_print_names_and_typeset_nothing(
    tmp_path: Path, write_dataset: Callable[..., DataSet]
) -> None:
    label = np.array([[0, 1], [2, 3]], np.uint8)
    classes = ["$\\frac$", "_hidden", 'a "b" <i>', "$x$ and $"]
    dataset = write_dataset({"$y$": (np.zeros((2, 2, 3), np.uint8), label)}, classes)
    row = Row("_$y$_", [np.zeros((2, 2, 3), np.uint8), label])
    figure = lay_out(dataset, ["image", "truth"], [row], "On $\\sqrt$ and _b")
    save(figure, tmp_path / "figure")
    assert (tmp_path / "figure.pdf").stat().st_size > 1_000
    (legend,) = figure.legends
    printed = [text.get_text().replace(r"\$", "$").strip() for text in legend.get_texts()]
    assert printed == classes


def test_words_without_dollars_are_left_alone() -> None:
    assert literal("voc2012 sample, c_d") == "voc2012 sample, c_d"
