"""A small made-up repository with names that hold HTML, and the report built from it."""

import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from replication import stages
from replication.atomic import write_json
from replication.data.canonical import ids_sha256
from replication.data.labels import write_label
from replication.data.palette import voc_palette
from replication.evaluation.class_counts import class_counts
from replication.evaluation.confusion import summarise
from replication.evaluation.image_counts import ImageCounts, write_image_counts
from replication.inference.store import write_scores
from replication.plan import load

ROOT = Path(__file__).resolve().parents[2]
RUNS = ("fov_7x7_r4", "fov_3x3_r12", "poly_b30_6k", "poly_b10_20k", "aspp_s", "aspp_l")
NOT_RUN = ("fov_4x4_r4", "fov_4x4_r8", "poly_b30_10k", "poly_b10_10k")
CLASSES = ["background", "<b>cat</b>", 'dog & "hound"']
IDS = ["a<i>b", "c&amp;d", 'e"f', "g'h", "i j", "k%20l", "m#n", "o?p"]
HEIGHT, WIDTH, STRIDE = 17, 25, 8
VOID_TAGS = ("img", "meta", "link", "input")


def trimap_of(run: str, seed: int, stage: str) -> list[float | None]:
    """Mean IOU within 1, 2, .. 12 pixels: none within 1, then a line that no other run has."""
    start = 10 + 3 * RUNS.index(run) + seed + (20 if stage == "after" else 0)
    return [None, *(float(start + width) for width in range(2, 13))]


def _result(run: str, seeds: int) -> tuple[dict[str, Any], ImageCounts]:
    rng = np.random.default_rng(RUNS.index(run))
    tables = rng.integers(1, 50, (seeds, 2, len(IDS), 3, 3))
    for k in range(3):  # one truth for all, and mostly right
        tables[..., k, k] = 900 - tables[..., k, :].sum(axis=-1) + tables[..., k, k]
    measured = [
        {
            stage: summarise(tables[seed, place].sum(axis=0))
            | {"trimap": {"width": list(range(1, 13)), "miou": trimap_of(run, seed, stage)}}
            for place, stage in enumerate(("before", "after"))
        }
        for seed in range(seeds)
    ]
    result = {
        "format": 1,
        "run": run,
        "profile": "demo",
        "comparable": False,
        "data": {
            "name": "voc2012 sample",
            "split": "val",
            "images": len(IDS),
            "classes": CLASSES,
            "meta_sha256": "d" * 64,
            "sources": [{"name": "<u>source</u>", "sha256": "5" * 64}],
        },
        "model": {"parameters": 320_123, "field_of_view": 224, "rates": [12]},
        "configuration": {"width": 0.125, "crop": 145, "recipe": {"policy": "poly"}},
        "seeds": [
            {
                "seed": seed,
                **measured[seed],
                "train": {
                    "seconds": 61.5,
                    "images_per_second": 10.0 + RUNS.index(run),
                    "updates": 200,
                    "peak_memory_mib": 700.0,
                    "device": "cpu",
                    "precision": "32-true",
                    "weights_sha256": f"{RUNS.index(run)}{seed}" * 32,
                    "environment": {"processor": "A 1 GHz processor", "commit": "c0ffee"},
                },
                "refine": {
                    "seconds_per_image": 0.25,
                    "choice": {
                        "chosen": "searched",
                        "search": "vgg_aspp",
                        "images": IDS[:2],
                        "left_out": False,
                    },
                },
            }
            for seed in range(seeds)
        ],
        "environment": {"processor": "A 1 GHz processor", "commit": "decade"},
    }
    return result, ImageCounts(tuple(IDS), class_counts(tables))


def _search() -> dict[str, Any]:
    """A search whose coarse grid is 2 x 3 x 2; two finer points lie at one place."""
    grid = {"w1": [3.0, 4.0], "sigma_alpha": [30.0, 40.0, 50.0], "sigma_beta": [3.0, 4.0]}
    points = [
        {"w1": w, "sigma_alpha": a, "sigma_beta": b, "miou": 50 + w + a / 10 + b, "round": 0}
        for w in grid["w1"]
        for a in grid["sigma_alpha"]
        for b in grid["sigma_beta"]
    ]
    for w, miou in ((3.75, 64.0), (4.25, 65.0)):
        points.append({"w1": w, "sigma_alpha": 52.5, "sigma_beta": 4.25, "miou": miou, "round": 1})
    for point in points:
        point["mode"] = "exact"
    return {
        "search": "vgg_aspp",
        "chosen": "searched",
        "run": "aspp_l",
        "best": {"w1": 3.75, "sigma_alpha": 52.5, "sigma_beta": 4.25, "miou": 64.0},
        "before_miou": 48.0,
        "objective": "miou",
        "engine": "lattice",
        "fixed": {"w2": 3.0, "sigma_gamma": 3.0, "iterations": 10, "normalization": "after"},
        "grid": grid,
        "points": points,
        "published": [],
        "data": {"name": "voc2012 sample", "split": "val", "images": len(IDS)},
        "ids": IDS[:2],
        "seed": 0,
    }


