"""Settings: what is in the repository is valid, and every mistake is one line with its cure."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from replication.errors import ReplicationError
from replication.plan import Settings, load, scale
from replication.settings import Head, MultiScale, Profile, Recipe, Run, parse, read_yaml

HERE = Path(__file__).resolve().parents[1]
PROFILES = sorted(path.stem for path in (HERE / "profiles").glob("*.yaml"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a copy of the repository's settings with profile `smoke`."""
    (tmp_path / "profiles").mkdir()
    for name in ("params.yaml", "experiments.yaml", *(f"profiles/{p}.yaml" for p in PROFILES)):
        (tmp_path / name).write_bytes((HERE / name).read_bytes())
    change(tmp_path / "params.yaml", "profile", "smoke")
    return tmp_path


def change(path: Path, key: str, value: Any) -> None:
    """Set a dotted key of a YAML file; the value `...` removes it."""
    content = json.loads(json.dumps(yaml.safe_load(path.read_text())))  # anchors part ways
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    path.write_text(yaml.safe_dump(content))


def complaint(root: Path) -> str:
    """Return the one line that loading ends with."""
    with pytest.raises(ReplicationError) as caught:
        load(root)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message.replace(f"{root}/", "")


def test_the_default_profile_is_demo_or_a_shipped_one() -> None:
    assert {"smoke", "demo", "photos", "paper"} <= set(PROFILES)
    assert yaml.safe_load((HERE / "params.yaml").read_text())["profile"] in PROFILES


@pytest.mark.parametrize("profile", PROFILES)
def test_every_shipped_profile_plans_every_run(root: Path, profile: str) -> None:
    change(root / "params.yaml", "profile", profile)
    change(root / "params.yaml", "data.folder", "/photographs")
    settings = load(root)
    assert isinstance(settings, Settings)
    for run in settings.experiments.runs:
        plan = settings.plan(run)
        assert plan.recipe.batch_size % plan.micro_batch == 0


def test_runs_are_those_of_tables_1_to_3() -> None:
    runs = yaml.safe_load((HERE / "experiments.yaml").read_text())["runs"]
    assert list(runs) == [
        *("fov_7x7_r4", "fov_4x4_r4", "fov_4x4_r8", "fov_3x3_r12"),
        *("poly_b30_6k", "poly_b30_10k", "poly_b10_10k", "poly_b10_20k"),
        *("aspp_s", "aspp_l"),
    ]
    recipe = {name: run["recipe"] for name, run in runs.items()}
    # (policy, batch, iterations), from table 2 and recipe.md's Training
    assert {
        name: (r["policy"], r["batch_size"], r["iterations"]) for name, r in recipe.items()
    } == {
        **dict.fromkeys(list(runs)[:4], ("step", 30, 6_000)),
        "poly_b30_6k": ("poly", 30, 6_000),
        "poly_b30_10k": ("poly", 30, 10_000),
        "poly_b10_10k": ("poly", 10, 10_000),
        "poly_b10_20k": ("poly", 10, 20_000),
        "aspp_s": ("poly", 10, 20_000),
        "aspp_l": ("poly", 10, 20_000),
    }
    for r in recipe.values():
        assert (r["base_lr"], r["momentum"], r["weight_decay"]) == (0.001, 0.9, 0.0005)
    heads = {name: run["head"] for name, run in runs.items()}
    assert heads["aspp_s"]["rates"] == [2, 4, 8, 12]
    assert heads["aspp_l"]["rates"] == [6, 12, 18, 24]
    # recipe.md: the average pool is in the LargeFOV release, absent in ASPP
    assert not heads["aspp_s"]["average_pool"]
    assert heads["fov_3x3_r12"] == heads["poly_b10_20k"]
    assert heads["fov_3x3_r12"]["average_pool"]


