"""The CRF's parameters, as one option names them."""

from pathlib import Path

from replication.crf.options import DEFAULT_PRESET, choose_parameters
from replication.crf.parameters import PRESETS, CrfParameters
from replication.errors import ReplicationError

# What was published for each backbone.
_PRESET = {"vgg16": "vgg_aspp_release", "resnet101": DEFAULT_PRESET}


def parse_parameters(text: str | None, backbone: str) -> CrfParameters:
    """Return CRF parameters from a preset's name, a search's JSON file, values, or both in a row.

    Args:
        text: ``v1``, ``search.json``, ``w1=4,sigma_alpha=65``, ``v1,iterations=5``; None or values
            alone start from what was published for the backbone.
        backbone: ``vgg16`` or ``resnet101``.

    Raises:
        ReplicationError: there is no such preset or file, no such parameter, or a value is out of
            its range.
    """
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    base = parts.pop(0) if parts and "=" not in parts[0] else None
    try:
        given = dict(_value(part) for part in parts)
        if base is None or base in PRESETS:
            return choose_parameters(base or _PRESET[backbone], None, given)
        if not Path(base).is_file():
            raise ReplicationError(
                f"{base!r} is no file, and no published setting; those are {', '.join(PRESETS)}"
            )
        return choose_parameters(None, Path(base), given)
    except ReplicationError as error:
        raise ReplicationError(f"`--crf-parameters` is {text!r}: {error}") from None


def _value(part: str) -> tuple[str, float | int | str]:
    key, _, value = (piece.strip() for piece in part.partition("="))
    key = key.replace("-", "_")
    if key not in CrfParameters.model_fields:
        known = ", ".join(CrfParameters.model_fields)
        raise ReplicationError(f"there is no parameter {key!r}; known: {known}")
    if key == "normalization":
        return key, value
    try:
        return key, int(value) if key == "iterations" else float(value)
    except ValueError:
        raise ReplicationError(f"{value!r} is no number: write {key}=10") from None
