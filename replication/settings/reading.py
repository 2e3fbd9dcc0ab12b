"""Settings from YAML files: a mistake becomes one line of file, key, value and cure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from replication.errors import ReplicationError

Model = TypeVar("Model", bound=BaseModel)
_SHOWN = 80  # characters of a wrong value


class _OnceLoader(yaml.SafeLoader):
    """YAML as plain data; a key that stands twice is an error, not silently the last one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()  # as written: `<<` has not been merged in yet
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.composer.ComposerError(
                        None, None, f"key `{key.value}` stands twice; keep one", key.start_mark
                    )
                seen.add(key.value)
        return node


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain data (no tags that run code).

    Raises:
        ReplicationError: the file is missing, can't be read or is not YAML.
    """
    try:
        return _OnceLoader(path.read_text(encoding="utf-8")).get_single_data()
    except FileNotFoundError:
        raise ReplicationError(
            f"{path} does not exist; run this in the repository's root, or restore the file "
            f"with `git checkout {path.name}`"
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise ReplicationError(
            f"{path} can't be read ({reason}); make it a readable file"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", "it can't be parsed")
        raise ReplicationError(
            f"{path}{line} is not valid YAML: {problem}; correct it, or restore the file with "
            f"`git checkout {path.name}`"
        ) from None


def _one_line(path: Path, error: ValidationError) -> str:
    """Turn pydantic's first complaint into file, key, value and cure."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    kind, value, context = first["type"], first["input"], first.get("ctx", {})
    shown = repr(value) if len(repr(value)) <= _SHOWN else f"{repr(value)[:_SHOWN]}..."
    if kind == "extra_forbidden":
        return (
            f"{path}: `{key}` is {shown}, and there is no such setting; remove it or correct its "
            "spelling"
        )
    if kind in ("model_type", "dict_type"):
        where = f"`{key}`" if key else "the file"
        return f"{path}: {where} holds {shown}; write settings, one `name: value` a line"
    if kind == "missing":
        return f"{path}: `{key}` is missing; add it"
    if kind == "value_error":  # our own validators name key, value and cure themselves
        return f"{path}: {f'in `{key}`: ' if key else ''}{context.get('error', first['msg'])}"
    advice = first["msg"][0].lower() + first["msg"][1:]
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        advice += "; YAML takes 1e-3 for text: write 0.001 or 1.0e-3"
    return f"{path}: `{key}` is {shown}; {advice}"


def parse(model: type[Model], path: Path) -> Model:
    """Read ``path`` and validate it as ``model``; complaints are one line."""
    try:
        return model.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ReplicationError(_one_line(path, error)) from None