# (file, key, value, what the line must say: the key, the value and the cure)
MISTAKES: list[tuple[str, str, Any, list[str]]] = [
    ("params", "profil", "demo", ["`profil` is 'demo'", "remove it or correct its spelling"]),
    ("params", "crf.sigma", 3.0, ["`crf.sigma` is 3.0", "correct its spelling"]),
    ("params", "profile", "huge", ["`profile` is 'huge'", "use one of demo, paper, photos, smoke"]),
    ("params", "profile", "../demo", ["`profile` is '../demo'", "should match"]),
    ("params", "profile", ..., ["`profile` is missing; add it"]),
    ("params", "seeds", [0, 1, 0], ["`seeds` is [0, 1, 0]", "each seed may stand there once"]),
    ("params", "seeds", [], ["`seeds` is []", "at least 1 item"]),
    ("params", "seeds", 3, ["`seeds` is 3", "valid list"]),
    ("params", "seeds", [-1], ["`seeds.0` is -1", "greater than or equal to 0"]),
    ("params", "seeds", [2**31], ["`seeds.0` is 2147483648", "less than"]),
    ("params", "seeds", [True], ["`seeds.0` is True", "valid integer"]),
    ("params", "device", "tpu", ["`device` is 'tpu'", "'auto', 'cpu', 'cuda' or 'mps'"]),
    ("params", "precision", "16", ["`precision` is '16'", "'bf16-mixed'"]),
    ("params", "jobs", "two", ["`jobs` is 'two'", "valid integer"]),
    ("params", "data", None, ["`data` holds None", "`name: value`"]),
    ("params", "crf.fixed.w1", -1.0, ["`crf.fixed.w1` is -1.0", "greater than or equal to 0"]),
    ("params", "crf.fixed.w1", float("nan"), ["`crf.fixed.w1` is nan"]),
    ("params", "crf.search.w2", -1.0, ["`crf.search.w2` is -1.0"]),
    ("params", "crf.search.objective", "iou", ["`crf.search.objective` is 'iou'", "'trimap'"]),
    ("params", "crf.engine", "mine", ["`crf.engine` is 'mine'", "'pydensecrf'"]),
    ("params", "crf.parameters", "best", ["`parameters` is 'best'", "searched, fixed, "]),
    ("experiments", "datasets", ["coco"], ["`datasets` is ['coco']", "need ['cityscapes', "]),
    ("experiments", "runs.aspp_l.data", "voc", ["`runs.aspp_l.data` is 'voc'", "'cityscapes'"]),
    ("experiments", "searches.vgg_aspp", "aspp_l", ["`searches.vgg_aspp`"]),
    ("experiments", "searches.vgg_aspp.run", "aspp", ["run` is 'aspp'", "`runs`"]),
    ("experiments", "searches.vgg_aspp.data", "coco", ["data` is 'coco'", "'voc2012'; write"]),
    (
        "experiments",
        "runs.aspp_l.search",
        "resnet",
        ["`runs.aspp_l.search` is 'resnet'", "use one of resnet_aspp, vgg_aspp, vgg_large_fov"],
    ),
    ("profiles/smoke", "crop", 96, ["`crop` is 96", "use 89 or 97"]),
    ("profiles/smoke", "crop", 320, ["`crop` is 320", "use 313 or 321"]),
    ("profiles/smoke", "test_size", 512, ["`test_size` is 512", "use 505 or 513"]),
    ("profiles/smoke", "crop", "97", ["`crop` is '97'", "valid integer"]),
    ("profiles/smoke", "width", 2.0, ["`width` is 2.0", "less than or equal to 1"]),
    ("profiles/smoke", "width", 0, ["`width` is 0", "greater than 0"]),
    ("profiles/smoke", "iterations_factor", float("inf"), ["`iterations_factor` is inf", "finite"]),
    ("profiles/smoke", "families", ["city"], ["`families` names 'city'", "use coco, voc_resnet"]),
    ("profiles/smoke", "threads", 0, ["`threads` is 0", "greater than or equal to 1"]),
    ("profiles/smoke", "data", "voc2007", ["`data` is 'voc2007'", "'official'"]),
    ("profiles/smoke", "train_split", "val", ["`train_split` is 'val'", "'trainaug'"]),
    ("profiles/smoke", "micro_batch", 0, ["`micro_batch` is 0"]),
    ("profiles/smoke", "batch", 4, ["`batch` is 4", "remove it"]),
    ("experiments", "runs.aspp_l.head.rates", [6, 12], ["table 3 needs four rates"]),
    ("experiments", "runs.poly_b10_20k.head.rates", [6, 12], ["tables 1 and 2 need one rate"]),
    ("experiments", "runs.aspp_s.head.rates", [], ["`runs.aspp_s.head.rates` is []"]),
    (
        "experiments",
        "runs.aspp_s.head.rates",
        [2, 4, 8, "x"],
        ["`runs.aspp_s.head.rates.3` is 'x'"],
    ),
    ("experiments", "runs.fov_4x4_r4.head.rates", [3], ["`rates` is [3]", "needs even rates"]),
    ("experiments", "runs.fov_4x4_r4.head.kernel", 9, ["`runs.fov_4x4_r4.head.kernel` is 9"]),
    ("experiments", "runs.aspp_s.backbone", "vgg19", ["`runs.aspp_s.backbone` is 'vgg19'"]),
    ("experiments", "runs.aspp_s.recipe.policy", "cosine", ["is 'cosine'", "'step' or 'poly'"]),
    ("experiments", "runs.aspp_s.recipe.base_lr", "1e-3", ["is '1e-3'", "write 0.001 or 1.0e-3"]),
    ("experiments", "runs.aspp_s.recipe.base_lr", float("nan"), ["recipe.base_lr` is nan"]),
    ("experiments", "runs.aspp_s.recipe.momentum", 1.0, ["is 1.0", "less than 1"]),
    ("experiments", "runs.aspp_s.recipe.iterations", 2e4, ["is 20000.0", "valid integer"]),
    ("experiments", "runs.aspp_s.recipe.nesterov", True, ["recipe.nesterov` is True", "remove it"]),
    ("experiments", "runs", {}, ["`runs` is {}"]),
    ("experiments", "runs.aspp_s.backbone", "resnet101", ["set them to null and false"]),
    ("experiments", "runs.aspp_s.head.channels", None, ["on vgg16 fc6 and fc7 need channels"]),
    ("experiments", "runs.aspp_s.flavour", "v1.5", ["is 'v1.5'", "'caffe' or 'torchvision'"]),
    ("experiments", "runs.aspp_s.flavour", "torchvision", ["vgg16 has but one; remove it"]),
    ("experiments", "runs.aspp_s.init", "aspp_l", ["only resnet101 can have"]),
    ("experiments", "runs.aspp_s.rescale", [], ["`runs.aspp_s.rescale` is []"]),
    ("experiments", "runs.aspp_s.rescale", [0.5, 0.5], ["each factor may stand there once"]),
    ("experiments", "runs.aspp_s.rescale", [0], ["`runs.aspp_s.rescale.0` is 0", "greater than"]),
    ("experiments", "runs.aspp_s.multi_scale", True, ["`runs.aspp_s.multi_scale` holds True"]),
    ("experiments", "runs.aspp_s.multi_scale", {"scales": [0.5, 1]}, ["begin with 1"]),
    ("experiments", "runs.aspp_s.multi_scale", {"scales": [1, 1.5]}, ["less than or equal to 1"]),
    ("experiments", "runs.aspp_s.multi_scale", {"scales": [1]}, ["at least 2 items"]),
    ("experiments", "runs.aspp_s.multi_scale", {"wiring": "mine"}, ["'authors' or 'ports'"]),
    ("experiments", "runs.aspp_s.recipe.average", "pixel", ["is 'pixel'", "'batch' or 'image'"]),
]


