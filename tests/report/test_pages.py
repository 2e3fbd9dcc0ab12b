"""The pages as an HTML parser sees them: links, provenance, escaping, and what is left out."""

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from replication import stages
from replication.errors import ReplicationError
from replication.paper import reported
from replication.paper.verdicts import ClaimVerdict, Verdict
from replication.plan import load
from replication.report.marks import kind, sign

ARXIV = "https://arxiv.org/abs/1606.00915"
# of tables 1 to 9; others' systems are rows too
CELLS = 4 * 5 + 5 * 1 + 3 * 2 + 7 + 18 + 8 + 6 + 13 + 9
CLAIMS = 36
GetPage = Callable[[str], Any]


def _pages(report: Path) -> list[str]:
    return [path.relative_to(report).as_posix() for path in sorted(report.rglob("*.html"))]


def _target(page: Any, href: str, get: GetPage, report: Path) -> tuple[Path, str]:
    """Follow a link: the file it leads to, and the anchor in it."""
    parts = urlsplit(href)
    assert not parts.scheme
    assert not parts.netloc
    path = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
    assert path.is_relative_to(report), href
    assert path.is_file(), f"{page.path}: {href}"
    if parts.fragment:
        ids = {found.get("id") for _, found in get(str(path.relative_to(report))).elements}
        assert unquote(parts.fragment) in ids, f"{page.path}: {href}"
    return path, parts.fragment


def test_every_link_resolves_within_the_folder(report: Path, page: GetPage) -> None:
    followed = 0
    for name in _pages(report):
        for _, found in page(name).elements:
            for key in ("href", "src"):
                if key in found and found[key] not in ("data:,", ARXIV):
                    _target(page(name), found[key], page, report)
                    followed += 1
    assert followed > 300


def test_nothing_is_asked_of_a_network(report: Path, page: GetPage) -> None:
    for name in _pages(report):
        for tag, found in page(name).elements:
            if tag != "a":
                assert not re.search(r"https?:|//", " ".join(found.values())), (name, tag, found)
    for name in ("report.css", "report.js"):
        text = (report / name).read_text(encoding="utf-8")
        assert not re.search(r"https?:|url\(|@import|import\(|fetch\(|XMLHttp", text)


def test_ids_are_unique(report: Path, page: GetPage) -> None:
    for name in _pages(report):
        ids = Counter(found["id"] for _, found in page(name).elements if "id" in found)
        assert not [anchor for anchor, times in ids.items() if times > 1]


def test_every_measured_cell_leads_to_where_it_is_from(report: Path, page: GetPage) -> None:
    index = page("index.html")
    runs = {path.stem for path in (report / "runs").iterdir()}
    assert runs >= set(reported.load().runs())
    measured = empty = 0
    for table in index.find("table", class_="compared"):
        for row in [r for r, (tag, _) in enumerate(index.elements) if tag == "tr"]:
            if table not in index.around[row]:
                continue
            cells = [c for c in index.find("td", class_="measured") if row in index.around[c]]
            if not cells:
                continue
            run = unquote(Path(index.inside(row, "a")[0]["href"]).stem)
            for place, cell in enumerate(cells):
                links = index.inside(cell, "a")
                if not index.text(cell):  # others' systems, test servers: nothing to compare
                    assert (place % 4 in (1, 2), links) == (True, [])
                    empty += 1
                    continue
                (link,) = links
                path, _ = _target(index, link["href"], page, report)
                if place % 4 == 1:  # ours
                    assert path == report / "runs" / f"{run}.html"
            measured += len(cells)
    assert measured == 4 * CELLS
    assert empty == 2 * (17 + 12) + 2  # of tables 5 and 8: others' two each, ours one each
    effects = [
        cell
        for cell in index.find("td", class_="measured")
        if not any(index.elements[i][1].get("class") == "compared" for i in index.around[cell])
    ]
    assert len(effects) == 2 * sum(len(t.effects) for t in reported.load().tables.values())
    assert all(index.inside(cell, "a") for cell in effects)


