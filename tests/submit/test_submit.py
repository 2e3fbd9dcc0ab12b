"""Archives for the test servers, read as the servers' own programs say that they read them."""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import Result
from PIL import Image
from torchvision.datasets import Cityscapes
from typer.testing import CliRunner

from replication.cli import app
from replication.data.labels import write_label
from replication.errors import ReplicationError
from replication.models.checkpoint import write_checkpoint
from replication.models.deeplab import DeepLab
from replication.settings import Architecture, Head
from replication.submit.archive import check, encode, pack
from replication.submit.servers import Server, get_server

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION: dict[str, Any] = {
    "backbone": "vgg16",
    "width": 1 / 32,
    "head": {"kernel": 1, "rates": [1], "channels": 8, "average_pool": False, "dropout": 0.5},
}
VOC_IDS = ["2008_000006", "2008_000011", "2008_000012"]
CITY_IDS = ["berlin_000000_000019", "bonn_000001_000019"]


def voc_test_tree(folder: Path) -> Path:
    tree = folder / "VOCdevkit" / "VOC2012"
    (tree / "JPEGImages").mkdir(parents=True)
    (tree / "ImageSets" / "Segmentation").mkdir(parents=True)
    for number, name in enumerate(VOC_IDS):
        pixels = np.random.default_rng(number).integers(0, 256, (33, 40 + number, 3), np.uint8)
        Image.fromarray(pixels).save(tree / "JPEGImages" / f"{name}.jpg")
    (tree / "ImageSets/Segmentation/test.txt").write_text("\n".join(VOC_IDS) + "\n")
    return folder