@pytest.mark.parametrize(
    ("file", "key", "value", "parts"), MISTAKES, ids=[f"{m[1]}={m[2]}" for m in MISTAKES]
)
def test_a_mistake_names_file_key_value_and_cure(
    root: Path, file: str, key: str, value: Any, parts: list[str]
) -> None:
    change(root / f"{file}.yaml", key, value)
    message = complaint(root)
    assert message.startswith(f"{file}.yaml")
    for part in parts:
        assert part in message


RESNET = """
  about: x
  data: voc2012
  backbone: resnet101
  search: vgg_aspp
  init: imagenet
  head: {kernel: 3, rates: [6, 12, 18, 24], channels: null, average_pool: false}
  recipe: {policy: poly, batch_size: 10, iterations: 20_000, base_lr: 2.5e-4, average: image}
  multi_scale: {}
  rescale: [0.5, 0.75, 1, 1.25, 1.5]
"""


def test_a_resnet_run_is_read_and_scaled(root: Path) -> None:
    change(root / "experiments.yaml", "runs.resnet", yaml.safe_load(RESNET))
    for profile in PROFILES:
        if profile == "photos":
            change(root / "params.yaml", "data.folder", ".")
        change(root / "params.yaml", "profile", profile)
        plan = load(root).plan("resnet")
        assert (plan.backbone, plan.flavour, plan.init) == ("resnet101", "caffe", "imagenet")
        assert plan.multi_scale == MultiScale(scales=[1.0, 0.75, 0.5], wiring="authors")
        assert plan.rescale == (0.5, 0.75, 1, 1.25, 1.5)
        assert (plan.head.channels, plan.recipe.average) == (None, "image")
        said = plan.configuration()
        assert (said["backbone"], said["flavour"]) == ("resnet101", "caffe")
        assert json.loads(json.dumps(said)) == said
    change(root / "params.yaml", "profile", "smoke")
    change(root / "profiles" / "smoke.yaml", "crop", 105)
    with pytest.raises(ReplicationError) as caught:
        load(root).plan("resnet")
    message = str(caught.value)
    assert message.startswith("profiles/smoke.yaml: `crop` is 105; run 'resnet' at scales [1.0, ")
    assert "needs 16 k + 1: use 97 or 113" in message


