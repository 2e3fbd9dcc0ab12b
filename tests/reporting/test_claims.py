"""Claims from made-up results of every kind, and intervals in the tables' cells."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replication.errors import ReplicationError
from replication.evaluation.bootstrap import draws
from replication.evaluation.confusion import mean_iou
from replication.evaluation.image_counts import read_image_counts
from replication.paper import reported
from replication.reporting.claims import judge_claims
from replication.reporting.evidence import Evidence
from replication.reporting.tables import write_tables

WriteCounted = Callable[..., Path]


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def verdicts(folder: Path) -> dict[str, str]:
    judged = judge_claims(Evidence(folder, "demo"), reported.load())
    return {one.claim.id: one.verdict.value for one in judged}


def test_without_results_nothing_is_claimed(tmp_path: Path) -> None:
    found = verdicts(tmp_path)
    assert len(found) == 36
    assert set(found.values()) == {"not run"}
    *_, md, table = write_tables(tmp_path, tmp_path / "out", "demo")
    assert md.read_text().splitlines()[0] == "# The paper's claims, profile demo: not run yet"
    assert "Of 36 claims: 36 not run." in md.read_text()
    assert all(line["ours"] == line["low"] == line["result_files"] == "" for line in lines(table))


def test_every_kind_of_verdict(write_counted: WriteCounted) -> None:
    folder = write_counted("poly_b30_6k", before=(0.70,), spread=0.0)
    write_counted("poly_b30_10k", before=(0.709,), spread=0.0)  # + 1.3 points
    write_counted("poly_b10_10k", before=(0.709,), spread=0.0)
    write_counted("poly_b10_20k", before=(0.75,), after=(0.80,), spread=0.0)
    write_counted("fov_3x3_r12", before=(0.60,), after=(0.60,), speeds=(10.0,), spread=0.0)
    write_counted("aspp_s", before=(0.74,), after=(0.76,), spread=0.0)
    write_counted("aspp_l", before=(0.758,), after=(0.80,), spread=0.0)
    found = verdicts(folder)
    assert found["more_iterations"] == "reproduced"
    assert found["smaller_batch_same"] == "reproduced"
    assert found["poly_beats_step"] == "same direction, larger"
    assert found["aspp_s_before_crf"] == "contradicted"
    assert found["aspp_s_after_crf"] == "contradicted"
    assert found["aspp_l_before_crf"] == "same direction, smaller"
    assert found["aspp_l_after_crf"] == "no difference seen"
    assert found["fov_large_beats_small"] == found["largefov_faster"] == "not run"
    write_counted("fov_7x7_r4", speeds=(3.0,))
    assert verdicts(folder)["largefov_faster"] == "reproduced"


def test_a_claim_of_several_parts_needs_all_and_takes_the_worst(
    write_counted: WriteCounted, tmp_path: Path
) -> None:
    for run in ("fov_7x7_r4", "fov_4x4_r4", "fov_4x4_r8"):
        folder = write_counted(run, before=(0.70,), after=(0.73,))
    assert verdicts(folder)["crf_gain_table1"] == "not run"
    write_counted("fov_3x3_r12", before=(0.70,), after=(0.65,))
    assert verdicts(folder)["crf_gain_table1"] == "contradicted"
    *_, md, table = write_tables(folder, tmp_path / "out", "demo")
    parts = [line for line in lines(table) if line["claim"] == "crf_gain_table1"]
    assert [line["verdict"] for line in parts][-1] == "contradicted"
    assert len(parts) == 4
    assert len({line["verdict"] for line in parts}) == 2
    assert {line["claim_verdict"] for line in parts} == {"contradicted"}
    assert "| – CRF, 3x3 rate 12 |" in md.read_text()
    assert "| +3.26 to +5.39 |" in md.read_text()


def test_the_interval_is_that_of_a_loop_over_paired_draws(write_counted: WriteCounted) -> None:
    folder = write_counted("aspp_l", before=(0.75, 0.74), after=(0.8, 0.8), images=15)
    write_counted("poly_b10_20k", before=(0.74,), after=(0.8,), images=15, spread=0.1)
    evidence = Evidence(folder, "demo")
    drawn = draws(15)[:, None, :, None, None]

    def by_hand(run: str) -> np.ndarray:
        counts = evidence.counts(run)
        assert counts is not None
        hit, true, predicted = np.moveaxis(counts.of("before"), 2, 0)  # (seeds, images, C)
        sums = [(drawn[..., 0] * part).sum(axis=2) for part in (hit, true, predicted)]
        return np.asarray((100 * sums[0] / (sums[1] + sums[2] - sums[0])).mean(axis=(1, 2)))

    interval = evidence.difference(("aspp_l", "before.miou"), ("poly_b10_20k", "before.miou"))
    expected = np.percentile(by_hand("aspp_l") - by_hand("poly_b10_20k"), [2.5, 97.5])
    assert interval == pytest.approx(expected, rel=1e-9)
    alone = evidence.interval("aspp_l", "before.miou")
    assert alone == pytest.approx(np.percentile(by_hand("aspp_l"), [2.5, 97.5]), rel=1e-9)


def test_near_contours_one_network_before_is_another_after(write_counted: WriteCounted) -> None:
    """Figure 10b's claim, which the paper states without a number."""
    name = "resnet_before_equals_vgg_after_in_trimap"
    folder = write_counted("resnet_msc_coco_aug_aspp", before=(0.8,), after=(0.85,))
    assert verdicts(folder)[name] == "not run"
    write_counted("aspp_l", before=(0.7,), after=(0.8,))
    assert verdicts(folder)[name] == "reproduced"
    write_counted("aspp_l", before=(0.8,), after=(0.9,))
    assert verdicts(folder)[name] == "contradicted"


