"""The parts of the report: chart, heat map, images, figures, and the command."""

import json
import logging
import math
import re
import shutil
import subprocess
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from replication import stages
from replication.cli import app
from replication.data.palette import voc_palette
from replication.plan import load
from replication.report.figures import copy_figures
from replication.report.overview import duration
from replication.report.run_view import flatten
from replication.report.trimap import marker

ROOT = Path(__file__).resolve().parents[2]
GetPage = Callable[[str], Any]


def _curve(page: Any, run: str, stage: str) -> dict[str, str]:
    (found,) = [
        found
        for tag, found in page.elements
        if tag == "g" and (found.get("data-run"), found.get("data-stage")) == (run, stage)
    ]
    return found


def test_the_trimap_chart_holds_the_mean_over_seeds(page: GetPage) -> None:
    index = page("index.html")
    # aspp_l has two seeds, 25 and 26 plus the width before the CRF, 20 more after it
    for stage, start in (("before", 25.5), ("after", 45.5)):
        values = _curve(index, "aspp_l", stage)["data-values"].split()
        assert values == ["-", *(f"{start + width:.2f}" for width in range(2, 13))]
    assert "off" in _curve(index, "fov_7x7_r4", "after")["class"].split()
    for run in ("poly_b10_20k", "aspp_s", "aspp_l"):  # table 3's
        assert "off" not in _curve(index, run, "after")["class"].split()
    looks = {
        (found["class"].split()[1], found["data-run"])
        for tag, found in index.elements
        if tag == "g" and "data-run" in found
    }
    assert len({colour for colour, _ in looks}) == len({run for _, run in looks}) == 6


def test_a_curve_lies_where_its_values_say(page: GetPage) -> None:
    index = page("index.html")
    ticks = [
        (float(found["d"].split("H")[0].split()[1]), None)
        for tag, found in index.elements
        if tag == "path" and "H704" in found.get("d", "")
    ]
    (group,) = [
        place
        for place, (tag, found) in enumerate(index.elements)
        if tag == "g" and found.get("data-run") == "aspp_s" and found["data-stage"] == "before"
    ]
    line = next(f["d"] for f in index.inside(group, "path") if f["class"] == "line")
    assert line.count("M") == 1  # nothing within one pixel, then all
    points = [tuple(map(float, p.split())) for p in re.split("[ML]", line) if p]
    xs, ys = zip(*points, strict=True)
    assert np.allclose(np.diff(xs), 640 / 12, atol=0.11)
    # values rise by one a width: a straight line, as steep as the distance of two ticks says
    low, high = max(y for y, _ in ticks), min(y for y, _ in ticks)
    assert np.allclose(np.diff(ys), np.diff(ys)[0], atol=0.11)
    assert all(high <= y <= low for y in ys)


@pytest.mark.parametrize("kind", range(5))
def test_a_marker_is_closed_and_around_its_place(kind: int) -> None:
    path = marker(kind, 100, 50)
    assert path.startswith("M")
    assert path.endswith("z")
    if kind:
        corners = np.array([p.split() for p in re.split("[MLz]", path) if p], float)
        assert np.abs(corners.mean(axis=0) - (100, 50)).max() < 2.5
        assert np.abs(corners - (100, 50)).max() < 8


def test_the_heat_map_has_a_square_for_every_coarse_point(page: GetPage) -> None:
    index = page("index.html")
    squares = index.find("rect", class_="point")
    assert len(squares) == 2 * 3 * 2
    for square in squares:
        words = index.text(square)
        w1, alpha, beta, miou = map(
            float,
            re.fullmatch(r"w1 (\S+), σα (\S+), σβ (\S+): (\S+) %", words).groups(),  # type: ignore[union-attr]
        )
        assert miou == pytest.approx(50 + w1 + alpha / 10 + beta)
    xs = sorted({float(index.elements[s][1]["x"]) for s in squares})
    assert np.allclose(np.diff(xs), float(index.elements[squares[0]][1]["width"]), atol=0.5)
    (dot,) = index.find("circle", class_="point")
    assert index.text(dot) == "w1 3.75, σα 52.5, σβ 4.25: 64.00 %"  # the best, not the higher
    (ring,) = index.find("circle", class_="ring")
    for key in ("cx", "cy"):
        assert index.elements[ring][1][key] == index.elements[dot][1][key]
    colours = {index.text(s): index.elements[s][1]["fill"] for s in squares}
    assert len(set(colours.values())) > 4


def test_images_are_chosen_by_name_and_show_the_labels(report: Path, page: GetPage) -> None:
    index = page("index.html")
    names = [index.text(h) for h, (tag, _) in enumerate(index.elements) if tag == "h3"]
    # middles of four equal parts of the eight sorted names
    assert [n for n in names if n in ("c&amp;d", "g'h", "k%20l", "o?p")] == [
        "c&amp;d",
        "g'h",
        "k%20l",
        "o?p",
    ]
    palette = [tuple(colour) for colour in voc_palette()[:2].tolist()]
    found = {}
    for what in ("before", "after", "truth"):
        with Image.open(report / "images" / f"2_{what}.png") as image:
            assert image.mode == "P"
            found[what] = np.asarray(image.convert("RGB"))
            assert found[what].shape == (17, 25, 3)
    # scores of classes 1 and 0 cross halfway between the second and third of samples 8 apart
    before = (found["before"] == palette[1]).all(axis=-1)
    assert before[:, :12].all()
    assert not before[:, 13:].any()
    after = (found["after"] == palette[1]).all(axis=-1)
    assert after[:, :8].all()
    assert not after[:, 8:].any()
    assert (found["truth"][0] == 255).all()  # void is white
    with Image.open(report / "images" / "2_photograph.webp") as photograph:
        assert np.abs(np.asarray(photograph).astype(int) - 60).max() <= 3  # the fourth id's grey


