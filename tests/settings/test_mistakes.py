"""Every mistake in the settings is one line with the file, the key, the value and the cure."""

from pathlib import Path
from typing import Any

import pytest

from replication.errors import ReplicationError
from replication.plan import load

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
    ("experiments", "searches.vgg_aspp.run", "aspp", ["run` is 'aspp'", "which is no run here"]),
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
    root: Path, *, file: str, key: str, value: Any, parts: list[str], change: Any, complaint: Any
) -> None:
    change(root / f"{file}.yaml", key, value)
    message = complaint(root)
    assert message.startswith(f"{file}.yaml")
    for part in parts:
        assert part in message


def test_too_few_rates_in_words(root: Path, change: Any, complaint: Any) -> None:
    change(root / "experiments.yaml", "runs.aspp_l.head.rates", [6, 12])
    expected = "experiments.yaml: `runs.aspp_l.head.rates` is [6, 12]; table 3 needs four rates"
    assert complaint(root) == expected


def test_a_folder_of_ones_own_must_be_named_and_has_no_trainaug(
    root: Path, change: Any, complaint: Any
) -> None:
    change(root / "params.yaml", "profile", "photos")
    change(root / "params.yaml", "data.folder", None)
    message = complaint(root)
    assert message.startswith("params.yaml: `data.folder` is null")
    assert "set it to a VOC-style folder" in message
    change(root / "profiles" / "photos.yaml", "train_split", "trainaug")
    message = complaint(root)
    assert message.startswith("profiles/photos.yaml: `train_split` is 'trainaug'")
    assert "use 'train'" in message


def test_an_unknown_run_lists_the_known_ones(root: Path) -> None:
    expected = r"no run is called 'aspp_xl'; use one of fov_7x7_r4, .*aspp_l"
    with pytest.raises(ReplicationError, match=expected):
        load(root).plan("aspp_xl")


def test_more_seeds_are_those_of_a_run_that_there_is(
    root: Path, change: Any, complaint: Any
) -> None:
    change(root / "profiles" / "smoke.yaml", "more_seeds", {"aspp_xl": [1]})
    message = complaint(root)
    assert "profiles/smoke.yaml: `more_seeds` names 'aspp_xl'" in message
    assert "`replication runs` lists them" in message


def test_a_run_has_no_seed_that_its_start_has_not(root: Path, change: Any, complaint: Any) -> None:
    change(root / "profiles" / "smoke.yaml", "more_seeds", {"resnet_msc_coco": [5]})
    expected = "`more_seeds.resnet_msc_coco` has 5, and 'resnet_msc_coco' starts from 'resnet_coco'"
    assert expected in complaint(root)
    both = {"resnet_msc_coco": [5], "resnet_coco": [5, 6]}
    change(root / "profiles" / "smoke.yaml", "more_seeds", both)
    assert load(root).seeds("resnet_msc_coco") == [0, 5]


def test_a_mistake_in_a_family_is_named_by_its_place(
    root: Path, change: Any, complaint: Any
) -> None:
    change(root / "experiments.yaml", "families.context.context_resnet_plain.search", "none")
    assert "`families.context.context_resnet_plain.search` is 'none'" in complaint(root)


@pytest.mark.parametrize("name", ["../profiles/demo", "nowhere", "", "a/b"])
def test_a_profile_is_a_name_and_no_path(root: Path, name: str) -> None:
    with pytest.raises(ReplicationError, match="use one of demo, paper, photos, smoke"):
        load(root, name)


def test_numbers_beyond_all_machines_are_refused(root: Path, change: Any, complaint: Any) -> None:
    change(root / "profiles" / "smoke.yaml", "iterations_factor", 1e300)
    assert "less than or equal to 1000000" in complaint(root)
