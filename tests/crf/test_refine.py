"""The stage `refine`: whole, resumable, and never fooled by what an earlier call left."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from replication.crf import ledger, run
from replication.crf.engine import engine_version, mean_field
from replication.crf.parameters import CrfParameters
from replication.crf.run import refine_seed
from replication.data.canonical import DataSet
from replication.data.palette import voc_palette
from replication.errors import ReplicationError
from replication.inference.enlarge import enlarge
from replication.inference.store import read_scores, write_scores

IDS = [f"image_{n}" for n in range(9)]
PARAMETERS = CrfParameters(w1=3, sigma_alpha=8, sigma_beta=12, iterations=3)
OTHER = CrfParameters(w1=3, sigma_alpha=8, sigma_beta=12, iterations=4)


@pytest.fixture
def dataset(tmp_path: Path, write_dataset: Callable[..., DataSet]) -> DataSet:
    """Nine noisy images of 20x27 pixels, 3 classes, with scores of 4x5 beside them."""
    rng = np.random.default_rng(0)
    pixels = {}
    for name in IDS:
        image = rng.integers(0, 256, (20, 27, 3)).astype(np.uint8)
        pixels[name] = image, np.zeros((20, 27), np.uint8)
        write_scores(tmp_path / "scores" / f"{name}.npz", rng.normal(scale=4, size=(3, 4, 5)))
    return write_dataset(pixels, ["a", "b", "c"], palette=voc_palette()[::-1].tolist())


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    return tmp_path / "scores"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "refined" / "seed_0"


def refine(dataset: DataSet, scores: Path, out: Path, **options: object) -> dict[str, object]:
    given = {"parameters": PARAMETERS, "stride": 8, "jobs": 1, **options}
    return refine_seed(dataset, "val", scores, out, **given)


def test_labels_are_the_engines_argmax_in_the_sets_colours(
    dataset: DataSet, scores: Path, out: Path
) -> None:
    record = refine(dataset, scores, out)
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [".done.jsonl", "refine.json", *(f"{name}.png" for name in IDS)]
    )
    for name in IDS[:3]:
        image = np.array(Image.open(dataset.image_path(name)))
        large = enlarge(read_scores(scores / f"{name}.npz"), 8, (20, 27))
        with Image.open(out / f"{name}.png") as png:
            assert png.mode == "P"
            assert png.getpalette()[:3] == list(dataset.palette[0])
            np.testing.assert_array_equal(png, mean_field(large, image, PARAMETERS).argmax(0))
    assert json.loads((out / "refine.json").read_text()) == record
    assert (record["engine"], record["mode"]) == ("lattice", "exact")
    assert record["parameters"] == PARAMETERS.model_dump()
    assert (record["images"], record["resumed"]) == (9, 0)
    assert record["seconds"] > 0
    assert 10 < record["peak_memory_mib"] < 10_000


def test_a_second_call_does_nothing(dataset: DataSet, scores: Path, out: Path) -> None:
    first = refine(dataset, scores, out)
    times = {p.name: p.stat().st_mtime_ns for p in out.glob("*.png")}
    second = refine(dataset, scores, out)
    assert second["resumed"] == 9
    assert second["labels_sha256"] == first["labels_sha256"]
    assert second["seconds_per_image"] == first["seconds_per_image"]
    assert times == {p.name: p.stat().st_mtime_ns for p in out.glob("*.png")}


def test_goes_on_after_an_interruption(
    dataset: DataSet, scores: Path, out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    true_refine = run._refine_one

    def killed(item: run.Item, *rest: object) -> object:
        if item.id == IDS[5]:
            raise KeyboardInterrupt
        return true_refine(item, *rest)

    monkeypatch.setattr(run, "_refine_one", killed)
    with pytest.raises(KeyboardInterrupt):
        refine(dataset, scores, out)
    assert not (out / "refine.json").exists()
    assert len(list(out.glob("*.png"))) == 5
    with (out / ".done.jsonl").open("a") as stream:
        stream.write('\n{"id": "image_5", "inp')  # killed in the middle of a line
    monkeypatch.setattr(run, "_refine_one", true_refine)
    record = refine(dataset, scores, out)
    assert (record["images"], record["resumed"]) == (9, 5)
    whole = refine(dataset, scores, tmp_path / "undisturbed")
    assert record["labels_sha256"] == whole["labels_sha256"]


def test_other_parameters_make_all_labels_again(
    dataset: DataSet, scores: Path, out: Path, tmp_path: Path
) -> None:
    first = refine(dataset, scores, out)
    record = refine(dataset, scores, out, parameters=OTHER)
    assert record["resumed"] == 0
    assert record["labels_sha256"] != first["labels_sha256"]
    fresh = refine(dataset, scores, tmp_path / "fresh", parameters=OTHER)
    assert record["labels_sha256"] == fresh["labels_sha256"]


def test_what_changed_is_made_again(dataset: DataSet, scores: Path, out: Path) -> None:
    first = refine(dataset, scores, out)
    write_scores(scores / f"{IDS[0]}.npz", np.random.default_rng(9).normal(size=(3, 4, 5)))
    Image.fromarray(np.zeros((20, 27, 3), np.uint8)).save(dataset.image_path(IDS[1]))
    (out / f"{IDS[2]}.png").write_bytes(b"edited")
    (out / f"{IDS[3]}.png").unlink()
    second = refine(dataset, scores, out)
    assert second["resumed"] == 5
    assert second["labels_sha256"] != first["labels_sha256"]
    assert refine(dataset, scores, out)["resumed"] == 9


def test_labels_without_a_ledger_are_not_trusted(dataset: DataSet, scores: Path, out: Path) -> None:
    refine(dataset, scores, out)
    (out / ".done.jsonl").write_text("[]\nnonsense\n{}\n3\n")
    assert refine(dataset, scores, out)["resumed"] == 0


def test_a_ledger_linked_to_a_cache_is_replaced_not_grown(
    dataset: DataSet, scores: Path, out: Path, tmp_path: Path
) -> None:
    refine(dataset, scores, out)
    cached = tmp_path / "cached"
    (out / ".done.jsonl").rename(cached)
    (out / ".done.jsonl").hardlink_to(cached)
    before = cached.read_bytes()
    refine(dataset, scores, out, parameters=OTHER)
    assert cached.read_bytes() == before


def test_several_processes_write_the_same_labels(
    dataset: DataSet, scores: Path, out: Path, tmp_path: Path
) -> None:
    alone = refine(dataset, scores, tmp_path / "alone")
    assert refine(dataset, scores, out, jobs=2)["labels_sha256"] == alone["labels_sha256"]
    broken = scores / f"{IDS[8]}.npz"
    broken.write_bytes(b"broken")
    with pytest.raises(ReplicationError, match=rf"{IDS[8]}\.npz.*can't be read") as caught:
        refine(dataset, scores, out, parameters=OTHER, jobs=2)
    assert "\n" not in str(caught.value)
    assert not (out / "refine.json").exists()


def test_a_broken_image_leaves_the_others_done(dataset: DataSet, scores: Path, out: Path) -> None:
    whole = (scores / f"{IDS[8]}.npz").read_bytes()
    (scores / f"{IDS[8]}.npz").write_bytes(whole[:50])
    with pytest.raises(ReplicationError, match=rf"{IDS[8]}\.npz"):
        refine(dataset, scores, out)
    assert len(list(out.glob("*.png"))) == 8
    (scores / f"{IDS[8]}.npz").write_bytes(whole)
    assert refine(dataset, scores, out)["resumed"] == 8


def test_part_of_a_split_can_be_refined(dataset: DataSet, scores: Path, out: Path) -> None:
    assert refine(dataset, scores, out, ids=IDS[:2])["images"] == 2
    assert {p.stem for p in out.glob("*.png")} == set(IDS[:2])


def test_labels_of_other_images_are_not_touched(dataset: DataSet, scores: Path, out: Path) -> None:
    out.mkdir(parents=True)
    (out / "stranger.png").write_bytes(b"x")
    with pytest.raises(ReplicationError, match=r"stranger\.png: belongs to no image"):
        refine(dataset, scores, out)
    assert (out / "stranger.png").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stride": 4}, r"image_0\.npz: 4x5 scores .* 13x17 pixels, and the image has 20x27"),
        ({"engine": "magic"}, "'magic'; use one of"),
        ({"jobs": 0}, "`jobs` is 0"),
        ({"ids": []}, "no image to refine"),
        ({"ids": ["nobody"]}, "no file for id `nobody`"),
    ],
)
def test_bad_requests_are_named(
    dataset: DataSet, scores: Path, out: Path, options: dict[str, object], words: str
) -> None:
    with pytest.raises(ReplicationError, match=words):
        refine(dataset, scores, out, **options)


def test_missing_scores_and_wrong_channels_are_named(
    dataset: DataSet, scores: Path, out: Path
) -> None:
    write_scores(scores / f"{IDS[1]}.npz", np.zeros((4, 4, 5)))
    with pytest.raises(ReplicationError, match=rf"{IDS[1]}\.npz: scores have 4 channels"):
        refine(dataset, scores, out)
    (scores / f"{IDS[1]}.npz").unlink()
    with pytest.raises(ReplicationError, match=rf"{IDS[1]}\.npz: no scores for image"):
        refine(dataset, scores, out)


@pytest.mark.skipif(engine_version("pydensecrf") is None, reason="pydensecrf2 is not installed")
def test_errors_of_the_engine_name_the_file(dataset: DataSet, scores: Path, out: Path) -> None:
    small = CrfParameters(w1=0, sigma_alpha=1, sigma_beta=1, sigma_gamma=0.1)
    write_scores(scores / f"{IDS[0]}.npz", np.zeros((3, 2, 600)))
    Image.fromarray(np.zeros((2, 4000, 3), np.uint8)).save(dataset.image_path(IDS[0]))
    with pytest.raises(ReplicationError, match=rf"{IDS[0]}\.npz: `sigma_gamma` 0\.1"):
        refine(dataset, scores, out, parameters=small, engine="pydensecrf")


def saving(dataset: DataSet, scores: Path, out: Path, save: bool, **changes: object) -> int:
    items = [run.Item(n, dataset.image_path(n), scores / f"{n}.npz") for n in IDS[:2]]
    setting = run.Setting(**{"parameters": PARAMETERS, "stride": 8, "num_classes": 3, **changes})
    return run.refine_images(items, out, setting, jobs=1, save_probabilities=save)["resumed"]


def test_probabilities_are_kept_beside_labels(dataset: DataSet, scores: Path, out: Path) -> None:
    assert saving(dataset, scores, out, False) == 0
    assert saving(dataset, scores, out, True) == 0  # labels alone are not enough now
    with np.load(out / f"{IDS[1]}.npz") as stored:
        probabilities = stored["probabilities"]
    assert (probabilities.dtype, probabilities.shape) == (np.float16, (3, 20, 27))
    image = np.array(Image.open(dataset.image_path(IDS[1])))
    large = enlarge(read_scores(scores / f"{IDS[1]}.npz"), 8, (20, 27))
    np.testing.assert_allclose(probabilities, mean_field(large, image, PARAMETERS), atol=1e-3)
    assert saving(dataset, scores, out, True) == 2
    (out / f"{IDS[0]}.npz").write_bytes(b"edited")
    assert saving(dataset, scores, out, True) == 1
    # Labels of another setting must not stand beside the probabilities of the old one.
    assert saving(dataset, scores, out, False, parameters=OTHER) == 0
    assert not list(out.glob("*.npz"))


def test_the_fast_mode_gives_labels_alone(dataset: DataSet, scores: Path, out: Path) -> None:
    assert saving(dataset, scores, out, False, mode="fast") == 0
    with pytest.raises(ReplicationError, match="use mode `exact`"):
        saving(dataset, scores, out, True, mode="fast")
    with pytest.raises(ReplicationError, match="no mode `fast`"):
        saving(dataset, scores, out, False, mode="fast", engine="pydensecrf")


def test_the_ledger_reads_what_it_wrote(tmp_path: Path) -> None:
    entry = ledger.Entry(id="a", inputs="i", output="o", seconds=0.5)
    ledger.append(tmp_path, entry)
    ledger.append(tmp_path, {**entry, "output": "later"})
    assert ledger.read(tmp_path) == {"a": {**entry, "output": "later"}}
    ledger.rewrite(tmp_path, [entry])
    assert ledger.read(tmp_path) == {"a": entry}