def test_a_runs_page_names_its_files_commits_and_hashes(
    repository: Path, report: Path, page: GetPage
) -> None:
    found = repository / "results" / "demo" / "aspp_l.json"
    text = page("runs/aspp_l.html").whole_text
    assert "results/demo/aspp_l.json" in text
    for part in (found, found.with_suffix(".npz")):
        assert hashlib.sha256(part.read_bytes()).hexdigest() in text
    for said in (
        "c0ffee",
        "decade",
        "d" * 64,
        "50" * 32,
        "51" * 32,
        "5" * 64,
        "poly",
        "search vgg_aspp",
    ):
        assert said in text
    assert (report / "results" / "aspp_l.json").read_bytes() == found.read_bytes()
    result = json.loads(found.read_text())
    for stage in ("before", "after"):
        first, second = (seed[stage]["miou"] for seed in result["seeds"])
        assert f"{(first + second) / 2:.2f} (seeds: {first:.2f}, {second:.2f}) [" in text


def test_a_run_without_a_result_says_so_and_how_to_make_one(page: GetPage) -> None:
    index = page("index.html")
    rows = [r for r, (tag, _) in enumerate(index.elements) if tag == "tr"]
    seen = 0
    for row in rows:
        links = index.inside(row, "a")
        if links and links[0]["href"] == "runs/fov_4x4_r8.html":
            cells = [c for c in index.find("td", class_="measured") if row in index.around[c]]
            texts = [index.text(cell) for cell in cells]
            seen += len(texts) // 4
            assert [text for place, text in enumerate(texts) if place % 4 == 1] == ["not run"] * (
                len(texts) // 4
            )
    assert seen == 5
    text = page("runs/fov_4x4_r8.html").whole_text
    assert "Not run." in text
    assert "; dvc repro evaluate@fov_4x4_r8 makes it" in text
    text = page("runs/resnet_plain.html").whole_text
    assert "; dvc repro pipelines/voc_resnet/dvc.yaml:evaluate@resnet_plain makes it" in text


def test_a_familys_run_is_made_again_by_its_own_pipeline_or_left_out(copied: Path) -> None:
    path = copied / "profiles" / "demo.yaml"
    path.write_text(path.read_text() + "\nfamilies: [cityscapes]\n")
    results, run = copied / "results" / "demo", "cityscapes_vgg_large_fov"
    text = (results / "aspp_s.json").read_text().replace('"aspp_s"', f'"{run}"')
    (results / f"{run}.json").write_text(text)
    pages = stages.report(load(copied)).parent / "runs"
    text = (pages / f"{run}.html").read_text()
    made = f"dvc repro pipelines/cityscapes/dvc.yaml:evaluate@{run}"
    assert f"<dt>made again by</dt><dd>{made}</dd>" in text
    text = (pages / "resnet_plain.html").read_text()
    assert "Not run.</b> Profile demo leaves out the family voc_resnet.</p>" in text


def test_names_with_html_are_shown_as_text(report: Path, page: GetPage) -> None:
    index, run = page("index.html"), page("runs/aspp_l.html")
    text = index.whole_text
    # "a<i>b" is not among the images shown: its neighbours in the sorted list are
    for said in ("<b>cat</b>", "c&amp;d", "k%20l", "Of <script>alert(1)</script> runs."):
        assert said in text
    for said in ("<em>four</em>", "<u>source</u>", 'dog & "hound"', "a<i>b"):
        assert said in run.whole_text
    alts = [found["alt"] for tag, found in index.elements if tag == "img"]
    assert 'a "picture" & <i>more</i>' in alts
    assert "after CRF: background, <b>cat</b>" in alts
    for name in _pages(report):
        tags = Counter(tag for tag, _ in page(name).elements)
        assert tags["script"] == 1
        assert not tags["em"] + tags["u"]
        assert all(text != "cat" for _, text in page(name).texts)


def test_the_overview_counts_every_cell_and_claim(repository: Path, page: GetPage) -> None:
    index = page("index.html")
    with (repository / "tables" / "demo" / "claims.csv").open() as stream:
        claims = {row["claim"]: row["claim_verdict"] for row in csv.DictReader(stream)}
    cells = Counter[str]()
    for number in range(1, 10):
        with (repository / "tables" / "demo" / f"table{number}.csv").open() as stream:
            for row in csv.DictReader(stream):
                cells.update(v for key, v in row.items() if key.startswith("verdict_"))
    assert (len(claims), cells.total()) == (CLAIMS, CELLS)
    (box,) = index.find("div", class_="counts")
    shown = [
        index.text(item)
        for item, (tag, _) in enumerate(index.elements)
        if tag == "li" and box in index.around[item]
    ]
    wanted = [Counter(claims.values()), cells]
    assert sorted(" ".join(text.split()) for text in shown) == sorted(
        f"{times} {sign(verdict)} {verdict}"
        for counts in wanted
        for verdict, times in counts.items()
    )
    assert f"{CLAIMS} claims" in index.text(box)
    assert f"{CELLS} cells" in index.text(box)
    assert "7 min 10 s" in index.text(box)  # 7 seeds of 61.5 s
    assert "These numbers are not comparable with the paper's." in index.whole_text


