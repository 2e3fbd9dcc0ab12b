"""Tables from made-up results: read back, and held against the paper's numbers and the results."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from replication.errors import ReplicationError
from replication.paper import reported
from replication.reporting.tables import write_tables

MakeResult = Callable[..., dict[str, Any]]
Lines = list[dict[str, str]]


def _markdown_tables(text: str) -> dict[str, Lines]:
    """Read every table of a Markdown text back, by its heading, as rows by column."""
    tables: dict[str, Lines] = {}
    for section in text.split("\n## ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        if lines:
            head, rule, *body = [
                [cell.strip() for cell in line.strip("|").split("|")] for line in lines
            ]
            assert all(len(row) == len(head) == len(rule) for row in body)
            tables[section.splitlines()[0]] = [dict(zip(head, row, strict=True)) for row in body]
    return tables


def _csv(path: Path) -> Lines:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _write(folder: Path, result: dict[str, Any]) -> None:
    (folder / f"{result['run']}.json").write_text(json.dumps(result))


def test_three_files_a_table_and_the_claims(demo_results: Path, out: Path) -> None:
    written = write_tables(demo_results, out, "demo")
    assert [p.name for p in written] == [
        *(f"table{n}.{suffix}" for n in range(1, 10) for suffix in ("md", "csv", "tex")),
        "claims.md",
        "claims.csv",
    ]
    assert all(p.parent == out and p.stat().st_size > 300 for p in written)


def test_one_table_and_an_unknown_one(demo_results: Path, out: Path) -> None:
    assert len(write_tables(demo_results, out, "demo", tables=["table2"])) == 3
    with pytest.raises(ReplicationError, match="`table11` is not one of the paper's"):
        write_tables(demo_results, out, "demo", tables=["table11"])


def test_same_results_same_bytes(demo_results: Path, out: Path) -> None:
    first = [p.read_bytes() for p in write_tables(demo_results, out, "demo")]
    again = [p.read_bytes() for p in write_tables(demo_results, out, "demo")]
    assert first == again


def test_csv_holds_the_papers_numbers(shared: Path, demo_results: Path, out: Path) -> None:
    paper = yaml.safe_load((shared / "paper" / "reported.yaml").read_text())
    names = {
        "kernel": "kernel",
        "fov": "reported_fov",
        "params_millions": "reported_parameters",
        "train_images_per_s": "reported_images_per_second",
        "miou_before_crf": "reported_miou_before",
        "miou_after_crf": "reported_miou_after",
        "miou": "reported_miou_before",
    }
    write_tables(demo_results, out, "demo")
    for table in ("table1", "table2", "table3"):
        lines = _csv(out / f"{table}.csv")
        assert len(lines) == len(paper[table]["rows"])
        for line, row in zip(lines, paper[table]["rows"], strict=True):
            for column, value in zip(paper[table]["columns"], row, strict=True):
                text = line[names.get(column, column)]
                match column:
                    case "kernel":
                        assert text == f"{value}x{value}"
                    case "rates":
                        assert text == ", ".join(map(str, value))
                    case "method" | "policy":
                        assert text == value
                    case _:
                        assert float(text) == value


def test_csv_holds_our_numbers_and_their_files(demo_results: Path, out: Path) -> None:
    write_tables(demo_results, out, "demo")
    for table in ("table1", "table2", "table3"):
        for line in _csv(out / f"{table}.csv"):
            file = (out / line["result_file"]).resolve()
            assert file == (demo_results / f"{line['run']}.json").resolve()
            result = json.loads(file.read_text())
            before = result["seeds"][0]["before"]["miou"]
            assert float(line["ours_miou_before"]) == round(before, 2)
            assert float(line["difference_miou_before"]) == pytest.approx(
                float(line["ours_miou_before"]) - float(line["reported_miou_before"]), abs=1e-9
            )
            assert line["verdict_miou_before"] == "not comparable"
            assert line["ours_std_miou_before"] == ""


def test_markdown_reads_back_to_the_csv(demo_results: Path, out: Path) -> None:
    write_tables(demo_results, out, "demo")
    for name in ("table1", "table2", "table3"):
        text = (out / f"{name}.md").read_text()
        tables = _markdown_tables(text)
        for column in reported.load().tables[name].columns:
            lines = tables[column.block]
            for line, row in zip(lines, _csv(out / f"{name}.csv"), strict=True):
                head = f"{column.title}: "
                assert line[f"{head}paper ({column.unit})"] == row[f"reported_{column.name}"]
                assert line[f"{head}ours ({column.unit})"] == row[f"ours_{column.name}"]
                if not column.ratio:
                    difference = line[f"{head}difference"]
                    assert float(difference) == float(row[f"difference_{column.name}"])
                    assert line[f"{head}verdict"] == row[f"verdict_{column.name}"]
                link = re.fullmatch(r"\[(\w+)\]\((.+)\)", line["result"])
                assert link is not None
                assert link[1] == row["run"]
                assert (out / link[2]).is_file()


def test_effects_are_differences_of_printed_cells(demo_results: Path, out: Path) -> None:
    write_tables(demo_results, out, "demo")
    effects = _markdown_tables((out / "table1.md").read_text())["Differences between rows"]
    rows = {row["run"]: row for row in _csv(out / "table1.csv")}
    first = effects[0]
    assert first["effect"] == "4x4 rate 8 over 4x4 rate 4, before CRF"
    assert first["paper"] == "+3.61"
    expected = float(rows["fov_4x4_r8"]["ours_miou_before"]) - float(
        rows["fov_4x4_r4"]["ours_miou_before"]
    )
    assert float(first["ours"]) == pytest.approx(expected, abs=1e-9)
    gains = [e for e in effects if e["effect"].startswith("CRF, ")]
    assert [e["paper"] for e in gains] == ["+3.26", "+3.94", "+3.73", "+5.39"]
    assert all(e["ours"] == "+4.00" for e in gains)


def test_a_missing_run_gives_no_number(demo_results: Path, out: Path) -> None:
    (demo_results / "aspp_s.json").unlink()
    write_tables(demo_results, out, "demo")
    row = next(line for line in _csv(out / "table3.csv") if line["row"] == "aspp_s")
    assert row["verdict_miou_before"] == row["verdict_miou_after"] == "not run"
    ours = [v for k, v in row.items() if k.startswith(("ours_", "difference_", "result", "seeds"))]
    assert set(ours) == {""}
    text = (out / "table3.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| ASPP-S | 2, 4"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2:6] == ["66.98", "not run", "not run", "not run"]
    assert cells[6:10] == ["69.73", "not run", "not run", "not run"]
    assert cells[10] == "aspp_s: not run"
    effects = _markdown_tables(text)["Differences between rows"]
    by_text = {e["effect"]: e["ours"] for e in effects}
    assert by_text["ASPP-S over LargeFOV, before CRF"] == by_text["CRF, ASPP-S"] == "not run"
    assert by_text["CRF, ASPP-L"] == "+4.00"
    assert r"\texttt{aspp\_s}" in (out / "table3.tex").read_text()


def test_nothing_run_yet(tmp_path: Path) -> None:
    out = tmp_path / "tables"
    write_tables(tmp_path / "results", out, "demo")
    text = (out / "table1.md").read_text()
    assert text.splitlines()[0].endswith("profile demo: not run yet")
    rows = _markdown_tables(text)["Mean IOU"]
    assert {row["before CRF: ours (%)"] for row in rows} == {"not run"}
    assert {row["before CRF: verdict"] for row in rows} == {"not run"}


def test_a_test_servers_table_says_whose_numbers_it_holds(demo_results: Path, out: Path) -> None:
    before, after = out / "none", out / "all"
    write_tables(out / "results", before, "demo")
    write_tables(demo_results, after, "demo")
    for name, server in (("table5", "voc2012"), ("table8", "cityscapes")):
        text = (after / f"{name}.md").read_text()
        title = text.splitlines()[0]
        assert title.endswith(" test set, the test server's numbers, as the paper gives them")
        assert f"`replication submit {server}` writes what it takes" in text
        # whatever has been run, nothing here fills it: it never says that something will
        assert (before / f"{name}.md").read_bytes() == (after / f"{name}.md").read_bytes()
        assert not re.search(r"not run|seeds|profile|\n\n\n", text.replace("/demo/", ""))
        latex = (after / f"{name}.tex").read_text()
        assert (before / f"{name}.tex").read_text().splitlines()[1:] == latex.splitlines()[1:]
        assert "the test server's numbers" in latex
        assert "not run" not in latex


@pytest.mark.parametrize(
    ("data", "profile", "said"),
    [
        ("voc2012 sample", "demo", "rendered sample data (voc2012 sample)"),
        ("msrc21", "photos", "data set msrc21 (profile photos)"),
    ],
)
def test_title_says_what_is_not_comparable(
    tmp_path: Path, make_result: MakeResult, data: str, profile: str, said: str
) -> None:
    for run in ("poly_b10_20k", "aspp_l"):
        _write(tmp_path, make_result(run, data=data, profile=profile, before=(66.0,)))
    md, _, tex = write_tables(tmp_path, tmp_path / "out", profile, tables=["table3"])
    title = md.read_text().splitlines()[0]
    assert said in title
    assert title.endswith("numbers not comparable with the paper's")
    assert "numbers not comparable with the paper's" in tex.read_text()
    assert "within tolerance |" not in md.read_text()


def test_verdicts_on_the_papers_own_data(tmp_path: Path, make_result: MakeResult) -> None:
    common: dict[str, Any] = {"comparable": True, "profile": "paper", "data": "voc2012"}
    _write(
        tmp_path,
        make_result(
            "fov_3x3_r12", before=(62.20,), after=(67.96,), parameters=20_499_136, **common
        ),
    )
    _write(
        tmp_path,
        make_result("fov_4x4_r4", before=(61.0,), after=(None,), field_of_view=224, **common),
    )
    write_tables(tmp_path, tmp_path / "out", "paper", tables=["table1"])
    rows = {row["row"]: row for row in _csv(tmp_path / "out" / "table1.csv")}
    good, bad = rows["fov_3x3_r12"], rows["fov_4x4_r4"]
    judged = ("miou_before", "miou_after", "parameters", "fov")
    assert {good[f"verdict_{name}"] for name in judged} == {"within tolerance"}
    assert [bad[f"verdict_{name}"] for name in judged] == ["off", "not run", "off", "off"]
    assert good["verdict_images_per_second"] == "not judged"
    title = (tmp_path / "out" / "table1.md").read_text().splitlines()[0]
    assert title.endswith(", profile paper")


def test_seeds_show_their_spread(tmp_path: Path, make_result: MakeResult) -> None:
    _write(
        tmp_path, make_result("aspp_l", before=(44.0, 46.0), after=(50.0, 50.0), speeds=(1.0, 1.0))
    )
    write_tables(tmp_path, tmp_path / "out", "demo", tables=["table3"])
    row = _csv(tmp_path / "out" / "table3.csv")[2]
    assert (row["ours_miou_before"], row["ours_std_miou_before"]) == ("45.00", "1.41")
    assert row["seeds"] == "2"
    assert "| 45.00 ± 1.41 |" in (tmp_path / "out" / "table3.md").read_text()
    assert r"45.00 $\pm$ 1.41" in (tmp_path / "out" / "table3.tex").read_text()


def test_speed_ratio_only_on_one_device(tmp_path: Path, make_result: MakeResult) -> None:
    _write(tmp_path, make_result("fov_7x7_r4", speeds=(10.0,)))
    _write(tmp_path, make_result("fov_4x4_r4", speeds=(25.0,)))
    _write(tmp_path, make_result("fov_3x3_r12", speeds=(900.0,), device="NVIDIA H100"))
    write_tables(tmp_path, tmp_path / "out", "demo", tables=["table1"])
    rows = _csv(tmp_path / "out" / "table1.csv")
    assert [row["ours_ratio_images_per_second"] for row in rows] == ["1.000", "2.500", "", ""]
    assert [float(row["reported_ratio_images_per_second"]) for row in rows] == pytest.approx(
        [1, 2.90 / 1.44, 2.90 / 1.44, 4.84 / 1.44], abs=1e-3
    )
    speeds = _markdown_tables((tmp_path / "out" / "table1.md").read_text())["Training speed"]
    assert [s["training speed: ratio, ours"] for s in speeds] == ["1.00x", "2.50x", "not run", "-"]


def test_speed_ratio_only_of_as_many_threads(tmp_path: Path, make_result: MakeResult) -> None:
    _write(tmp_path, make_result("fov_7x7_r4", speeds=(1.0,), threads=2))
    _write(tmp_path, make_result("fov_4x4_r4", speeds=(2.0,), threads=2))
    _write(tmp_path, make_result("fov_3x3_r12", speeds=(2.0,), threads=1))
    write_tables(tmp_path, tmp_path / "out", "demo", tables=["table1"])
    rows = _csv(tmp_path / "out" / "table1.csv")
    assert [row["ours_ratio_images_per_second"] for row in rows] == ["1.000", "2.000", "", ""]
    heading = (tmp_path / "out" / "table1.md").read_text()
    assert "cpu with 2 threads, 32-true (fov_7x7_r4, fov_4x4_r4); cpu with 1 thread, 3" in heading


def test_rows_of_different_data_are_pointed_out(demo_results: Path, out: Path) -> None:
    content = json.loads((demo_results / "aspp_l.json").read_text())
    content["data"]["meta_sha256"] = "2" * 64
    _write(demo_results, content)
    write_tables(demo_results, out, "demo")
    warning = "measured on different data"
    assert warning in (out / "table3.md").read_text()
    assert warning not in (out / "table2.md").read_text()


def test_a_corrupt_result_is_named_and_old_tables_stay(demo_results: Path, out: Path) -> None:
    write_tables(demo_results, out, "demo")
    before = (out / "table3.md").read_bytes()
    (demo_results / "aspp_l.json").write_text("{")
    with pytest.raises(ReplicationError, match=r"aspp_l\.json"):
        write_tables(demo_results, out, "demo")
    assert (out / "table3.md").read_bytes() == before


def test_a_table_says_how_the_crf_was_chosen(
    demo_results: Path, out: Path, make_result: MakeResult
) -> None:
    kernels = {"w1": 3.5, "sigma_alpha": 67.0, "sigma_beta": 3.0, "w2": 3.0, "sigma_gamma": 1.0}
    searched = {"chosen": "searched", "search": "vgg_aspp", "images": ["a", "b"]}
    for run, choice in (
        ("aspp_s", searched | {"left_out": True}),
        ("aspp_l", searched | {"left_out": False}),
        ("poly_b10_20k", {"chosen": "v1_coco"}),
    ):
        result = make_result(run)
        result["seeds"][0]["refine"] |= {"parameters": kernels, "choice": choice}
        _write(demo_results, result)
    write_tables(demo_results, out, "demo", tables=["table3"])
    rows = _markdown_tables((out / "table3.md").read_text())["What ours ran with"]
    crf = {row["run"]: row for row in rows}
    assert crf["aspp_l"]["CRF: w1/sigma_alpha/sigma_beta"] == "3.5/67/3"
    assert crf["aspp_l"]["w2/sigma_gamma"] == "3/1"
    chosen = {run: row["CRF chosen by"] for run, row in crf.items()}
    assert chosen == {
        "poly_b10_20k": "v1_coco",
        "aspp_s": "search vgg_aspp: 2 images of val, left out of the score",
        "aspp_l": "search vgg_aspp: 2 images of val, part of the score",
    }
