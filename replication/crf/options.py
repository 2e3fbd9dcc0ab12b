"""From what a person gives on the command line to checked CRF parameters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from replication.crf.grid import Point
from replication.crf.parameters import PRESETS, CrfParameters
from replication.errors import ReplicationError

DEFAULT_PRESET = "resnet_ports"


def check_parameters(values: Mapping[str, Any], source: str = "") -> CrfParameters:
    """Return the parameters of these values; ``source`` begins the error's line.

    Raises:
        ReplicationError: a value is outside its range; names the option.
    """
    try:
        return CrfParameters(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        advice = first["msg"][0].lower() + first["msg"][1:]
        raise ReplicationError(f"{source}`{option}` is {first['input']!r}: {advice}") from None


def find_preset(name: str) -> CrfParameters:
    """Return a preset's parameters; ReplicationError lists the known ones."""
    try:
        return PRESETS[name].parameters
    except KeyError:
        known = ", ".join(PRESETS)
        raise ReplicationError(f"`--preset` is {name!r}; use one of: {known}") from None


def read_search(path: Path) -> dict[str, Any]:
    """Read the result of a search.

    Raises:
        ReplicationError: the file is missing or is no such result.
    """
    cure = "give the JSON file that `replication crf search` wrote"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReplicationError(f"{path}: can't be read ({error.strerror}); {cure}") from None
    except (ValueError, RecursionError):
        raise ReplicationError(f"{path}: is no JSON; {cure}") from None
    keys = {*Point._fields, "miou"}
    try:
        whole = keys <= result["best"].keys() and all(
            keys | {"round", "mode"} <= point.keys() for point in result["points"]
        )
        whole = whole and {"fixed", "objective", "ids", "grid"} <= result.keys()
    except (AttributeError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ReplicationError(f"{path}: is not the result of a search; {cure}")
    read: dict[str, Any] = result
    return read


def found_parameters(result: Mapping[str, Any], source: str = "") -> CrfParameters:
    """Return the parameters that a search found best, with those it held fixed."""
    fixed = {key: value for key, value in result["fixed"].items() if key != "output_stride"}
    return check_parameters(
        {**{key: result["best"][key] for key in Point._fields}, **fixed}, source
    )


def choose_parameters(
    preset: str | None, found: Path | None, given: Mapping[str, Any]
) -> CrfParameters:
    """Start from a preset, a search's best or the ports' setting, and put in what is given.

    Args:
        preset: a name of `PRESETS`.
        found: a search's JSON file.
        given: parameters by name; None for those that are not given.

    Raises:
        ReplicationError: both a preset and a search are given, or one is not there, or a value is
            outside its range.
    """
    if preset is not None and found is not None:
        raise ReplicationError(
            f"`--preset` is {preset!r} and `--found` is {str(found)!r}: give one of the two"
        )
    if found is not None:
        base = found_parameters(read_search(found), f"{found}: ")
    else:
        base = find_preset(DEFAULT_PRESET if preset is None else preset)
    return check_parameters(
        {**base.model_dump(), **{k: v for k, v in given.items() if v is not None}}
    )
