"""Which device and which precision: chosen by what the hardware does fast."""

import torch

from replication.errors import ReplicationError

ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


PRECISIONS = ("auto", "32-true", "bf16-mixed")


def choose_device(setting: str, said: str = "params.yaml: `device`") -> str:
    """Turn ``auto`` into cuda, mps or cpu; refuse a device that is not here.

    ``said`` is what the error calls the setting.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if setting == "auto":
        return next(name for name, here in available.items() if here)
    if setting not in available:
        raise ReplicationError(f"{said} is {setting!r}; use one of auto, {', '.join(available)}")
    if not available[setting]:
        raise ReplicationError(f"{said} is {setting!r}, and this machine has none; use auto or cpu")
    return setting


def use_threads(threads: int | None) -> None:
    """Set how many threads torch computes with on a CPU; None leaves torch's choice, all cores.

    Networks as tiny as those of tests and of the profile `smoke` gain nothing by a second thread,
    and lose seconds an update to it where something else runs on the machine.
    """
    if threads is not None:
        torch.set_num_threads(threads)


def choose_precision(setting: str, device: str, said: str = "params.yaml: `precision`") -> str:
    """Turn ``auto`` into Lightning's ``bf16-mixed`` where bfloat16 is fast, else ``32-true``.

    A CPU without AVX-512 BF16 or AMX emulates bfloat16: a VGG-16 step took 150 s there, and 4.8 s
    in float32.
    """
    if setting not in PRECISIONS:
        raise ReplicationError(f"{said} is {setting!r}; use one of {', '.join(PRECISIONS)}")
    if setting != "auto":
        return setting
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device == "cpu" and _cpu_multiplies_bfloat16()
    return "bf16-mixed" if fast else "32-true"


def choose_layout(device: str, precision: str) -> torch.memory_format:
    """Return how maps and filters lie in memory where that is fast: channels last, or first.

    Last is what bfloat16 and GPUs' matrix units want. In 32 bits on a CPU without AVX-512, oneDNN's
    backward pass then took up to twice as long (64 to 256 channels, 3x3), and an update of VGG-16
    LargeFOV 1.3 times as long as with channels first.
    """
    on_cpu = device == "cpu" and precision == "32-true"
    return torch.contiguous_format if on_cpu else torch.channels_last


def _cpu_multiplies_bfloat16() -> bool:
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    checks = (getattr(torch.cpu, name, None) for name in names)
    return any(check is not None and check() for check in checks)
