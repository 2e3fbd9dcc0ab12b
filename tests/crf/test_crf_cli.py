"""`replication crf` as a user meets it: on folders of one's own, from help to results."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from replication.cli import app
from replication.crf.engine import mean_field
from replication.crf.parameters import PRESETS, CrfParameters
from replication.data.palette import voc_palette
from replication.errors import ReplicationError
from replication.inference.enlarge import enlarge

GRID = ["--coarse-w1", "2:4:2", "--coarse-sigma-alpha", "6:12:6", "--coarse-sigma-beta", "10"]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["crf", *map(str, arguments)], catch_exceptions=False)


def expected(folders: Any, name: str, parameters: CrfParameters) -> np.ndarray:
    image = np.array(Image.open(folders.images / f"{name}.png"))
    with np.load(folders.scores / f"{name}.npz") as stored:
        scores = enlarge(stored["scores"], 8, image.shape[:2])
    return mean_field(scores, image, parameters)


def label(path: Path) -> np.ndarray:
    with Image.open(path) as png:
        assert png.mode == "P"
        assert png.getpalette() == voc_palette().ravel().tolist()
        return np.array(png)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ("", PRESETS["resnet_ports"].parameters),
        ("--preset v1", PRESETS["v1"].parameters),
        (
            "--w1 2 --sigma-alpha 8 --sigma-beta 9.5 --w2 1 --sigma-gamma 2 --iterations 3 "
            "--normalization symmetric",
            CrfParameters(
                w1=2, sigma_alpha=8, sigma_beta=9.5, w2=1, sigma_gamma=2, iterations=3,
                normalization="symmetric",
            ),
        ),
        (
            "--preset vgg_aspp_release --w1 9",
            PRESETS["vgg_aspp_release"].parameters.model_copy(update={"w1": 9.0}),
        ),
    ],
)  # fmt: skip
def test_refine_writes_the_engines_labels(
    folders: Any, tmp_path: Path, options: str, parameters: CrfParameters
) -> None:
    out = tmp_path / "out"
    done = call("refine", *folders.options(), "--out", out, "--jobs", 1, *options.split())
    assert done.exit_code == 0
    assert f"5 label maps in {out}" in done.output
    assert sorted(p.stem for p in out.glob("*.png")) == list(folders.ids)
    assert not list(out.glob("*.npz"))
    belief = expected(folders, "c", parameters)
    np.testing.assert_array_equal(label(out / "c.png"), belief.argmax(axis=0))
    assert json.loads((out / "refine.json").read_text())["parameters"] == parameters.model_dump()


def test_refine_goes_on_and_saves_probabilities(folders: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["refine", *folders.options(), "--out", out, "--jobs", 1, "--save-probabilities"]
    whole = (folders.scores / "d.npz").read_bytes()
    (folders.scores / "d.npz").write_bytes(whole[:99])
    with pytest.raises(ReplicationError, match=r"d\.npz"):
        call(*command)
    assert sorted(p.name for p in out.glob("?.png")) == ["a.png", "b.png", "c.png"]
    (folders.scores / "d.npz").write_bytes(whole)
    assert "(3 were there already)" in call(*command).output
    with np.load(out / "b.npz") as stored:
        assert stored["probabilities"].dtype == np.float16
        belief = expected(folders, "b", PRESETS["resnet_ports"].parameters)
        np.testing.assert_allclose(stored["probabilities"], belief, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_scores_of_any_float_type_from_npy(folders: Any, tmp_path: Path, dtype: Any) -> None:
    for path in folders.scores.glob("*.npz"):
        with np.load(path) as stored:
            small = np.round(stored["scores"] * 8) / 8  # the same in any of the types
        np.savez(path, scores=small)
        np.save(path.with_suffix(".npy"), small.astype(dtype))
    listed = tmp_path / "ids"
    listed.write_text("a\nb\n")
    kinds = {}
    for kind in ("npz", "npy"):
        only = tmp_path / kind
        only.mkdir()
        for path in folders.scores.glob(f"*.{kind}"):
            path.rename(only / path.name)
        command = ["--images", folders.images, "--scores", only, "--ids", listed, "--jobs", 1]
        call("refine", *command, "--out", tmp_path / f"out_{kind}")
        kinds[kind] = [p.read_bytes() for p in sorted((tmp_path / f"out_{kind}").glob("*.png"))]
    assert kinds["npz"] == kinds["npy"]
    assert len(kinds["npz"]) == 2


def test_search_then_refine_with_what_it_found(folders: Any, tmp_path: Path) -> None:
    found, out = tmp_path / "found.json", tmp_path / "out"
    listed = tmp_path / "ids.txt"
    listed.write_text("a\nc\nd\ne\n")
    done = call(
        "search", *folders.options(labels=True), "--out", found, "--ids", listed, "--jobs", 1,
        "--samples", 3, "--seed", 5, "--iterations", 3, "--w2", 1, "--no-refine", *GRID,
    )  # fmt: skip
    assert done.exit_code == 0
    result = json.loads(found.read_text())
    assert {"best", "points", "before_miou", "ids", "seconds"} <= result.keys()
    assert len(result["ids"]) == 3
    assert set(result["ids"]) < set("acde")
    assert (result["samples"], result["seed"], result["drawn_from"]) == (3, 5, 4)
    assert len(result["points"]) == 4
    assert {"w1", "sigma_alpha", "sigma_beta", "miou"} <= result["points"][0].keys()
    best = result["best"]
    assert best.keys() == {"w1", "sigma_alpha", "sigma_beta", "miou"}
    assert f"best: w1 {best['w1']:g}, sigma_alpha {best['sigma_alpha']:g}" in done.output
    call("refine", *folders.options(), "--out", out, "--found", found, "--jobs", 1)
    used = json.loads((out / "refine.json").read_text())["parameters"]
    assert used == {
        "w1": best["w1"], "sigma_alpha": best["sigma_alpha"], "sigma_beta": best["sigma_beta"],
        "w2": 1, "sigma_gamma": 3, "iterations": 3, "normalization": "after",
    }  # fmt: skip


def test_the_seed_decides_the_draw(folders: Any, tmp_path: Path) -> None:
    drawn = []
    for seed in range(6):
        out = tmp_path / f"{seed}.json"
        call(
            "search", *folders.options(labels=True), "--out", out, "--samples", 2, "--seed", seed,
            "--no-refine", "--jobs", 1, *GRID,
        )  # fmt: skip
        drawn.append(tuple(json.loads(out.read_text())["ids"]))
    assert len(set(drawn)) > 1


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("refine", ["--preset", "v3"], "`--preset` is 'v3'; use one of: resnet_ports, resnet_rel"),
        ("refine", ["--sigma-alpha", "0"], "`--sigma-alpha` is 0.0: input should be greater than"),
        ("refine", ["--w1", "nan"], "`--w1` is nan"),
        ("refine", ["--normalization", "all"], "`--normalization` is 'all'"),
        ("refine", ["--engine", "magic"], "`engine` is 'magic'; use one of: lattice, pydensecrf"),
        ("refine", ["--mode", "quick"], "`mode` is 'quick'; use one of: exact, fast"),
        ("refine", ["--found", "none.json"], r"none\.json: can't be read"),
        ("refine", ["--found", "x", "--preset", "v1"], "give one of the two"),
        ("refine", ["--mode", "fast", "--save-probabilities"], "mode `fast` gives labels and no"),
        ("search", ["--coarse-w1", "3-6"], "`--coarse-w1` is '3-6'"),
        ("search", ["--coarse-sigma-alpha", "30:10:100"], "the order is FIRST:LAST:STEP"),
        ("search", ["--coarse-sigma-beta", "0:3"], "`--coarse-sigma-beta` is '0:3': values must"),
        ("search", ["--w2", "-1"], "`--w2` is -1.0"),
    ],
)
def test_bad_options_are_named(
    folders: Any, tmp_path: Path, command: str, options: list[str], words: str
) -> None:
    search = command == "search"
    with pytest.raises(ReplicationError, match=words):
        call(command, *folders.options(labels=search), "--out", tmp_path / "out", *options)


def _nan(folders: Any) -> None:
    np.savez(folders.scores / "d.npz", scores=np.full((3, 6, 7), np.nan))


def _other_channels(folders: Any) -> None:
    np.savez(folders.scores / "d.npz", scores=np.zeros((4, 6, 7)))


def _too_small(folders: Any) -> None:
    np.savez(folders.scores / "d.npz", scores=np.zeros((3, 3, 7)))


def _rgb_label(folders: Any) -> None:
    Image.new("RGB", (39, 33)).save(folders.labels / "d.png")


def _class_beyond(folders: Any) -> None:
    Image.fromarray(np.full((33, 39), 7, np.uint8)).save(folders.labels / "d.png")


def _broken_image(folders: Any) -> None:
    (folders.images / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n")


def _no_scores(folders: Any) -> None:
    (folders.scores / "d.npz").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_nan, "scores/d.npz: 126 of 126 scores are NaN or infinite"),
        (_other_channels, "scores/d.npz: scores have 4 channels, and there are 3 classes"),
        (_too_small, "scores/d.npz: 3x7 scores at output stride 8 reach over 17x49 pixels"),
        (_rgb_label, "labels/d.png: the label is RGB"),
        (_class_beyond, "labels/d.png: the label holds the value 7"),
        (_broken_image, "images/d.png: the image is broken"),
        (_no_scores, "scores/d.npz: there is no such file (nor .npy)"),
    ],
)
def test_bad_files_are_named(folders: Any, tmp_path: Path, spoil: Any, words: str) -> None:
    spoil(folders)
    with pytest.raises(ReplicationError) as caught:
        call("search", *folders.options(True), "--out", tmp_path / "s.json", "--jobs", 1, *GRID)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s.json").exists()
    if spoil not in (_rgb_label, _class_beyond):
        with pytest.raises(ReplicationError) as caught:
            call("refine", *folders.options(), "--out", tmp_path / "out", "--jobs", 1)
        assert words in str(caught.value)
        written = sorted(p.stem for p in (tmp_path / "out").glob("*.png"))
        assert written == ([] if spoil is _no_scores else ["a", "b", "c"])


def test_as_a_process_status_2_and_one_line_and_no_training_code(
    folders: Any, tmp_path: Path
) -> None:
    code = (
        "import sys; from replication import cli\n"
        "try:\n    cli.main()\n"
        "finally:\n    print('torch' in sys.modules, 'lightning' in sys.modules)"
    )
    _nan(folders)
    (folders.images / "e.png").unlink()
    (folders.scores / "e.npz").unlink()
    out = tmp_path / "out"
    arguments = ["crf", "refine", *folders.options(), "--out", str(out), "--jobs", "1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.returncode == 2
    assert done.stdout == "False False\n"
    line = done.stderr.splitlines()[-1]  # before it, a notice of numba's compiling at most
    assert line.startswith(f"error: {folders.scores / 'd.npz'}: 126 of 126 scores")
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in out.glob("?.png")) == ["a.png", "b.png", "c.png"]


def test_an_interrupt_says_how_to_go_on(folders: Any, tmp_path: Path) -> None:
    code = (
        "from replication import cli; from replication.crf import search\n"
        "def stopped(*_): raise KeyboardInterrupt\n"
        "search.tally_image = stopped; cli.main()"
    )
    arguments = ["search", *folders.options(True), "--out", str(tmp_path / "s"), "--jobs", "1"]
    command = [sys.executable, "-c", code, "crf", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "interrupted; run the same command again to go on\n"


def test_presets_are_listed_with_their_sources() -> None:
    shown = call("presets").output
    for name, preset in PRESETS.items():
        (line,) = [x for x in shown.splitlines() if x.startswith(f"{name} ")]
        p = preset.parameters
        numbers = [float(x) for x in line.split()[1:6]]
        assert numbers == [p.w1, p.sigma_alpha, p.sigma_beta, p.w2, p.sigma_gamma]
        assert preset.source in line


@pytest.mark.parametrize("command", ["refine", "search", "presets", "heatmap", "maps"])
def test_help_teaches(command: str) -> None:
    shown = call(command, "--help")
    assert shown.exit_code == 0
    if command in ("refine", "search"):
        assert f"replication crf {command} --images JPEGImages" in shown.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "is not the result of a search"),
        ('{"best": {}, "points": []}', "is not the result of a search"),
        ('{"best": 3, "points": []}', "is not the result of a search"),
    ],
)
def test_what_is_no_search_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ReplicationError, match=words):
        call("heatmap", path)
