"""Initial weights: three kinds of file, torchvision's convention, and everything broken."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models.vgg import cfgs, make_layers, vgg16_bn

from replication.errors import ReplicationError
from replication.models.decimation import gather_taps, subsample_taps
from replication.models.vgg import VGG16, conv_names
from replication.models.weights import convert_torchvision, load_backbone
from replication.provenance import sha256_file

Tensors = dict[str, Tensor]


def tiny(*, fc: bool = True) -> Tensors:
    """A file's content: VGG-16 at 1/16 width, fc6 of 16 filters."""
    torch.manual_seed(0)
    out: Tensors = {}
    for name, layer in VGG16(1 / 16).convolutions().items():
        assert layer.bias is not None
        out[f"{name}_W"], out[f"{name}_b"] = layer.weight.detach(), layer.bias.detach()
    if fc:
        out |= {"fc6_W": torch.randn(16, 32, 7, 7), "fc6_b": torch.randn(16)}
        out |= {"fc7_W": torch.randn(16, 16, 1, 1), "fc7_b": torch.randn(16)}
    return out


def write(path: Path, tensors: Tensors) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **{key: value.numpy() for key, value in tensors.items()})
    else:
        save_file(tensors, path)
    return path


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(ReplicationError) as caught:
        load_backbone(path.name, path.parent)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("fc", [True, False])
def test_round_trip(tmp_path: Path, suffix: str, fc: bool) -> None:
    tensors = tiny(fc=fc)
    path = write(tmp_path / f"w{suffix}", tensors)
    weights = load_backbone(path.name, tmp_path)
    assert list(weights.layers) == conv_names() + (["fc6", "fc7"] if fc else [])
    for name, (weight, bias) in weights.layers.items():
        assert torch.equal(weight, tensors[f"{name}_W"])
        assert torch.equal(bias, tensors[f"{name}_b"])
    assert weights.record() == {
        "origin": path.name,
        "sha256": sha256_file(path),
        "has_fc6_and_fc7": fc,
    }


def test_half_precision_files_become_float32(tmp_path: Path) -> None:
    path = write(tmp_path / "w.safetensors", {k: v.half() for k, v in tiny().items()})
    weights = load_backbone(path.name, tmp_path)
    assert {w.dtype for layer in weights.layers.values() for w in layer} == {torch.float32}


def torchvision_state(*, outputs: int = 16) -> Tensors:
    """The state of torchvision's vgg16 with a narrower classifier (its own takes 5 s to fill)."""
    torch.manual_seed(0)
    features = make_layers(cfgs["D"], batch_norm=False).state_dict()
    return {
        **{f"features.{key}": value for key, value in features.items()},
        "classifier.0.weight": torch.randn(outputs, 512 * 7 * 7),
        "classifier.0.bias": torch.randn(outputs),
        "classifier.3.weight": torch.randn(outputs, outputs),
        "classifier.3.bias": torch.randn(outputs),
    }


def test_torchvisions_classifier_equals_fc6_and_fc7_as_convolutions() -> None:
    state = torchvision_state()
    layers = convert_torchvision(state)
    maps = torch.randn(2, 512, 7, 7)
    linear = F.linear(maps.flatten(1), state["classifier.0.weight"], state["classifier.0.bias"])
    linear = F.linear(linear.relu(), state["classifier.3.weight"], state["classifier.3.bias"])
    conv = F.conv2d(F.conv2d(maps, *layers["fc6"]).relu(), *layers["fc7"])
    assert conv.shape == (2, 16, 1, 1)
    torch.testing.assert_close(conv.flatten(1), linear, rtol=1e-4, atol=1e-2)


