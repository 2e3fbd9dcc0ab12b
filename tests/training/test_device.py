"""The choice of device and precision, with the hardware made up."""

import pytest
import torch

from replication.errors import ReplicationError
from replication.training import device
from replication.training.device import ACCELERATORS, choose_device, choose_precision, use_threads


def hardware(patch: pytest.MonkeyPatch, *, cuda: bool = False, mps: bool = False) -> None:
    patch.setattr(torch.cuda, "is_available", lambda: cuda)
    patch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_cuda_then_mps_then_cpu(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    hardware(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device("auto") == expected
    assert choose_device("cpu") == "cpu"
    assert set(ACCELERATORS) == {"cuda", "mps", "cpu"}


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    hardware(monkeypatch)
    with pytest.raises(ReplicationError, match=rf"params\.yaml: `device` is '{name}'.*use auto"):
        choose_device(name)


@pytest.mark.parametrize("fast", [True, False])
def test_auto_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    expected = "bf16-mixed" if fast else "32-true"
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: fast, raising=False)
    assert choose_precision("auto", "cpu") == expected
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: fast)
    assert choose_precision("auto", "cuda") == expected
    assert choose_precision("auto", "mps") == "32-true"


def test_a_torch_that_does_not_tell_is_taken_for_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert not device._cpu_multiplies_bfloat16()
    assert choose_precision("auto", "cpu") == "32-true"


@pytest.mark.parametrize("setting", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", ["cpu", "cuda", "mps"])
def test_a_set_precision_is_taken_as_it_is(setting: str, name: str) -> None:
    assert choose_precision(setting, name) == setting


def test_threads_are_those_of_the_profile_or_torchs_own() -> None:
    before = torch.get_num_threads()
    try:
        use_threads(2)
        assert torch.get_num_threads() == 2
        use_threads(None)
        assert torch.get_num_threads() == 2
        use_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
