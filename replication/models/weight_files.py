"""Files of initial weights: there, read, downloaded, or refused in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from replication.errors import ReplicationError

Tensors = dict[str, Tensor]

TORCHVISION_STD = (0.229, 0.224, 0.225)  # red, green, blue, on 0..1


def existing(place: str, root: Path, key: str) -> Path:
    """Return the path of a file under ``root``; ``key`` of params.yaml names another.

    Raises:
        ReplicationError: it does not exist.
    """
    path = root / place
    if not path.is_file():
        raise ReplicationError(
            f"initial weights {path} do not exist; run `dvc pull` for the sample's, or set "
            f"`{key}` in params.yaml to a file that does"
        )
    return path


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes its reader raise into one line."""
    try:
        yield
    except ReplicationError:
        raise
    except Exception as error:  # damaged files fail in a dozen ways
        raise ReplicationError(
            f"{path} can't be read ({_said(error)}); fetch the file again"
        ) from None


def read_pth(path: Path) -> Tensors:
    """Read a state dict (tensors alone: no code in the file is run).

    Raises:
        ReplicationError: the file can't be read, or is no state dict.
    """
    with reading(path):
        state = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ReplicationError(f"{path} holds no state dict; save `model.state_dict()` alone")
    return {str(key): value for key, value in state.items()}


def read_safetensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Read tensors by name, and the file's metadata.

    Raises:
        ReplicationError: the file can't be read.
    """
    from safetensors import safe_open

    with reading(path), safe_open(path, "pt") as file:
        notes = file.metadata() or {}
        return {key: file.get_tensor(key) for key in file.keys()}, notes  # noqa: SIM118


def download(weights: Any, what: str, key: str, kinds: str) -> tuple[Tensors, Path]:
    """Download a torchvision state dict; return it and the file that torch keeps of it.

    Args:
        weights: a member of one of torchvision's enumerations of weights.
        what: the network, for the error.
        key: what of params.yaml takes a local file instead, which may be one of ``kinds``.

    Raises:
        ReplicationError: it can't be downloaded, or is not what torchvision published.
    """
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except Exception as error:
        raise ReplicationError(
            f"torchvision's ImageNet {what} can't be downloaded ({_said(error)}); set `{key}` in "
            f"params.yaml to a local file ({kinds})"
        ) from None
    return dict(state), Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]


def from_standardised_rgb(weight: Float[Tensor, "O 3 H W"]) -> Float[Tensor, "O 3 H W"]:
    """Turn the first layer of torchvision's networks into one that reads BGR, 0..255, minus a mean.

    They read RGB, 0..1, standardised: the division by 255 and by the standard deviation goes into
    the weights, the order of the channels is turned round. Their mean differs from the authors' by
    less than one grey level in 255, which is left.
    """
    scale = 255 * torch.tensor(TORCHVISION_STD).view(1, 3, 1, 1)
    return (weight.float() / scale).flip(1)


def refuse_not_finite(tensor: Tensor, what: str) -> None:
    """Refuse a tensor that holds NaN or infinity; ``what`` names its file and itself."""
    if not torch.isfinite(tensor).all():
        raise ReplicationError(f"{what} holds NaN or infinity; fetch the file again")


def refuse_kind(path: Path, kinds: str) -> NoReturn:
    """Refuse a file by its ending."""
    raise ReplicationError(f"initial weights {path} end in {path.suffix!r}; give {kinds}")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