def test_csv_holds_differences_of_results_and_markdown_repeats_them(
    write_counted: WriteCounted, tmp_path: Path
) -> None:
    folder = write_counted("aspp_l", before=(0.75, 0.74), after=(0.8, 0.8))
    write_counted("poly_b10_20k", before=(0.7,), after=(0.75,))
    *_, md, table = write_tables(folder, tmp_path / "out", "demo")
    text = md.read_text()
    assert text.splitlines()[0].startswith(
        "# The paper's claims, on sample data (voc2012 sample): verdicts hold for these images"
    )
    line = next(one for one in lines(table) if one["claim"] == "aspp_l_before_crf")
    means = {}
    for run in ("aspp_l", "poly_b10_20k"):
        seeds = json.loads((folder / f"{run}.json").read_text())["seeds"]
        means[run] = np.mean([mean_iou(np.array(s["before"]["confusion"])) for s in seeds])
    rounded = [round(float(means[run]), 2) for run in ("aspp_l", "poly_b10_20k")]
    assert float(line["ours"]) == pytest.approx(rounded[0] - rounded[1], abs=1e-9)
    assert float(line["low"]) < float(line["ours"]) < float(line["high"])
    assert line["reported"] == "3.20"
    assert line["runs"] == "aspp_l poly_b10_20k"
    for name in line["result_files"].split():
        assert (table.parent / name).resolve().parent == folder
    assert f"| +3.20 | +{line['ours']} | [{line['low']}, {line['high']}] |" in text
    assert "[aspp_l](" in text
    assert len({one["claim"] for one in lines(table)}) == 36


def test_other_images_or_no_counts_are_not_judged(write_counted: WriteCounted) -> None:
    folder = write_counted("aspp_l")
    write_counted("poly_b10_20k", first=1)
    assert verdicts(folder)["aspp_l_before_crf"] == "not judged"
    write_counted("poly_b10_20k", images=41)
    assert verdicts(folder)["aspp_l_before_crf"] == "not judged"
    write_counted("poly_b10_20k")
    assert verdicts(folder)["aspp_l_before_crf"] != "not judged"
    (folder / "aspp_l.npz").unlink()
    assert verdicts(folder)["aspp_l_before_crf"] == "not judged"
    (folder / "poly_b10_20k.json").unlink()
    assert verdicts(folder)["aspp_l_before_crf"] == "not run"


