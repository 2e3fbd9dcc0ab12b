"""The table of searches, from made-up ones: read back and held against them."""

import csv
from pathlib import Path
from typing import Any

from replication.reporting.crf_table import write_crf_table


def made_up(name: str) -> dict[str, Any]:
    published = {"w1": 4, "sigma_alpha": 65, "sigma_beta": 3, "w2": 2, "sigma_gamma": 2}
    return {
        "search": name,
        "run": "aspp_l",
        "objective": "miou",
        "seed": 7,
        "engine": "lattice",
        "data": {"name": "made up", "split": "val", "images": 9},
        "ids": ["a", "b"],
        "fixed": {"w2": 3.0, "sigma_gamma": 3.0, "iterations": 10, "normalization": "after"},
        "points": [{}] * 128,
        "before_miou": 50.0,
        "best": {"w1": 5.25, "sigma_alpha": 40.0, "sigma_beta": 3.5, "miou": 53.256},
        "published": [{"name": "vgg_aspp_release", **published, "miou": 49.5}],
    }


def test_found_published_and_before(tmp_path: Path) -> None:
    path = tmp_path / "searches" / "demo" / "vgg_aspp.json"
    out = tmp_path / "tables" / "demo"
    assert write_crf_table({path: made_up("vgg_aspp")}, out) == [out / "crf.md", out / "crf.csv"]
    with (out / "crf.csv").open(newline="") as stream:
        before, searched, published = csv.DictReader(stream)
    assert (before["miou"], before["w1"], before["over_before"]) == ("50.0", "", "0.0")
    assert (searched["sigma_alpha"], searched["w2"], searched["miou"]) == ("40.0", "3.0", "53.256")
    assert searched["over_before"] == "3.26"  # of the printed 53.26
    assert (published["setting"], published["w2"]) == ("vgg_aspp_release", "2.0")
    assert published["over_before"] == "-0.5"
    link = out / published["search_file"]
    assert link.resolve() == path.resolve()
    text = (out / "crf.md").read_text()
    assert "| searched | 5.25 | 40 | 3.5 | 3 | 3 | 53.26 | +3.26 |" in text
    assert "| vgg_aspp_release | 4 | 65 | 3 | 2 | 2 | 49.50 | -0.50 |" in text
    assert "On 2 of 9 images of made up val (drawn with seed 7), scores of aspp_l; 128" in text


def test_numbers_are_rounded_once(tmp_path: Path) -> None:
    search = made_up("resnet_aspp")
    # 68.735 is below the middle in binary; 84.724 - 68.735025 is 15.989, the printed ones 15.98
    search |= {"before_miou": 68.735025, "published": []}
    search["best"]["miou"] = 84.724
    write_crf_table({tmp_path / "resnet_aspp.json": search}, tmp_path)
    before, searched = (tmp_path / "crf.md").read_text().splitlines()[-2:]
    assert before == "| before | - | - | - | - | - | 68.74 | 0.00 |"
    assert searched.endswith("| 84.72 | +15.98 |")
    with (tmp_path / "crf.csv").open(newline="") as stream:
        assert [row["miou"] for row in csv.DictReader(stream)] == ["68.735", "84.724"]


def test_nothing_without_a_search(tmp_path: Path) -> None:
    assert write_crf_table({}, tmp_path) == []
    assert not list(tmp_path.iterdir())