def test_conv1_1_reads_bgr_in_grey_levels() -> None:
    state = torchvision_state()
    weight, bias = convert_torchvision(state)["conv1_1"]
    grey = torch.tensor([10.0, 20.0, 30.0]).view(1, 3, 1, 1).expand(1, 3, 5, 5)  # R, G, B
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    theirs = F.conv2d(
        grey / 255 / std, state["features.0.weight"], state["features.0.bias"], padding=1
    )
    torch.testing.assert_close(F.conv2d(grey.flip(1), weight, bias, padding=1), theirs)


def test_a_torchvision_file(tmp_path: Path) -> None:
    state = torchvision_state()
    torch.save(state, tmp_path / "vgg16.pth")
    weights = load_backbone("vgg16.pth", tmp_path)
    assert list(weights.layers) == [*conv_names(), "fc6", "fc7"]
    assert torch.equal(weights.layers["conv5_3"][0], state["features.28.weight"])
    assert weights.layers["fc6"][0].shape == (16, 512, 7, 7)


def test_absolute_places_are_taken_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "w.npz", tiny())
    assert load_backbone(str(path), Path("/nowhere")).origin == "w.npz"


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    refused(tmp_path / "none.npz", "do not exist", "dvc pull", "`data.backbone`")
    (tmp_path / "folder.npz").mkdir()
    refused(tmp_path / "folder.npz", "do not exist")
    (tmp_path / "w.caffemodel").write_bytes(b"x")
    refused(tmp_path / "w.caffemodel", "'.caffemodel'", "give .safetensors, .npz or .pth")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth"])