def test_other_data_of_the_same_ids_is_not_judged(write_counted: WriteCounted) -> None:
    folder = write_counted("aspp_l")
    write_counted("poly_b10_20k")
    content = json.loads((folder / "aspp_l.json").read_text())
    content["data"]["meta_sha256"] = "2" * 64
    (folder / "aspp_l.json").write_text(json.dumps(content))
    assert verdicts(folder)["aspp_l_before_crf"] == "not judged"


def test_counts_of_another_result_are_named(write_counted: WriteCounted, tmp_path: Path) -> None:
    folder = write_counted("aspp_l", before=(0.6,))
    stale = (folder / "aspp_l.npz").read_bytes()
    write_counted("aspp_l", before=(0.7,))
    (folder / "aspp_l.npz").write_bytes(stale)
    with pytest.raises(ReplicationError, match=r"aspp_l\.npz: its counts do not add up") as caught:
        write_tables(folder, tmp_path / "out", "demo", target="pipelines/mine:{}@{}".format)
    assert "\n" not in str(caught.value)
    assert "--force pipelines/mine:evaluate@aspp_l`" in str(caught.value)
    assert read_image_counts(folder / "aspp_l.npz") is not None


def test_cells_have_intervals(write_counted: WriteCounted, tmp_path: Path) -> None:
    folder = write_counted("aspp_l", before=(0.75, 0.74), after=(0.8, 0.8))
    write_tables(folder, tmp_path / "out", "demo")
    row = lines(tmp_path / "out" / "table3.csv")[2]
    low, high = json.loads(row["ours_interval_miou_before"])
    ours, std = float(row["ours_miou_before"]), row["ours_std_miou_before"]
    assert low < ours < high
    text = (tmp_path / "out" / "table3.md").read_text()
    assert f"| {ours:.2f} ± {std} [{low:.2f}, {high:.2f}] |" in text
    assert "95 % interval of 2,000 resamplings" in text
    assert f"$\\pm$ {std} [{low:.2f}, {high:.2f}]" in (tmp_path / "out" / "table3.tex").read_text()
    other = lines(tmp_path / "out" / "table1.csv")[0]
    assert "ours_interval_parameters" not in other
    assert other["ours_interval_miou_before"] == ""
    assert "resamplings" not in (tmp_path / "out" / "table1.md").read_text()


def test_a_cell_whose_interval_holds_the_papers_value(
    write_counted: WriteCounted, tmp_path: Path
) -> None:
    common: dict[str, Any] = {"comparable": True, "data": "voc2012"}
    # 3x3 rate 12, the paper: 62.25 before the CRF, 67.64 after it; 0.78 of the pixels give 64 %
    folder = write_counted("fov_3x3_r12", before=(0.78,), after=(0.50,), spread=0.3, **common)
    write_tables(folder, tmp_path / "out", "demo", tables=["table1"])
    row = lines(tmp_path / "out" / "table1.csv")[3]
    low, high = json.loads(row["ours_interval_miou_before"])
    assert low < 62.25 < high
    assert abs(float(row["difference_miou_before"])) > 0.5
    assert row["verdict_miou_before"] == "within the interval"
    assert row["verdict_miou_after"] == "off"


def test_same_results_same_bytes(write_counted: WriteCounted, tmp_path: Path) -> None:
    folder = write_counted("aspp_l")
    write_counted("poly_b10_20k", before=(0.7,))
    first = [p.read_bytes() for p in write_tables(folder, tmp_path / "out", "demo")]
    draws.cache_clear()
    again = [p.read_bytes() for p in write_tables(folder, tmp_path / "out", "demo")]
    assert first == again
