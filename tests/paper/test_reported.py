"""The package's numbers of the paper against an independent transcription, and their validation."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from replication.paper.reported import Reported, load
from replication.settings import Experiments, parse

TABLE_1 = ["fov_7x7_r4", "fov_4x4_r4", "fov_4x4_r8", "fov_3x3_r12"]
TABLE_2 = ["fov_3x3_r12", "poly_b30_6k", "poly_b30_10k", "poly_b10_10k", "poly_b10_20k"]
TABLE_3 = ["poly_b10_20k", "aspp_s", "aspp_l"]
FAMILIES = {
    "table4": "voc_resnet",
    "table6": "context",
    "table7": "person_part",
    "table9": "cityscapes",
}


@pytest.fixture
def transcription(shared: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((shared / "paper" / "reported.yaml").read_text())
    return content


_CELL = ("table3", "aspp_l", "miou_before")


def raw() -> dict[str, Any]:
    return load().model_dump()


def test_table_1_equals_transcription(transcription: dict[str, Any]) -> None:
    ours = [
        [
            int(str(row.keys["kernel"])[0]),
            row.keys["rate"],
            *(row.reported[n] for n in ["fov", "parameters", "images_per_second"]),
            *(row.reported[n] for n in ["miou_before", "miou_after"]),
        ]
        for row in load().tables["table1"].rows
    ]
    assert ours == transcription["table1"]["rows"]


def test_table_2_equals_transcription(transcription: dict[str, Any]) -> None:
    ours = [
        [*row.keys.values(), row.reported["miou_before"]] for row in load().tables["table2"].rows
    ]
    assert ours == transcription["table2"]["rows"]


def test_table_3_equals_transcription(transcription: dict[str, Any]) -> None:
    ours = [[*row.keys.values(), *row.reported.values()] for row in load().tables["table3"].rows]
    assert ours == transcription["table3"]["rows"]


@pytest.mark.parametrize("name", ["table4", "table6", "table7", "table9"])
def test_tables_of_flags_equal_transcription(transcription: dict[str, Any], name: str) -> None:
    theirs = transcription[name]
    table = load().tables[name]
    assert [*(key.name for key in table.keys), "miou"] == theirs["columns"]
    ours = [[*row.keys.values(), row.reported["miou"]] for row in table.rows]
    assert ours == theirs["rows"]
    for row in table.rows:  # the CRF's rows are the same runs, measured after it
        assert (row.fields == {"miou": "after.miou"}) == row.keys["crf"]


@pytest.mark.parametrize("name", ["table5", "table8"])
def test_tables_of_test_servers_equal_transcription(
    transcription: dict[str, Any], name: str
) -> None:
    table = load().tables[name]
    ours = [[*row.keys.values(), row.reported["miou"]] for row in table.rows]
    assert ours == transcription[name]["rows"]
    assert [row.run is not None for row in table.rows] == [False] * (len(ours) - 1) + [True]


def test_inferred_flags_are_those_of_the_transcription(shared: Path) -> None:
    """The transcription says so in a comment at the end of the row's line."""
    text = (shared / "paper" / "reported.yaml").read_text()
    for name in ("table6", "table7"):
        part = text[text.index(f"{name}:") :].split("\n\n")[0]
        said = [line.partition("#")[2] for line in part.splitlines() if "- [" in line]
        for row, comment in zip(load().tables[name].rows, said, strict=True):
            words = set(comment.replace("inferred", "").replace("and", "").split())
            assert set(row.inferred) == words


@pytest.mark.parametrize(("name", "family"), FAMILIES.items())
def test_flags_say_what_the_runs_are(name: str, family: str) -> None:
    """A row's flags, and the run's entry in experiments.yaml."""
    root = Path(__file__).resolve().parents[2]
    runs = parse(Experiments, root / "experiments.yaml").families[family]
    assert load().tables[name].runs() == list(runs)
    for row in load().tables[name].rows:
        assert row.run is not None
        run, keys = runs[row.run], row.keys
        assert keys.get("backbone", "resnet101") == run.backbone
        assert keys.get("msc", False) == (run.multi_scale is not None)
        assert keys.get("coco", False) == (run.init == "resnet_coco")
        assert keys["aug"] == (len(run.rescale) > 1)
        assert keys["largefov"] == (run.head.kernel == 3 and len(run.head.rates) == 1)
        assert keys["aspp"] == (len(run.head.rates) == 4)
        assert keys.get("full", True) == (run.data != "cityscapes_half")


@pytest.mark.parametrize("name", ["table1", "table2", "table3"])
def test_test_set_figures_equal_transcription(transcription: dict[str, Any], name: str) -> None:
    ours = load().tables[name].test_set
    theirs = next(v for k, v in transcription[name].items() if k.startswith("test_set"))
    assert sorted(ours.values()) == sorted(theirs.values())


def test_effects_equal_the_claims_of_the_same_name(transcription: dict[str, Any]) -> None:
    claims = {claim["id"]: claim.get("delta") for claim in transcription["claims"]}
    checked = 0
    for table in load().tables.values():
        for effect in table.effects:
            if effect.id in claims:
                assert table.reported_effect(effect) == claims[effect.id]
                checked += 1
    assert checked == 10 + 6 + 5 + 5 + 5  # of tables 1 to 3, 4, 6, 7, 9


def test_crf_gains_of_table_1_span_the_claimed_range(transcription: dict[str, Any]) -> None:
    table = load().tables["table1"]
    gains = [table.reported_effect(e) for e in table.effects if e.id.startswith("crf_gain")]
    claim = next(c for c in transcription["claims"] if c["id"] == "crf_gain_table1")
    assert [min(gains), max(gains)] == claim["delta"]