def test_figures_keep_their_pixels_and_captions(repository: Path, report: Path) -> None:
    for name in ("figure2", "learning_curves"):
        with (
            Image.open(repository / "figures" / "demo" / f"{name}.png") as drawn,
            Image.open(report / "figures" / f"{name}.webp") as shown,
        ):
            assert np.array_equal(np.asarray(drawn), np.asarray(shown.convert("RGB")))
    assert not (report / "figures" / "not_drawn.webp").exists()


@pytest.mark.parametrize(
    "captions",
    [None, "no json", "{}", '[{"name": "../../secret", "title": "", "caption": "", "alt": ""}]'],
)
def test_without_proper_captions_there_are_no_figures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, captions: str | None
) -> None:
    if captions is not None:
        (tmp_path / "captions.json").write_text(captions)
    with caplog.at_level(logging.WARNING):
        assert copy_figures(tmp_path, tmp_path / "out", named="figures/demo") == []
    (record,) = caplog.records
    assert "captions.json" in record.getMessage()
    assert not (tmp_path / "out").exists()


def test_a_clone_shows_the_figures_that_git_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["figure3", "claims", "before_after", "learning_curves", "figure9"]
    captions = [{"name": name, "title": name, "caption": "", "alt": ""} for name in names]
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    for name in ("claims", "learning_curves", "figure9"):
        Image.new("RGB", (8, 6)).save(tmp_path / f"{name}.png")
    (tmp_path / "figure9.png").write_text("no picture")
    with caplog.at_level(logging.WARNING):
        shown = copy_figures(tmp_path, tmp_path / "out", named="figures/photos")
    assert [figure.caption.name for figure in shown] == ["claims", "learning_curves"]
    assert sorted(path.stem for path in (tmp_path / "out" / "figures").iterdir()) == [
        "claims",
        "learning_curves",
    ]
    first, second = (record.getMessage() for record in caplog.records)
    assert first.endswith("has no picture of figure3, before_after: the report goes without")
    assert "figure9.png can't be read" in second


def test_captions_in_git_are_those_of_the_figures_in_git() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git repository")

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout

    files = [Path(name) for name in git("ls-tree", "-r", "--name-only", "HEAD", "figures").split()]
    captioned = [path.parent for path in files if path.name == "captions.json"]
    assert Path("figures/demo") in captioned
    for folder in captioned:
        captions = json.loads(git("show", f"HEAD:{folder.as_posix()}/captions.json"))
        drawn = [path.stem for path in files if path.parent == folder and path.suffix == ".png"]
        assert sorted(caption["name"] for caption in captions) == sorted(drawn)


def test_a_missing_image_leaves_out_that_section_alone(
    copied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    next((copied / "refined/demo/aspp_l/seed_0").glob("c*.png")).unlink()
    with caplog.at_level(logging.WARNING):
        page = stages.report(load(copied))
    assert '<section id="before-after">' not in page.read_text()
    assert '<section id="trimap">' in page.read_text()
    assert not (page.parent / "images").exists()
    assert any("no images before and after" in record.getMessage() for record in caplog.records)


def test_results_without_trimap_or_counts_leave_out_what_needs_them(copied: Path) -> None:
    for path in (copied / "results" / "demo").iterdir():
        if path.suffix == ".npz":
            path.unlink()
        else:
            result = json.loads(path.read_text())
            for seed in result["seeds"]:
                del seed["before"]["trimap"], seed["after"]["trimap"]
            path.write_text(json.dumps(result))
    text = stages.report(load(copied)).read_text()
    assert '<section id="trimap">' not in text
    assert "≠" in text


@pytest.mark.parametrize(
    ("seconds", "printed"),
    [(4.26, "4.3 s"), (106, "1 min 46 s"), (3599.9, "60 min 00 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, printed: str) -> None:
    assert duration(seconds) == printed


def test_nested_settings_become_lines() -> None:
    nested = {"a": {"b": [1, 2], "c": None}, "d": [{"e": True}, {"e": 0.1}], "f": list(range(20))}
    assert flatten(nested) == [
        ("a.b", "1, 2"),
        ("a.c", "–"),
        ("d 1.e", "yes"),
        ("d 2.e", "0.1"),
        ("f", ", ".join(map(str, range(12))) + " and 8 more"),
    ]


def test_the_command_builds_and_opens_the_page(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    done = CliRunner().invoke(app, ["report", "--open", "--root", str(copied)])
    assert done.exit_code == 0, done.output
    page = copied / "report" / "demo" / "index.html"
    assert done.output.split() == [str(page)]
    assert opened == [page.as_uri()]
    # photos needs no folder of photographs where nothing is made
    done = CliRunner().invoke(app, ["report", "--profile", "photos", "--root", str(copied)])
    assert done.exit_code == 0, done.output
    assert (copied / "report" / "photos" / "index.html").is_file()
    assert len(opened) == 1


def test_pages_stay_out_of_git_and_their_code_does_not() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git repository")
    asked = ["report/photos/images/1_photograph.webp", "report/smoke/index.html"]
    asked += ["report/.demo.x/index.html", "report/demo/index.html", "replication/report/build.py"]
    ignored = subprocess.run(
        ["git", "check-ignore", *asked], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ignored.stdout.split() == asked[:4]


def test_the_demo_stays_small(report: Path) -> None:
    pages = sum(path.stat().st_size for path in report.rglob("*.html"))
    script = sum((report / name).stat().st_size for name in ("report.css", "report.js"))
    assert math.ceil(pages / 1024) < 400
    assert script < 25_000
