"""Tables in LaTeX: every row has the columns, and nothing is left that LaTeX reads otherwise."""

import re
from pathlib import Path

import pytest

from replication.reporting.tables import tex_escape, write_tables


def test_latex_columns_and_escapes(demo_results: Path, out: Path) -> None:
    write_tables(demo_results, out, "demo")
    for name in ("table1", "table2", "table3"):
        text = (out / f"{name}.tex").read_text()
        blocks = re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL)
        assert len(blocks) == (3 if name == "table1" else 1)
        for columns, body in blocks:
            lines = [line for line in body.splitlines() if line.endswith(r"\\")]
            for line in lines:
                spanned = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d)\}", line))
                assert len(re.findall(r"(?<!\\)&", line)) + 1 + spanned == len(columns)
        assert text.count("{") == text.count("}")
        for line in text.splitlines():
            if not line.startswith(("%", r"\label")):
                assert not re.search(r"(?<!\\)[%#_]", line), line
                assert line.count("$") % 2 == 0
        assert text.isascii()


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 5% of #1 {x}", r"a\_b \& 5\% of \#1 \{x\}"),
        ("~/x^2\\", r"\textasciitilde{}/x\textasciicircum{}2\textbackslash{}"),
        ("1.20 ± 0.10", r"1.20 $\pm$ 0.10"),
        ("-1.20", "$-1.20$"),
        ("+3", "$+3$"),
        ("$5", r"\$5"),
        (7, "7"),
    ],
)
def test_tex_escape(text: object, escaped: str) -> None:
    assert tex_escape(text) == escaped
