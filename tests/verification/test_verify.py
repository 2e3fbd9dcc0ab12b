"""`replication verify`: the same files give the same result, and every change of one is seen."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from replication import stages
from replication.cli import app
from replication.data.canonical import DataSet, ids_sha256
from replication.data.labels import write_label
from replication.errors import ReplicationError
from replication.inference.store import write_scores
from replication.plan import load
from replication.verification.verify import verify

ROOT = Path(__file__).resolve().parents[2]
RUN, IDS = "aspp_l", "abcdef"


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path: Path, write_dataset: Callable[..., DataSet]) -> Path:
    """A root in which one run was trained, scored, refined and measured, all at random."""
    rng = np.random.default_rng(0)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    for name in ("experiments.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    settings = load(tmp_path)
    place = {kind: settings.place(kind, RUN, 0) for kind in ("runs", "scores", "refined")}
    pixels = {}
    for name in IDS:
        truth = rng.choice(np.array([0, 1, 2, 255], np.uint8), (20, 27))
        pixels[name] = rng.integers(0, 256, (20, 27, 3)).astype(np.uint8), truth
        write_scores(place["scores"] / f"{name}.npz", rng.normal(size=(3, 4, 5)))
        refined = rng.integers(0, 3, (20, 27)).astype(np.uint8)
        write_label(place["refined"] / f"{name}.png", refined)
    dataset = write_dataset(pixels, ["a", "b", "c"])
    content = "".join(
        f"{name} {sha(dataset.image_path(name))} {hashlib.sha256(label.tobytes()).hexdigest()}\n"
        for name, (_, label) in pixels.items()
    )
    val = {"count": 6, "sha256": ids_sha256(IDS)}
    val["content_sha256"] = hashlib.sha256(content.encode()).hexdigest()
    edit(dataset.root / "meta.json", lambda meta: meta["splits"].update(val=val))
    data = settings.place("datasets", "voc2012")
    data.parent.mkdir(parents=True)
    dataset.root.rename(data)
    place["runs"].mkdir(parents=True)
    weights = place["runs"] / "weights.safetensors"
    weights.write_bytes(b"weights")
    search = settings.place("searches") / "vgg_aspp.json"
    search.parent.mkdir(parents=True)
    search.write_text("{}")
    train = {"parameters": 9, "field_of_view": 224, "configuration": {}, "seconds": 1.0}
    train |= {"images_per_second": 1.0, "updates": 1, "device": "cpu", "precision": "32-true"}
    train |= {"weights_sha256": sha(weights), "data": {"meta_sha256": sha(data / "meta.json")}}
    labels = [[name, sha(place["refined"] / f"{name}.png")] for name in IDS]
    text = json.dumps([{"labels": labels}, []])
    choice = {"search": "vgg_aspp", "search_sha256": sha(search), "images": ["a"]}
    refine = {"labels_sha256": hashlib.sha256(text.encode()).hexdigest(), "choice": choice}
    for kind, name, record in (
        ("runs", "train.json", train),
        ("scores", "score.json", {"weights_sha256": sha(weights)}),
        ("refined", "refine.json", refine),
    ):
        (place[kind] / name).write_text(json.dumps(record))
    (place["runs"] / "curve.tsv").write_text("step\tloss\tlr\n1\t3\t0.001\n")
    stages.evaluate(settings, RUN)
    return tmp_path


def differing(root: Path, tolerance: float = 0.0) -> set[str]:
    """What differs, without the class or width that differs most."""
    found = verify(load(root), RUN, tolerance)
    return {check.what.split(":")[0] for check in found if check.verdict == "differs"}


def test_what_has_not_changed_is_the_same_and_nothing_is_written(root: Path) -> None:
    before = {path: sha(path) for path in root.rglob("*") if path.is_file()}
    code = (
        "import sys; from replication.cli import main; sys.argv[1:] = "
        f"['verify', '{RUN}', '--tolerance', '0']\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["seed", "what", "result", "now"]
    assert lines[-2:] == [f"results/demo/{RUN}.json: 17 same", "False"]
    assert {path: sha(path) for path in root.rglob("*") if path.is_file()} == before


def figures(stage: str) -> set[str]:
    return {f"{what} {stage} CRF" for what in ("mean IOU", "IOU by class", "trimap", "confusion")}


def change_score(root: Path) -> None:
    # The largest score of all, at the top left: pixels around it change their class.
    path = root / f"scores/demo/{RUN}/seed_0/c.npz"
    scores = np.load(path)["scores"].astype(np.float32)
    scores[np.argmin(scores[:, 1, 1]), 1, 1] = 1_000
    write_scores(path, scores)


def repaint(path: Path) -> None:
    """Give one valid pixel another class, some pixels away from void, if there is such a one."""
    label = np.array(Image.open(path))
    y, x = np.argwhere(label == 1)[0]
    label[y, x] = 2
    write_label(path, label)


def change_image(root: Path) -> None:
    path = root / "datasets/demo/voc2012/images/b.png"
    image = np.array(Image.open(path))
    image[3, 4, 1] ^= 1
    Image.fromarray(image).save(path)


def change_result(root: Path) -> None:
    def change(result: Any) -> None:
        result["seeds"][0]["after"]["miou"] += 1e-6
        result["seeds"][0]["before"]["trimap"]["miou"][7] = None
        result["seeds"][0]["before"]["iou"][1] -= 0.25

    edit(root / f"results/demo/{RUN}.json", change)


CHANGES: list[tuple[Callable[[Path], Any], set[str]]] = [
    (change_result, {"mean IOU after CRF", "trimap before CRF", "IOU by class before CRF"}),
    (change_score, {*figures("before"), "scores", "counts of images"}),
    (
        lambda root: repaint(root / f"refined/demo/{RUN}/seed_0/e.png"),
        {*figures("after"), "refined labels", "counts of images"},
    ),
    (
        lambda root: repaint(root / "datasets/demo/voc2012/labels/e.png"),
        {*figures("before"), *figures("after"), "images and labels of val", "counts of images"},
    ),
    (change_image, {"images and labels of val"}),
    (
        lambda root: edit(
            root / "datasets/demo/voc2012/meta.json", lambda meta: meta.update(name="other")
        ),
        {"data (meta.json)", "data of the training"},
    ),
    (
        lambda root: (root / f"runs/demo/{RUN}/seed_0/weights.safetensors").write_bytes(b"w"),
        {"weights", "weights of the scores"},
    ),
    (
        lambda root: (root / "searches/demo/vgg_aspp.json").write_text("[]"),
        {"search of the CRF"},
    ),
    (lambda root: (root / "searches/demo/vgg_aspp.json").unlink(), {"search of the CRF"}),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_every_change_is_seen_where_it_was_made(root: Path, number: int) -> None:
    assert differing(root) == set()
    change, expected = CHANGES[number]
    change(root)
    assert differing(root) == expected


def test_status_1_names_what_differs_most(root: Path) -> None:
    change_result(root)
    shown = CliRunner().invoke(app, ["verify", RUN, "--root", str(root)])
    assert shown.exit_code == 1
    assert "IOU by class before CRF: b" in shown.output  # the second class
    assert "trimap before CRF: width 8" in shown.output
    assert shown.output.splitlines()[-1].endswith("json: 14 same, 3 differs")
    as_json = CliRunner().invoke(app, ["verify", RUN, "--json", "--root", str(root)])
    lines = json.loads(as_json.stdout)
    assert as_json.exit_code == 1
    assert sum(line["verdict"] == "differs" for line in lines) == 3


def test_a_tolerance_lets_some_pixels_pass_and_no_hash(root: Path) -> None:
    repaint(root / f"refined/demo/{RUN}/seed_0/e.png")
    assert differing(root, tolerance=5.0) == {"refined labels"}


def test_results_from_before_a_hash_was_recorded_pass_and_say_so(root: Path) -> None:
    def forget(result: Any) -> None:
        del result["seeds"][0]["score"]["scores_sha256"]

    edit(root / f"results/demo/{RUN}.json", forget)
    (root / f"results/demo/{RUN}.npz").unlink()
    shown = CliRunner().invoke(app, ["verify", RUN, "--root", str(root)])
    assert shown.exit_code == 0
    assert shown.output.splitlines()[-1].endswith("json: 15 same, 2 not recorded")


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("scores/demo", r"scores/demo/aspp_l/seed_0 does not .*`dvc repro evaluate@aspp_l`, then"),
        ("refined/demo", r"refined/demo/aspp_l/seed_0 does not exist"),
        ("runs/demo", r"weights\.safetensors does not exist"),
        ("datasets/demo", r"voc2012/meta\.json does not exist"),
        ("results/demo", r"there is no result to verify; run `dvc repro evaluate@aspp_l`"),
        ("scores/demo/aspp_l/seed_0/c.npz", r"seed_0: no scores for 1 images \(c\)"),
        ("refined/demo/aspp_l/seed_0/c.png", r"seed_0: no refined labels for 1 images \(c\)"),
    ],
)
def test_what_is_not_here_is_one_line_with_what_to_run(root: Path, missing: str, said: str) -> None:
    path = root / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ReplicationError, match=said) as caught:
        verify(load(root), RUN)
    assert "\n" not in str(caught.value)


def test_a_run_of_a_family_names_its_own_pipeline(root: Path) -> None:
    with pytest.raises(ReplicationError, match=r"`dvc repro pipelines/context/dvc.yaml:evaluate@c"):
        verify(load(root), "context_resnet_plain")
    with pytest.raises(ReplicationError, match="no run is called 'aspp_xl'"):
        verify(load(root), "aspp_xl")
    with pytest.raises(ReplicationError, match="leaves out the family context"):
        verify(load(root, "photos"), "context_resnet_plain")


def test_a_result_of_other_images_or_classes_is_refused(root: Path) -> None:
    result = root / f"results/demo/{RUN}.json"
    whole = result.read_text()
    edit(result, lambda content: content["data"].update(images=7))
    with pytest.raises(ReplicationError, match="is of 7 images, and profile demo evaluates 6"):
        verify(load(root), RUN)
    result.write_text(whole)
    edit(result, lambda content: content["data"]["classes"].append("d"))
    with pytest.raises(ReplicationError, match="the result is of other data"):
        verify(load(root), RUN)


@pytest.mark.parametrize(
    "confusion", [[[2**64, 0, 0]] * 3, [[-1, 0, 0]] * 3, [[1, 2], [3, 4, 5], [6, 7, 8]]]
)
def test_a_result_with_an_impossible_matrix_is_one_line(root: Path, confusion: Any) -> None:
    def spoil(result: Any) -> None:
        result["seeds"][0]["before"]["confusion"] = confusion

    edit(root / f"results/demo/{RUN}.json", spoil)
    with pytest.raises(ReplicationError, match=r"seeds\.0\.before.*confusion"):
        verify(load(root), RUN)