def cityscapes_test_tree(folder: Path) -> Path:
    for name in CITY_IDS:
        place = folder / "leftImg8bit" / "test" / name.split("_")[0]
        place.mkdir(parents=True)
        pixels = np.random.default_rng(len(name)).integers(0, 256, (64, 128, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{name}_leftImg8bit.png")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with settings whose profile is photos, and no run."""
    shutil.copytree(ROOT / "profiles", tmp_path / "root" / "profiles")
    shutil.copy(ROOT / "experiments.yaml", tmp_path / "root")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"profile": "demo", "device": "cpu", "precision": "32-true"}
    params["crf"] |= {"parameters": "vgg_aspp_release", "iterations": 2}
    (tmp_path / "root" / "params.yaml").write_text(yaml.safe_dump(params))
    return tmp_path / "root"


def train(root: Path, classes: tuple[str, ...], data: str) -> None:
    """Leave an untrained network where a run's weights lie."""
    torch.manual_seed(0)
    head = Head(**CONFIGURATION["head"])
    model = DeepLab(Architecture(backbone="vgg16", width=1 / 32, head=head), len(classes))
    path = root / "runs" / "demo" / "aspp_l" / "seed_0" / "weights.safetensors"
    path.parent.mkdir(parents=True)
    write_checkpoint(
        path,
        model.state_dict(),
        run="aspp_l",
        profile="demo",
        data=data,
        classes=list(classes),
        test_size=57,
        configuration=CONFIGURATION,
    )


def submit(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["submit", *arguments, "--run", "aspp_l", "--root", str(root)])


def test_voc_as_its_server_takes_it(root: Path, tmp_path: Path) -> None:
    """devkit_doc 3.3 and 5.3: results/VOC2012/Segmentation/compN_test_cls/ID.png, palette PNGs."""
    train(root, get_server("voc2012").classes, "voc2012")
    images = voc_test_tree(tmp_path / "test")
    done = submit(root, "voc2012", "--images", str(images), "--incomplete")
    assert done.exit_code == 0, done.exception or done.output
    archive = root / "submissions" / "demo" / "aspp_l_voc2012.tar.gz"
    assert f"{archive}: 3 label maps, checked" in done.output
    with tarfile.open(archive) as tar:
        folder = "results/VOC2012/Segmentation/comp6_test_cls"
        assert tar.getnames() == [f"{folder}/{name}.png" for name in VOC_IDS]
        for number, member in enumerate(tar.getmembers()):
            stream = tar.extractfile(member)
            assert stream is not None
            with Image.open(stream) as picture:
                assert (picture.mode, picture.size) == ("P", (40 + number, 33))
                palette = np.reshape(picture.getpalette(), (-1, 3))
                # VOC's colours of background, aeroplane, bicycle and tv/monitor
                assert palette[[0, 1, 2, 20]].tolist() == [
                    *([0, 0, 0], [128, 0, 0], [0, 128, 0], [0, 64, 128])
                ]
                assert np.asarray(picture).max() <= 20
    before = archive.read_bytes()
    assert submit(root, "voc2012", "--images", str(images), "--incomplete").exit_code == 0
    assert archive.read_bytes() == before


def test_cityscapes_as_its_server_takes_it(root: Path, tmp_path: Path) -> None:
    """cityscapesScripts: regular ids, not train ids; names begin with city_seq_frame."""
    train(root, get_server("cityscapes").classes, "cityscapes")
    images = cityscapes_test_tree(tmp_path / "test")
    done = submit(root, "cityscapes", "--images", str(images), "--incomplete", "--no-crf")
    assert done.exit_code == 0, done.exception or done.output
    evaluated = {c.id for c in Cityscapes.classes if not c.ignore_in_eval}
    with zipfile.ZipFile(root / "submissions" / "demo" / "aspp_l_cityscapes.zip") as archive:
        names = archive.namelist()
        assert names == [f"{name}_leftImg8bit.png" for name in CITY_IDS]
        for name in names:
            with Image.open(io.BytesIO(archive.read(name))) as picture:
                assert (picture.mode, picture.size) == ("L", (128, 64))
                assert set(np.unique(picture).tolist()) <= evaluated


def test_every_train_id_becomes_the_label_id_of_its_name() -> None:
    server = get_server("cityscapes")
    label = np.arange(19, dtype=np.uint8)[None]
    with Image.open(io.BytesIO(encode(label, server))) as picture:
        ids = np.asarray(picture)[0]
    theirs = {c.name: c.id for c in Cityscapes.classes}
    assert ids.tolist() == [theirs[name] for name in server.classes]


def test_a_test_set_that_is_not_whole_is_refused(root: Path, tmp_path: Path) -> None:
    train(root, get_server("voc2012").classes, "voc2012")
    images = voc_test_tree(tmp_path / "test")
    done = submit(root, "voc2012", "--images", str(images))
    assert "has 3 test images, and voc2012 asks for 1,456" in str(done.exception)
    next(images.rglob("2008_000011.jpg")).unlink()
    done = submit(root, "voc2012", "--images", str(images), "--incomplete")
    assert "2008_000011.jpg does not exist, and test.txt lists it" in str(done.exception)


def test_a_run_of_other_classes_or_none_is_refused(root: Path, tmp_path: Path) -> None:
    images = str(voc_test_tree(tmp_path / "test"))
    assert "`dvc repro train@aspp_l` first" in str(
        submit(root, "voc2012", "--images", images).exception
    )
    train(root, ("ground", "sheep"), "pastures")
    done = submit(root, "voc2012", "--images", images)
    assert "knows 2 classes of pastures, and voc2012 asks for 21" in str(done.exception)
    assert "use voc2012 or cityscapes" in str(submit(root, "kitti", "--images", images).exception)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ReplicationError, match=r"no test/CITY/\*_leftImg8bit\.png"):
        get_server("cityscapes").find(empty)


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Server, list[Path], Path, Path]:
    server = get_server("voc2012")
    images = server.find(voc_test_tree(tmp_path / "test"))
    labels = tmp_path / "labels"
    for image in images:
        with Image.open(image) as opened:
            width, height = opened.size
        write_label(labels / f"{image.stem}.png", np.full((height, width), 3, np.uint8))
    return server, images, labels, tmp_path / "out.tar.gz"


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (np.zeros((33, 33), np.uint8), "is 33 x 33, and .* predict it again"),
        (np.full((33, 40), 255, np.uint8), "void pixels"),
        (None, "2008_000006"),
    ],
)
def test_label_maps_that_no_server_takes(
    packed: tuple[Server, list[Path], Path, Path], label: np.ndarray | None, said: str
) -> None:
    server, images, labels, out = packed
    path = labels / "2008_000006.png"
    path.unlink()
    if label is not None:
        write_label(path, label)
    with pytest.raises(ReplicationError, match=said):
        pack(server, images, labels, out)
    assert not out.exists()


def test_the_check_sees_what_is_wrong(packed: tuple[Server, list[Path], Path, Path]) -> None:
    server, images, labels, out = packed
    pack(server, images[:2], labels, out)
    with pytest.raises(ReplicationError, match=r"1 label maps are missing, .*2008_000012"):
        check(server, images, out)
    pack(server, images, labels, out)
    check(server, images, out)
    with pytest.raises(ReplicationError, match=r"2008_000012\.png is not asked for"):
        check(server, images[:2], out)
    stream = io.BytesIO()
    Image.fromarray(np.full((33, 40), 21, np.uint8)).save(stream, "PNG")
    for mode, said in (("L", "it must be P"), ("P", "holds 21, which is no class")):
        with tarfile.open(out, "w:gz") as tar:
            picture = Image.open(io.BytesIO(stream.getvalue()))
            if mode == "P":
                picture.putpalette([0] * 768)
            raw = io.BytesIO()
            picture.save(raw, "PNG")
            member = tarfile.TarInfo(server.member(images[0]))
            member.size = len(raw.getvalue())
            tar.addfile(member, io.BytesIO(raw.getvalue()))
        with pytest.raises(ReplicationError, match=said):
            check(server, images[:1], out)