def test_what_decides_a_resnet_changes_its_fingerprint(root: Path) -> None:
    run = Run.model_validate(yaml.safe_load(RESNET))
    settings = load(root)
    changes: list[dict[str, Any]] = [
        {},
        {"flavour": "torchvision"},
        {"multi_scale": None},
        {"multi_scale": MultiScale(wiring="ports")},
        {"rescale": [1.0]},
        {"init": "other"},
        {"recipe": run.recipe.model_copy(update={"average": "batch"})},
    ]
    plans = [scale("r", run.model_copy(update=c), "smoke", settings.profile) for c in changes]
    assert len({plan.fingerprint() for plan in plans}) == len(changes)


def test_a_run_that_starts_from_another(root: Path) -> None:
    path, run = root / "experiments.yaml", yaml.safe_load(RESNET)
    change(path, "runs.first", run)
    change(path, "runs.second", run | {"init": "first"})
    assert load(root).plan("second").init == "first"
    for wrong, said in (
        ("none", "`runs.second.init` is 'none'; name another run"),
        ("second", "`runs.second.init` is 'second'; name another run"),
        ("aspp_l", "whose backbone is vgg16 (caffe), not resnet101 (caffe)"),
    ):
        change(path, "runs.second.init", wrong)
        assert said in complaint(root)
    change(path, "runs.second", run | {"init": "first", "flavour": "torchvision"})
    assert "whose backbone is resnet101 (caffe), not resnet101 (torchvision)" in complaint(root)
    change(path, "runs.second", run | {"init": "first"})
    change(path, "runs.third", run | {"init": "second"})
    assert "which itself starts from 'first'" in complaint(root)


def test_too_few_rates_in_words(root: Path) -> None:
    change(root / "experiments.yaml", "runs.aspp_l.head.rates", [6, 12])
    expected = "experiments.yaml: `runs.aspp_l.head.rates` is [6, 12]; table 3 needs four rates"
    assert complaint(root) == expected