def test_every_claim_is_here_with_its_number(transcription: dict[str, Any]) -> None:
    theirs = {claim["id"]: claim for claim in transcription["claims"]}
    assert [claim.id for claim in load().claims] == list(theirs)
    for claim in load().claims:
        numbers = []
        for name in claim.effects:
            table, effect = load().effect(name)
            numbers.append(table.reported_effect(effect))
        if claim.across is not None:
            of, over = (load().find(cell)[0] for cell in (claim.across.of, claim.across.over))
            numbers.append(round(of.reported["miou"] - over.reported["miou_before"], 2))
        if claim.ratio is not None:
            table = load().tables[claim.ratio.table]
            ratio = table.reported(claim.ratio.of) / table.reported(claim.ratio.over)
            numbers.append(round(ratio, 2))
        said = theirs[claim.id].get("delta", theirs[claim.id].get("ratio", []))
        said = said if isinstance(said, list) else [said]
        assert {min(numbers), max(numbers)} == {min(said), max(said)} if said else not numbers
        source = theirs[claim.id]["from"]
        assert [s.replace(" ", "") for s in claim.source] == (
            source if isinstance(source, list) else [source]
        )


def test_claims_of_no_difference_are_those_within_its_tolerance() -> None:
    within = load().tolerances["same"].within
    assert within is not None
    for claim in load().claims:
        numbers = [t.reported_effect(e) for t, e in map(load().effect, claim.effects)]
        for number in numbers:
            assert (abs(number) <= within) == (claim.kind == "same") or claim.id == "cityscapes_crf"


def test_runs_of_each_table_and_every_run_once() -> None:
    tables = load().tables
    assert [tables[f"table{n}"].runs() for n in (1, 2, 3)] == [TABLE_1, TABLE_2, TABLE_3]
    others = [run for name in FAMILIES for run in tables[name].runs()]
    assert sorted(load().runs()) == sorted(TABLE_1 + TABLE_2[1:] + TABLE_3[1:] + others)


def test_field_of_view_follows_from_kernel_and_rate() -> None:
    for row in load().tables["table1"].rows:
        kernel, rate = int(str(row.keys["kernel"])[0]), row.keys["rate"]
        assert isinstance(rate, int)
        assert row.reported["fov"] == (kernel - 1) * rate * 8 + 32


def test_a_row_may_share_a_run_and_fill_a_column_from_another_field() -> None:
    content = raw()
    row = dict(content["tables"]["table3"]["rows"][0])
    content["tables"]["table3"]["rows"].append(
        {**row, "id": "again", "fields": {"miou_before": "after.miou"}}
    )
    table = Reported.model_validate(content).tables["table3"]
    column = table.columns[0]
    assert [table.rows[i].field(column) for i in (0, -1)] == ["before.miou", "after.miou"]
    assert table.runs() == TABLE_3


def _break(content: dict[str, Any], how: str) -> None:
    table = content["tables"]["table1"]
    row = table["rows"][0]
    match how:
        case "unknown key":
            row["colour"] = 1
        case "missing cell":
            del row["reported"]["miou_after"]
        case "text for a number":
            row["reported"]["miou_after"] = "67,64"
        case "two rows of one name":
            table["rows"].append(row)
        case "unknown field":
            table["columns"][0]["field"] = "before.mean_iou"
        case "undeclared tolerance":
            table["columns"][0]["tolerance"] = "generous"
        case "negative tolerance":
            content["tolerances"]["miou"]["within"] = -1
        case "effect of nothing":
            table["effects"][0]["of"] = ("fov_9x9", "miou_before")
        case _:
            _break_claims(content, how)


def _break_claims(content: dict[str, Any], how: str) -> None:
    claims = content["claims"]
    match how:
        case "claim of nothing":
            claims[0]["effects"] = ["rate_9"]
        case "difference between nothing":
            across = {"of": ("table4", "a", "miou"), "over": _CELL}
            claims[0] |= {"effects": [], "across": across}
        case "claim of two kinds":
            claims[0]["reported"] = [1.0]
        case "ratio of nothing":
            claims[2]["ratio"]["of"] = ("fov_9x9", "miou_before")
        case "ratio without cells":
            claims[0]["kind"] = "ratio"
        case "two claims of one name":
            claims.append(claims[0])
        case "two effects of one name":
            effects = content["tables"]["table1"]["effects"]
            effects.append(effects[0])
        case "claims without tolerance":
            del content["tolerances"]["same"]


@pytest.mark.parametrize(
    "how",
    [
        "unknown key",
        "missing cell",
        "text for a number",
        "two rows of one name",
        "unknown field",
        "undeclared tolerance",
        "negative tolerance",
        "effect of nothing",
        "claim of nothing",
        "difference between nothing",
        "claim of two kinds",
        "ratio of nothing",
        "ratio without cells",
        "two claims of one name",
        "two effects of one name",
        "claims without tolerance",
    ],
)
def test_faults_are_refused(how: str) -> None:
    content = raw()
    _break(content, how)
    with pytest.raises(ValidationError):
        Reported.model_validate(content)


def test_every_tolerance_has_a_reason() -> None:
    tolerances = load().tolerances
    assert all(len(tolerance.reason) > 20 for tolerance in tolerances.values())
    assert tolerances["miou"].within == 0.5
    assert tolerances["field_of_view"].within == 0
    assert tolerances["speed"].within is None
