"""Trained weights as one file that is enough by itself: safetensors, with notes of what they are.

The notes are one entry of the file's metadata, JSON under the key ``replication``: the network's
configuration, class names, colours, where the weights come from. No code is in the file, and none
is run to read it. Equal notes and weights give equal bytes: no time, no place is among them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import Field, ValidationError
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from replication import __version__
from replication.atomic import atomic_path
from replication.data.palette import voc_palette
from replication.errors import ReplicationError
from replication.models.deeplab import DeepLab
from replication.settings import Architecture
from replication.settings.base import Strict

KEY = "replication"
FORMAT = 2  # 1 had no number; run, profile, classes and configuration alone
_FLOATS = ("F32", "F16", "BF16", "F64")
_WANTED = "give a weights.safetensors of `replication stage train`, or of `replication convert`"
_SHOWN = 160  # characters of what pydantic complains of

Colour = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]


class Notes(Strict):
    """What a checkpoint says of itself.

    Attributes:
        format: of these notes.
        version: of the package that wrote them.
        run, profile, seed: as in experiments.yaml, profiles/ and params.yaml.
        data: name of the data set that it was trained on.
        classes: names; the position is the label's value.
        palette: 256 RGB colours in 0..255; None: VOC's.
        test_size: side that images are padded to when the profile scores them, 8 k + 1 pixels.
        configuration: `replication.plan.Plan.configuration`.
        hashes: SHA-256 of the data set's meta.json (``data``), of the initial weights
            (``initial_weights``), of everything that decides the weights (``fingerprint``).
        converted_from: name and SHA-256 of the file that others' weights were read from.
    """

    format: int = 1
    version: str | None = None
    run: str
    profile: str
    seed: int | None = None
    data: str | None = None
    classes: list[str] = Field(min_length=1, max_length=255)
    palette: list[Colour] | None = Field(default=None, min_length=256, max_length=256)
    test_size: int | None = Field(default=None, ge=9)
    configuration: dict[str, Any]
    hashes: dict[Literal["data", "initial_weights", "fingerprint"], str] = Field(default={})
    converted_from: dict[str, str] | None = None

    @property
    def colours(self) -> UInt8[np.ndarray, "256 3"]:
        """The colour map of its labels: uint8 (256, 3), RGB."""
        return voc_palette() if self.palette is None else np.array(self.palette, np.uint8)


@dataclass(frozen=True)
class Checkpoint:
    """A file's notes and its network, ready to score."""

    notes: Notes
    network: DeepLab


def own_palette(palette: UInt8[np.ndarray, "256 3"]) -> list[list[int]] | None:
    """Return a data set's colours as notes hold them: None where they are VOC's."""
    return None if np.array_equal(palette, voc_palette()) else palette.tolist()


def write_checkpoint(path: Path, state: Mapping[str, Tensor], **notes: Any) -> None:
    """Write weights and notes (`Notes`, all but format and version), whole or not at all."""
    said = Notes(format=FORMAT, version=__version__, **notes).model_dump(exclude_none=True)
    tensors = {name: value.contiguous() for name, value in state.items()}
    with atomic_path(path) as part:
        # One entry: safetensors writes several in random order, and equal weights should have
        # equal bytes, else everything that is made from them is made again.
        save_file(tensors, part, metadata={KEY: json.dumps(said, sort_keys=True)})


def read_checkpoint(path: Path) -> Checkpoint:
    """Rebuild a trained network from its file alone, on the CPU, in evaluation mode.

    Raises:
        ReplicationError: the file is missing, damaged, pickled (a ``.pth``), of another kind or of
            a newer version, or holds a tensor of another shape than its configuration asks for.
    """
    notes, architecture, shapes = _read_header(path)
    with torch.device("meta"):
        network = DeepLab(architecture, len(notes.classes))
    _check_shapes(path, {k: tuple(v.shape) for k, v in network.state_dict().items()}, shapes)
    with safe_open(path, "pt") as file:
        state = {name: file.get_tensor(name).float() for name in shapes}
    network.load_state_dict(state, assign=True)
    return Checkpoint(notes, network.eval().requires_grad_(False))


def _read_header(path: Path) -> tuple[Notes, Architecture, dict[str, tuple[int, ...]]]:
    """Return a checkpoint's notes, its network's architecture, and the shapes of its tensors."""
    _refuse_other_kinds(path)
    try:
        with safe_open(path, "pt") as file:
            said = (file.metadata() or {}).get(KEY)
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(one.get_shape()) for name, one in slices.items()}
            kinds = {name: one.get_dtype() for name, one in slices.items()}
    except Exception as error:  # safetensors raises a type of its own
        reason = " ".join(str(error).split())[:_SHOWN]
        raise ReplicationError(
            f"{path} is no safetensors file, or is damaged ({reason}); {_WANTED}"
        ) from None
    if said is None:
        raise ReplicationError(
            f"{path} does not say which network its tensors are of (no `{KEY}` in its metadata): "
            f"initial weights or another project's; {_WANTED}"
        )
    for name, kind in kinds.items():
        if kind not in _FLOATS:
            raise ReplicationError(f"{path}: {name} is of type {kind}, no float; {_WANTED}")
    notes, architecture = _understand(path, said)
    return notes, architecture, shapes


def _refuse_other_kinds(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except FileNotFoundError:
        raise ReplicationError(f"{path} does not exist; {_WANTED}") from None
    except OSError as error:
        raise ReplicationError(f"{path} can't be read ({error.strerror}); {_WANTED}") from None
    convert = "`replication convert FILE --run RUN --out weights.safetensors`"
    if start[:2] == b"PK" or (start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05"):
        raise ReplicationError(
            f"{path} is a pickled or zipped file, as PyTorch's .pth are, which can hold code; "
            f"make a checkpoint of it with {convert}"
        )
    if path.suffix == ".caffemodel":
        raise ReplicationError(f"{path} is Caffe's; make a checkpoint of it with {convert}")


def _understand(path: Path, said: str) -> tuple[Notes, Architecture]:
    """Turn the metadata's text into notes and architecture; complaints are one line."""
    try:
        content = json.loads(said)
        number = content.get("format", 1)
    except (ValueError, AttributeError):
        raise ReplicationError(f"{path}: `{KEY}` in its metadata is broken; {_WANTED}") from None
    if not isinstance(number, int) or number > FORMAT:
        raise ReplicationError(
            f"{path} has notes of format {number}, written by replication "
            f"{content.get('version')}; this is {__version__}, which reads up to {FORMAT}: update"
        )
    try:
        notes = Notes.model_validate(content)
        given = notes.configuration
        parts = {key: given[key] for key in Architecture.model_fields if given.get(key) is not None}
        architecture = Architecture.model_validate(parts)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = " ".join(f"`{key}`: {first['msg']}".split())[:_SHOWN]
        raise ReplicationError(
            f"{path} does not describe its network as it should ({reason}); {_WANTED}"
        ) from None
    return notes, architecture


def _check_shapes(
    path: Path, wanted: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]
) -> None:
    cure = "the file was changed after it was written: get or train it again"
    for name, shape in wanted.items():
        if name not in found:
            raise ReplicationError(f"{path} lacks {name}, which its configuration needs; {cure}")
        if found[name] != shape:
            raise ReplicationError(
                f"{path}: {name} is {found[name]}, and its configuration needs {shape}; {cure}"
            )
    if strange := sorted(found.keys() - wanted.keys()):
        raise ReplicationError(
            f"{path} holds {strange[0]}, for which its configuration has no place; {cure}"
        )
