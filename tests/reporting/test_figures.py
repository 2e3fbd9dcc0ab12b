"""The stage `figures`: every figure with its caption, and what happens where something lacks."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from replication import stages
from replication.errors import ReplicationError
from replication.reporting.before_after import OTHER_SETS
from replication.reporting.captions import Caption
from replication.reporting.context import Context
from replication.reporting.figures import draw_figures, makers

ROOT = Path(__file__).resolve().parents[2]
ORDER = [
    *("figure2", "figure3", "figure4", "figure5", "before_after", "figure7", "figure8"),
    *("figure9", "figure10a", "figure10b", "figure11", "figure12", "figure13", "figure14"),
    *("paper_against_ours", "claims", "learning_curves"),
]
Predict = Callable[..., None]


def captions(context: Context) -> dict[str, dict[str, object]]:
    path = context.settings.place("figures") / "captions.json"
    return {caption["name"]: caption for caption in json.loads(path.read_text())}


def test_everything_is_drawn_and_described(
    context: Context, predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in ("poly_b10_20k", "aspp_s", "aspp_l"):
        predict(run)
        stages.evaluate(context.settings, run)
    for data in ("pascal_context", "pascal_person_part", "cityscapes"):
        shutil.copytree(context.dataset.root, context.settings.place("datasets", data))
    for run in ("resnet_msc_coco_aug_aspp", *OTHER_SETS.values()):
        predict(run)
    stages.figures(context.settings)
    folder = context.settings.place("figures")
    left_out = dict(re.findall("figures: (.*?) is left out: (.*)", capsys.readouterr().err))
    # the CRF finds the truth everywhere here, and nothing has been searched
    assert "makes no image worse" in left_out.pop("figure14")
    assert list(left_out) == [f"crf_search_{n}" for n in context.settings.experiments.searches]
    found = captions(context)
    assert list(found) == [name for name in ORDER if name != "figure14"]
    for name, caption in found.items():
        assert list(caption) == ["name", "title", "caption", "alt", "runs", "files"]
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert all((context.settings.root / file).exists() for file in caption["files"])
        assert caption["title"]
        assert caption["alt"]
        sentences = re.findall(r"[^.]\.( |$)", str(caption["caption"]).replace("...", ""))
        assert 1 <= len(sentences) <= 5, caption["caption"]
    assert found["figure9"]["runs"] == ["aspp_l", "resnet_msc_coco_aug_aspp"]
    for name, run in OTHER_SETS.items():
        assert found[name]["runs"] == [run]
    assert found["figure5"]["runs"] == found["before_after"]["runs"] == ["aspp_l"]


def test_without_any_run_the_drawings_that_need_none_are_there(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = {"figure2", "figure4", "figure7", "figure10b", "before_after"}
    all_makers = makers(context.settings)
    draw_figures(context.settings, {name: all_makers[name] for name in ORDER if name in wanted})
    assert list(captions(context)) == ["figure2", "figure4", "figure7"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "none of aspp_l, poly_b10_20k, fov_3x3_r12 has been refined" in lines[0]
    assert "no result has a trimap" in lines[1]


def test_a_figure_that_fails_takes_its_old_files_along_and_no_other(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = context.settings.place("figures")
    folder.mkdir(parents=True)
    for name in ("figure1.png", "figure1.pdf", "figure1.tsv", "figure10.png", "figure2.png"):
        (folder / name).touch()

    def bad(context: Context) -> Caption:
        raise ReplicationError("results/demo/x.json: not a JSON file")

    def good(context: Context) -> Caption:
        return Caption("figure2", "t", "c", "a")

    drawn = draw_figures(context.settings, {"figure1": bad, "figure2": good})
    assert [caption.name for caption in drawn] == ["figure2"]
    assert sorted(p.name for p in folder.iterdir()) == [
        *("captions.json", "figure10.png", "figure2.png")
    ]
    assert capsys.readouterr().err == (
        "figures: figure1 is left out: results/demo/x.json: not a JSON file\n"
    )


def test_a_broken_record_is_named_not_raised_as_something_else(
    context: Context, predict: Predict
) -> None:
    predict("aspp_l")
    path = context.place("refined", "aspp_l") / "refine.json"
    for text in ("{", "{}"):
        path.write_text(text)
        with pytest.raises(ReplicationError, match=r"refine\.json"):
            Context(context.settings).refinement("aspp_l")


def test_photographs_of_ones_own_stay_out_of_git_and_plots_name_every_figure(
    context: Context,
) -> None:
    ignored = re.findall(r"^/figures/photos/(\w+)\.\*$", (ROOT / ".gitignore").read_text(), re.M)
    shown = {"figure3", "figure4", "figure5", "before_after", "figure8", "figure9"}
    shown |= {"figure10a", "figure14"}
    assert set(ignored) == shown
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    images = [Path(plot).stem for plot in plots if isinstance(plot, str)]
    assert images == list(makers(context.settings))
