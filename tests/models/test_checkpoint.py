"""A trained network from its file alone: the same scores, the same bytes, and every wrong file."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, safe_open, save_file

from replication.data.palette import voc_palette
from replication.errors import ReplicationError
from replication.models.checkpoint import (
    own_palette,
    read_checkpoint,
    write_checkpoint,
)
from replication.models.deeplab import DeepLab
from replication.plan import Plan, scale
from replication.settings import Experiments, Profile, Run, parse

HERE = Path(__file__).resolve().parents[2]
LARGE_FOV = {"kernel": 3, "rates": [12], "channels": 1_024, "average_pool": True}
PLAIN = {"kernel": 1, "rates": [1], "channels": None, "average_pool": False}
NETWORKS: dict[str, dict[str, Any]] = {
    "7x7": {"head": LARGE_FOV | {"kernel": 7, "rates": [4], "channels": 4_096}},
    "4x4": {"head": LARGE_FOV | {"kernel": 4, "rates": [8], "channels": 4_096}},
    "LargeFOV": {"head": LARGE_FOV},
    "ASPP": {"head": LARGE_FOV | {"rates": [6, 12, 18, 24], "average_pool": False}},
    "1x1": {"backbone": "resnet101", "head": PLAIN},
    "1x1 torchvision": {"backbone": "resnet101", "flavour": "torchvision", "head": PLAIN},
    "multi-scale ASPP": {
        "backbone": "resnet101",
        "head": PLAIN | {"kernel": 3, "rates": [6, 12, 18, 24]},
        "multi_scale": {"scales": [1.0, 0.75, 0.5]},
    },
}


def plan(name: str) -> Plan:
    values = yaml.safe_load((HERE / "profiles" / "smoke.yaml").read_text())
    values |= {"width": 1 / 16, "crop": 65, "test_size": 57}
    run = parse(Experiments, HERE / "experiments.yaml").runs["aspp_l"].model_dump() | NETWORKS[name]
    return scale("made_up", Run.model_validate(run), "smoke", Profile(**values))


def network(name: str) -> DeepLab:
    torch.manual_seed(0)
    model = DeepLab(plan(name), 3).eval()
    for key, value in model.state_dict().items():
        if "running" in key or "bn" in key:
            value.copy_(torch.rand_like(value) + 0.5)
    return model


def notes(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "run": "made_up",
        "profile": "smoke",
        "classes": ["ground", "sheep", "Bäume"],
        "configuration": plan(name).configuration(),
        **changes,
    }


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    write_checkpoint(path, network("LargeFOV").state_dict(), **notes("LargeFOV", test_size=57))
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_alone_gives_the_scores_of_the_network_that_wrote_it(
    tmp_path: Path, name: str
) -> None:
    model, path = network(name), tmp_path / "weights.safetensors"
    write_checkpoint(path, model.state_dict(), **notes(name))
    image = torch.randn(1, 3, 57, 65, generator=torch.Generator().manual_seed(1)) * 60
    found = read_checkpoint(path)
    with torch.inference_mode():
        expected = model(image)
        assert expected.std() > 0
        assert torch.equal(found.network(image), expected)
    assert not found.network.training
    state = load_file(path)  # tensors as they were, by any reader of safetensors
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def test_the_notes_come_back(tmp_path: Path) -> None:
    colours = voc_palette()
    colours[1] = (1, 2, 3)
    path = tmp_path / "w.safetensors"
    said = notes(
        "ASPP",
        seed=3,
        data="made up",
        palette=own_palette(colours),
        test_size=57,
        hashes={"data": "a", "initial_weights": "b", "fingerprint": "c"},
    )
    write_checkpoint(path, network("ASPP").state_dict(), **said)
    found = read_checkpoint(path).notes
    assert {key: getattr(found, key) for key in said} == said
    np.testing.assert_array_equal(found.colours, colours)
    assert found.version


def test_vocs_colours_need_no_place(written: Path) -> None:
    assert own_palette(voc_palette()) is None
    with safe_open(written, "pt") as file:
        assert "palette" not in json.loads(file.metadata()["replication"])
    np.testing.assert_array_equal(read_checkpoint(written).notes.colours, voc_palette())


def test_equal_weights_and_notes_give_equal_bytes_wherever_they_lie(
    tmp_path: Path, written: Path
) -> None:
    other = tmp_path / "elsewhere" / "w.safetensors"
    said = dict(reversed(notes("LargeFOV", test_size=57).items()))
    write_checkpoint(other, network("LargeFOV").state_dict(), **said)
    assert other.read_bytes() == written.read_bytes()
    assert str(tmp_path).encode() not in written.read_bytes()


def test_files_from_before_the_notes_had_a_format_are_read(tmp_path: Path) -> None:
    """Run, profile, classes and a configuration without flavour or scales were all there was."""
    said = notes("LargeFOV")
    for key in ("flavour", "multi_scale", "rescale", "init"):
        del said["configuration"][key]
    path, model = tmp_path / "w.safetensors", network("LargeFOV")
    save_file(model.state_dict(), path, metadata={"replication": json.dumps(said)})
    found = read_checkpoint(path)
    assert (found.notes.test_size, found.notes.format) == (None, 1)
    image = torch.ones(1, 3, 33, 33)
    with torch.inference_mode():
        assert torch.equal(found.network(image), model(image))


def test_pickled_files_are_refused_unopened(tmp_path: Path) -> None:
    state = network("LargeFOV").state_dict()
    new, old, npz = tmp_path / "new.pth", tmp_path / "old.pth", tmp_path / "w.npz"
    torch.save(state, new)
    torch.save(state, old, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(npz, "w") as archive:
        archive.writestr("a.npy", b"")
    for path in (new, old, npz):
        with pytest.raises(ReplicationError, match="pickled or zipped") as caught:
            read_checkpoint(path)
        assert str(caught.value).startswith(str(path))
        assert "replication convert" in str(caught.value)


def rewrite(path: Path, said: Any = None, **tensors: torch.Tensor | None) -> None:
    state = {**load_file(path), **tensors}
    with safe_open(path, "pt") as file:
        old = file.metadata()["replication"]
    text = old if said is None else said if isinstance(said, str) else json.dumps(said)
    kept = {key: value for key, value in state.items() if value is not None}
    save_file(kept, path, metadata={"replication": text} if text else None)


BIAS = "classifier.branches.0.fc8.bias"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("missing", "does not exist; give a weights.safetensors"),
        ("a folder", "can't be read (Is a directory)"),
        ("rubbish", "is no safetensors file, or is damaged"),
        ("empty", "is no safetensors file, or is damaged"),
        ("short", "is no safetensors file, or is damaged"),
        ("caffe", "is Caffe's; make a checkpoint of it with `replication convert"),
        ("no notes", "does not say which network its tensors are of"),
        ("broken notes", "`replication` in its metadata is broken"),
        ("a list", "`replication` in its metadata is broken"),
        ("newer", "format 99, written by replication 7.0; this is 0.1.0, which reads up to 2"),
        ("no classes", "(`classes`: Field required)"),
        ("no width", "(`width`: Field required)"),
        ("a rate of 0", "(`head.rates.0`: Input should be greater"),
        ("a short palette", "(`palette`: List should have at least 256 items"),
        ("lacks", f"lacks {BIAS}, which its configuration needs"),
        ("more", "holds another.weight, for which its configuration has no place"),
        ("shape", f"{BIAS} is (4,), and its configuration needs (3,)"),
        ("integers", f"{BIAS} is of type I64, no float"),
    ],
)
def test_a_file_that_cannot_serve_is_one_line(written: Path, damage: str, said: str) -> None:
    content, path = written.read_bytes(), written
    base = notes("LargeFOV")
    without = {key: value for key, value in base.items() if key != "classes"}
    narrow = base["configuration"] | {"width": None}
    zero = base["configuration"] | {"head": base["configuration"]["head"] | {"rates": [0]}}
    texts: dict[str, Any] = {
        "broken notes": "{",
        "a list": [],
        "newer": base | {"format": 99, "version": "7.0"},
        "no classes": without,
        "no width": base | {"configuration": narrow},
        "a rate of 0": base | {"configuration": zero},
        "a short palette": base | {"palette": [[0, 0, 0]]},
    }
    tensors: dict[str, dict[str, torch.Tensor | None]] = {
        "lacks": {BIAS: None},
        "more": {"another.weight": torch.ones(1)},
        "shape": {BIAS: torch.ones(4)},
        "integers": {BIAS: torch.ones(3, dtype=torch.int64)},
    }
    raw = {"rubbish": b"x" * 500, "empty": b"", "short": content[:-100], "caffe": b"\x0a\x01a"}
    if damage in texts:
        rewrite(written, texts[damage])
    elif damage in tensors:
        rewrite(written, **tensors[damage])
    elif damage == "no notes":
        save_file(load_file(written), written)
    elif damage == "missing":
        path = written.with_name("none.safetensors")
    elif damage == "a folder":
        path = written.parent
    elif damage == "caffe":
        path = written.with_name("net.caffemodel")
        path.write_bytes(raw[damage])
    else:
        written.write_bytes(raw[damage])
    with pytest.raises(ReplicationError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert said in message
    assert "\n" not in message