def test_a_folder_of_ones_own_must_be_named_and_has_no_trainaug(root: Path) -> None:
    change(root / "params.yaml", "profile", "photos")
    change(root / "params.yaml", "data.folder", None)
    message = complaint(root)
    assert message.startswith("params.yaml: `data.folder` is null")
    assert "set it to a VOC-style folder" in message
    change(root / "profiles" / "photos.yaml", "train_split", "trainaug")
    message = complaint(root)
    assert message.startswith("profiles/photos.yaml: `train_split` is 'trainaug'")
    assert "use 'train'" in message


# (content, what the line must say)
BROKEN: list[tuple[bytes, str]] = [
    (b"seeds: [0\nprofile: demo\n", r"params\.yaml \(line 2\) is not valid YAML: .*git checkout"),
    (b"seeds:\n\t- 0\n", r"\(line 2\) is not valid YAML"),
    (b"\xff\xfe\x00", "is not valid YAML: invalid start byte"),
    (b"profile: de\x00mo\n", "is not valid YAML: special characters are not allowed"),
    (b"profile: demo\nprofile: paper\n", r"\(line 2\).*key `profile` stands twice; keep one"),
    (b"profile: !!python/name:os.system\n", r"\(line 1\).*could not determine a constructor"),
    (b"profile: !!python/object/apply:os.system ['touch owned']\n", "constructor for the tag"),
    (b"a: *nowhere\n", r"\(line 1\).*undefined alias"),
    (b"", "the file holds None; write settings"),
    (b"- profile\n", r"the file holds \['profile'\]; write settings"),
    (b"demo\n", "the file holds 'demo'; write settings"),
    (b"? [1, 2]\n: 3\n", r"\(line 1\)"),
    (b"1: 2\n", "params.yaml"),
    # what a reader would need for ever, or a machine's whole memory, to make of it
    (
        b"".join(
            b"l%d: &l%d [%s]\n" % (n, n, b", ".join([b"*l%d" % (n - 1) if n else b"x"] * 9))
            for n in range(12)
        ),
        r"aliases make more than 100,000 values",
    ),
    (
        b"".join(
            b"l%d: &l%d {%s}\n"
            % (n, n, b"<<: [%s]" % b", ".join([b"*l%d" % (n - 1)] * 9) if n else b"a: 1")
            for n in range(12)
        ),
        r"aliases make more than 100,000 values",
    ),
    (b"a: &a [*a, *a]\n", "lead back to themselves"),
    (b"a: &a {b: *a}\n", "lead back to themselves"),
    (b"a: " + b"[" * 200 + b"]" * 200, "deeper than 50 levels"),
    (b"[" * 30_000, "is not valid YAML"),
    (b"a: 1\n" * 60_000, "has 300,000 bytes, and settings at most"),
    # what looks like a date, a number or a truth value, and is none
    (b"profile: 2001-99-99\n", r"is not valid YAML: it can't be parsed \(ValueError\)"),
    (b"profile: !!int x\n", r"it can't be parsed \(ValueError\)"),
    (b"profile: !!bool perhaps\n", r"it can't be parsed \(KeyError\)"),
    (b"profile: " + b"9" * 5_000, "is not valid YAML|valid string"),
]