@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04 cut short"])
def test_rubbish_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    refused(path, "can't be read", "fetch the file again")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_file_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"w{suffix}", tiny())
    path.write_bytes(path.read_bytes()[:-1_000])
    refused(path, "can't be read", "fetch the file again")


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Owned:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "owned",)  # type: ignore[return-value]

    torch.save({"features.0.weight": Owned()}, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", "can't be read")
    assert not (tmp_path / "owned").exists()
    np.savez(tmp_path / "w.npz", conv1_1_W=np.array([Owned()], dtype=object))
    refused(tmp_path / "w.npz", "can't be read")
    assert not (tmp_path / "owned").exists()


def test_missing_layers_are_named(tmp_path: Path) -> None:
    tensors = tiny()
    del tensors["conv3_2_W"]
    del tensors["conv5_1_b"]  # a weight without its bias is no layer either
    path = write(tmp_path / "w.npz", tensors)
    refused(path, "lack conv3_2 (2 of 13 convolutions)", "give a VGG-16")
    refused(write(tmp_path / "e.npz", {"a": torch.ones(1)}), "lack conv1_1 (13 of 13")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("key", ["conv4_2_W", "conv4_2_b", "fc7_W"])
def test_nan_and_infinity_are_named(tmp_path: Path, key: str, bad: float) -> None:
    tensors = tiny()
    tensors[key].view(-1)[3] = bad
    refused(write(tmp_path / "w.safetensors", tensors), f"{key[:-2]} holds NaN or infinity")


@pytest.mark.parametrize(
    ("key", "shape", "said"),
    [
        ("conv2_1_W", (8, 4, 5, 5), "conv2_1 is (8, 4, 5, 5)"),
        ("conv2_1_W", (8,), "conv2_1 is (8,)"),
        ("conv2_1_b", (1,), "with biases (1,)"),
        ("conv2_1_b", (), "with biases ()"),
        ("fc6_W", (16, 32 * 49), "fc6 is (16, 1568)"),
        ("fc6_W", (16, 32, 3, 3), "it must be (out, in, 7, 7)"),
        ("fc7_W", (16, 16), "it must be (out, in, 1, 1)"),
        ("fc7_W", (16, 15, 1, 1), "fc7 reads 15 filters, fc6 has 16"),
    ],
)
def test_ill_shaped_layers_are_named(
    tmp_path: Path, key: str, shape: tuple[int, ...], said: str
) -> None:
    path = write(tmp_path / "w.npz", {**tiny(), key: torch.zeros(shape)})
    refused(path, said)


def test_a_network_with_batch_norm_is_refused(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = vgg16_bn(weights=None).features.state_dict()
    state = {f"features.{k}": torch.zeros(v.shape, dtype=v.dtype) for k, v in shapes.items()}
    torch.save(state, tmp_path / "vgg16_bn.pth")
    refused(tmp_path / "vgg16_bn.pth", "conv1_2 is (64,)")


def test_a_failed_download_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    expected = r"can't be downloaded .*no route.*data\.backbone"
    with pytest.raises(ReplicationError, match=expected) as caught:
        load_backbone("torchvision", Path())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kernel", "taps"),
    [(1, [3]), (2, [0, 6]), (3, [0, 3, 6]), (4, [0, 2, 4, 6]), (7, [0, 1, 2, 3, 4, 5, 6])],
)
def test_taps_are_spread_from_edge_to_edge(kernel: int, taps: list[int]) -> None:
    weight = torch.arange(49.0).view(1, 1, 7, 7)
    expected = [[7 * row + column for column in taps] for row in taps]
    assert subsample_taps(weight, kernel)[0, 0].tolist() == expected


@pytest.mark.parametrize(("kernel", "rate"), [(3, 12), (4, 8)])
def test_decimated_taps_stay_where_the_full_filters_were(kernel: int, rate: int) -> None:
    """7x7 at rate 4 with the other taps zero equals the decimated filter at its own rate."""
    torch.manual_seed(0)
    weight = torch.randn(2, 3, 7, 7, dtype=torch.float64)
    few = subsample_taps(weight, kernel)
    taps = [0, 3, 6] if kernel == 3 else [0, 2, 4, 6]
    sparse = torch.zeros_like(weight)
    for row in taps:
        for column in taps:
            sparse[:, :, row, column] = weight[:, :, row, column]
    features = torch.randn(1, 3, 30, 30, dtype=torch.float64)
    torch.testing.assert_close(
        F.conv2d(features, few, dilation=rate, padding=12),
        F.conv2d(features, sparse, dilation=4, padding=12),
    )


@pytest.mark.parametrize(("kernel", "rate"), [(3, 12), (4, 8), (7, 4)])
def test_gathered_taps_answer_smooth_features_as_the_full_filter_does(
    kernel: int, rate: int
) -> None:
    """Features bilinear in position: the two responses are equal, whatever the filter."""
    torch.manual_seed(0)
    weight = torch.randn(2, 3, 7, 7, dtype=torch.float64)
    constant, down, right, both = torch.randn(4, 3, 1, 1, dtype=torch.float64)
    y, x = torch.arange(30.0).view(-1, 1), torch.arange(30.0).view(1, -1)
    features = (constant + down * y + right * x + both * y * x)[None]  # (1, 3, 30, 30)
    torch.testing.assert_close(
        F.conv2d(features, gather_taps(weight, kernel), dilation=rate),
        F.conv2d(features, weight, dilation=4),
    )


def test_one_gathered_tap_holds_the_whole_filter() -> None:
    weight = torch.arange(49.0).view(1, 1, 7, 7)
    assert gather_taps(weight, 1).tolist() == [[[[weight.sum().item()]]]]


@given(st.integers(2, 7))
def test_taps_are_distinct_and_symmetric(kernel: int) -> None:
    weight = torch.arange(7.0).view(1, 1, 1, 7).expand(1, 1, 7, 7)
    taps = subsample_taps(weight, kernel)[0, 0, 0].tolist()
    assert len(set(taps)) == kernel
    assert taps == [6 - tap for tap in reversed(taps)]


def test_the_shared_imagenet_weights_load(shared: Path) -> None:
    weights = load_backbone(str(shared / "weights" / "vgg16_conv_imagenet.npz"), Path())
    assert weights.layers["conv1_1"][0].shape == (64, 3, 3, 3)
    assert sum(w.numel() + b.numel() for w, b in weights.layers.values()) == 14_714_688