def test_every_claim_says_what_ours_was_computed_from(page: GetPage) -> None:
    index = page("index.html")
    sources = [index.text(cell) for cell in index.find("td", class_="source")]
    assert len(sources) > CLAIMS
    assert all(sources)
    near = next(text for text in sources if "near contours" in text)
    assert "resnet_msc_coco_aug_aspp, before CRF" in " ".join(near.split())
    assert "aspp_l, after CRF" in " ".join(near.split())


def test_numbers_are_those_of_the_tables(repository: Path, page: GetPage) -> None:
    index = page("index.html")
    with (repository / "tables" / "demo" / "claims.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["ours"]]
    assert len(rows) > 5
    for row in rows:
        number = f"{float(row['ours']):.2f}"
        number = f"{number}x" if row["kind"] == "ratio" else number.lstrip("-")
        lines = [
            " ".join(index.text(place).split())
            for place, (tag, found) in enumerate(index.elements)
            if tag == "tr" and found.get("id", "").startswith(f"claim-{row['claim']}")
        ]
        there = [line for line in lines if number in line and row["verdict"] in line]
        assert there
        if row["low"]:
            interval = f"[{float(row['low']):.2f}, {float(row['high']):.2f}]"
            assert any(interval in line for line in there)


@pytest.mark.parametrize("verdict", [*Verdict, *ClaimVerdict])
def test_every_verdict_has_a_sign_and_a_colour(verdict: str) -> None:
    assert sign(verdict)
    assert kind(verdict) in ("good", "near", "bad", "neutral", "none")
    opposite = {Verdict.OFF: Verdict.WITHIN_TOLERANCE, ClaimVerdict.CONTRADICTED: "reproduced"}
    if verdict in opposite:
        assert kind(verdict) != kind(opposite[verdict])
        assert sign(verdict) != sign(opposite[verdict])


def test_comparable_results_carry_no_warning(copied: Path) -> None:
    for path in (copied / "results" / "demo").glob("*.json"):
        path.write_text(path.read_text().replace('"comparable": false', '"comparable": true'))
    text = stages.report(load(copied)).read_text()
    assert "not comparable with the paper" not in text
    assert 'class="verdict bad"' in text  # made-up numbers lie far off


def test_where_nothing_is_there_all_is_not_run(tmp_path: Path) -> None:
    from replication.plan import load as load_settings

    root = Path(__file__).resolve().parents[2]
    for name in ("params.yaml", "experiments.yaml", "profiles"):
        (tmp_path / name).symlink_to(root / name)
    text = stages.report(load_settings(tmp_path, "paper")).read_text()
    assert "Nothing has been run yet." in text
    for section in ("trimap", "before-after", "searches", "figures"):
        assert f'<section id="{section}">' not in text
    assert (tmp_path / "report" / "paper" / "runs" / "aspp_l.html").is_file()


def test_the_same_inputs_give_the_same_bytes(report: Path, copied: Path) -> None:
    again = stages.report(load(copied)).parent
    names = [path.relative_to(report) for path in report.rglob("*") if path.is_file()]
    assert names == [path.relative_to(again) for path in again.rglob("*") if path.is_file()]
    assert [n for n in names if (report / n).read_bytes() != (again / n).read_bytes()] == []


def test_a_report_takes_the_place_of_the_old_one_or_leaves_it(copied: Path) -> None:
    page = stages.report(load(copied))
    (page.parent / "stale.txt").write_text("of an older report")
    stages.report(load(copied))
    assert not (page.parent / "stale.txt").exists()
    (copied / "results" / "demo" / "aspp_l.json").write_text("{")
    before = page.read_bytes()
    with pytest.raises(ReplicationError, match=r"aspp_l\.json"):
        stages.report(load(copied))
    assert page.read_bytes() == before
    left = [path.name for path in page.parent.parent.iterdir() if path.name != ".demo.lock"]
    assert left == ["demo"]