def _write_images(root: Path) -> None:
    """Canonical data; before the CRF class 1 has the left half, after it the left third."""
    data = root / "datasets" / "demo" / "voc2012"
    for folder in ("images", "splits"):
        (data / folder).mkdir(parents=True)
    for number, name in enumerate(IDS):
        image = np.full((HEIGHT, WIDTH, 3), 20 * number, np.uint8)
        Image.fromarray(image).save(data / "images" / f"{name}.png")
        truth = np.zeros((HEIGHT, WIDTH), np.uint8)
        truth[:, :5], truth[0] = 1, 255
        write_label(data / "labels" / f"{name}.png", truth)
        scores = np.zeros((3, 3, 4), np.float32)  # at stride 8
        scores[1, :, :2] = scores[0, :, 2:] = 1
        write_scores(root / "scores/demo/aspp_l/seed_0" / f"{name}.npz", scores)
        after = np.zeros((HEIGHT, WIDTH), np.uint8)
        after[:, :8] = 1
        write_label(root / "refined/demo/aspp_l/seed_0" / f"{name}.png", after)
    write_json(root / "refined/demo/aspp_l/seed_0/refine.json", {})
    (data / "splits" / "val.txt").write_text("".join(f"{name}\n" for name in IDS))
    described = {
        "name": "voc2012 sample",
        "classes": CLASSES,
        "palette": voc_palette().tolist(),
        "void": 255,
        "splits": {"val": {"count": len(IDS), "sha256": ids_sha256(IDS)}},
        "sources": [],
    }
    (data / "meta.json").write_text(json.dumps(described))


def _write_figures(root: Path) -> None:
    folder = root / "figures" / "demo"
    folder.mkdir(parents=True)
    captions = []
    for number, name in enumerate(("figure2", "learning_curves", "not_drawn")):
        captions.append(
            {
                "name": name,
                "title": f"Figure <b>{number}</b>",
                "caption": "Of <script>alert(1)</script> runs.",
                "alt": 'a "picture" & <i>more</i>',
                "runs": ["aspp_l", "a run of old"],
                "files": ["results/demo/aspp_l.json"],
            }
        )
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 600, 3), np.uint8)
    for caption, picture in zip(captions, pixels, strict=False):
        Image.fromarray(picture).save(folder / f"{caption['name']}.png")
    (folder / "captions.json").write_text(json.dumps(captions))


def write_settings(root: Path) -> None:
    """Copy the repository's settings, and put HTML in a run's description."""
    for name in ("params.yaml", "experiments.yaml"):
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "profiles", root / "profiles")
    path = root / "experiments.yaml"
    path.write_text(path.read_text().replace("ASPP-L: four", "ASPP-L: <em>four</em>"))


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings, results of six of the ten runs (one of two seeds), and all else the page shows."""
    root = tmp_path_factory.mktemp("repository")
    write_settings(root)
    for run in RUNS:
        result, counts = _result(run, seeds=2 if run == "aspp_l" else 1)
        write_json(root / "results" / "demo" / f"{run}.json", result)
        write_image_counts(root / "results" / "demo" / f"{run}.npz", counts)
    write_json(root / "searches" / "demo" / "vgg_aspp.json", _search())
    _write_images(root)
    _write_figures(root)
    settings = load(root)
    stages.tables(settings)
    return root


@pytest.fixture(scope="session")
def report(repository: Path) -> Path:
    """The folder of the report, built once for all tests that only read it."""
    return stages.report(load(repository)).parent


@pytest.fixture
def copied(repository: Path, tmp_path: Path) -> Path:
    """A repository of one's own, to change, without a report."""
    root = tmp_path / "copied"
    shutil.copytree(repository, root, ignore=shutil.ignore_patterns("report"))
    return root


class Page(HTMLParser):
    """A page's links, ids, texts and elements, as an HTML parser sees them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[tuple[int, ...], str]] = []  # each with the elements around it
        self.around: dict[int, tuple[int, ...]] = {}
        self._open: list[int] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self._open, f"{path}: not closed: {[self.elements[i] for i in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element, and where it lies."""
        place = len(self.elements)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.around[place] = tuple(self._open)
        if tag not in VOID_TAGS:
            self._open.append(place)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that ends at once, as SVG's do."""
        self.around[len(self.elements)] = tuple(self._open)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Close an element, which must be the last that was opened."""
        assert self._open, f"{self.path}: </{tag}> at {self.getpos()} closes nothing"
        last = self._open.pop()
        assert self.elements[last][0] == tag, f"{self.path}: </{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts.append((tuple(self._open), data))

    def find(self, tag: str, **attributes: str) -> list[int]:
        """Return the places of elements of a tag whose attributes hold these words."""
        return [
            place
            for place, (name, found) in enumerate(self.elements)
            if name == tag
            and all(
                value in found.get(key.strip("_"), "").split() for key, value in attributes.items()
            )
        ]

    def text(self, place: int) -> str:
        """Return what is written in an element."""
        return "".join(text for around, text in self.texts if place in around).strip()

    def inside(self, place: int, tag: str) -> list[dict[str, str]]:
        """Return the attributes of the elements of a tag within an element."""
        return [
            found
            for inner, (name, found) in enumerate(self.elements)
            if name == tag and place in self.around[inner]
        ]

    @property
    def whole_text(self) -> str:
        """All text of the page."""
        return "".join(text for _, text in self.texts)


@pytest.fixture(scope="session")
def page(report: Path) -> Callable[[str], Page]:
    """A function that parses a page of the report, once."""
    parsed: dict[str, Page] = {}

    def get(name: str = "index.html") -> Page:
        if name not in parsed:
            parsed[name] = Page(report / name)
        return parsed[name]

    return get