@pytest.mark.parametrize(("content", "expected"), BROKEN, ids=map(str, range(len(BROKEN))))
def test_a_broken_file_is_one_line_and_runs_no_code(
    root: Path, content: bytes, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    (root / "params.yaml").write_bytes(content)
    with pytest.raises(ReplicationError, match=expected) as caught:
        load(root)
    assert "\n" not in str(caught.value)
    assert not (root / "owned").exists()


@pytest.mark.parametrize("name", ["params.yaml", "experiments.yaml"])
def test_a_missing_file_says_how_to_restore_it(root: Path, name: str) -> None:
    (root / name).unlink()
    assert f"{name} does not exist" in complaint(root)
    assert f"git checkout {name}" in complaint(root)
    (root / name).mkdir()
    assert f"{name} can't be read" in complaint(root)


def test_a_key_may_override_what_it_merges(root: Path) -> None:
    path = root / "merged.yaml"
    path.write_text("a: {b: {c: &c {<<: &d {x: 1, y: 2}, x: 3}}}\nw: {<<: *c, y: 4}\n")
    assert read_yaml(path) == {"a": {"b": {"c": {"x": 3, "y": 2}}}, "w": {"x": 3, "y": 4}}


def test_an_unknown_run_lists_the_known_ones(root: Path) -> None:
    with pytest.raises(ReplicationError, match=r"no 'aspp_xl'; use one of fov_7x7_r4, .*aspp_l"):
        load(root).plan("aspp_xl")


def test_settings_cannot_be_changed_afterwards(root: Path) -> None:
    params = load(root).params
    with pytest.raises(ValueError, match="frozen"):
        params.profile = "paper"


@given(st.integers(9, 4_000))
def test_sizes_are_taken_just_where_stride_8_fits(size: int) -> None:
    profile = yaml.safe_load((HERE / "profiles" / "smoke.yaml").read_text())
    if (size - 1) % 8 == 0:
        assert Profile(**{**profile, "crop": size}).crop == size
    else:
        with pytest.raises(ValueError, match="align-corners") as caught:
            Profile(**{**profile, "crop": size})
        for near in (size - (size - 1) % 8, size + 8 - (size - 1) % 8):
            assert str(near) in str(caught.value)


@given(st.integers(1, 7), st.lists(st.integers(1, 64), min_size=1, max_size=4))
def test_heads_are_taken_just_where_padding_keeps_the_size(kernel: int, rates: list[int]) -> None:
    if all(((kernel - 1) * rate + 1) % 2 == 1 for rate in rates):  # an odd effective kernel
        assert Head(kernel=kernel, rates=rates, channels=8, average_pool=False).dropout == 0.5
    else:
        with pytest.raises(ValueError, match="needs even rates"):
            Head(kernel=kernel, rates=rates, channels=8, average_pool=False)


def test_recipe_defaults_are_the_papers(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("{policy: poly, batch_size: 10, iterations: 9, base_lr: 0.1}")
    recipe = parse(Recipe, tmp_path / "r.yaml")
    assert (recipe.power, recipe.momentum, recipe.weight_decay) == (0.9, 0.9, 5e-4)
    assert (recipe.step_size, recipe.gamma) == (2_000, 0.1)


def test_where_the_crf_parameters_come_from(root: Path) -> None:
    assert load(root).params.crf.given() is None  # the search decides
    change(root / "params.yaml", "crf.parameters", "fixed")
    change(root / "params.yaml", "crf.fixed.sigma_alpha", 50.0)
    given = load(root).params.crf.given()
    assert given is not None
    assert given.sigma_alpha == 50
    # recipe.md's table: the authors' release of VGG-16 ASPP
    change(root / "params.yaml", "crf.parameters", "vgg_aspp_release")
    change(root / "params.yaml", "crf.iterations", 5)
    given = load(root).params.crf.given()
    assert given is not None
    values = (given.w1, given.sigma_alpha, given.sigma_beta, given.w2, given.sigma_gamma)
    assert values == (4, 65, 3, 2, 2)
    assert given.iterations == 5
    change(root / "params.yaml", "crf.parameters", "fixed")
    change(root / "params.yaml", "crf.fixed", None)
    assert "give w1, sigma_alpha and sigma_beta there" in complaint(root)


@pytest.mark.parametrize("name", ["../profiles/demo", "nowhere", "", "a/b"])
def test_a_profile_is_a_name_and_no_path(root: Path, name: str) -> None:
    with pytest.raises(ReplicationError, match="use one of demo, paper, photos, smoke"):
        load(root, name)


def test_numbers_beyond_all_machines_are_refused(root: Path) -> None:
    change(root / "profiles" / "smoke.yaml", "iterations_factor", 1e300)
    assert "less than or equal to 1000000" in complaint(root)
