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
_LARGEST = 1 << 18  # bytes of a file; ours have under 10,000
_MOST = 100_000  # values, those that aliases repeat counted each time
_DEEPEST = 50


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


def _count(node: yaml.Node, counted: dict[int, int], depth: int = 1) -> int:
    """Return how many values a node stands for, each alias followed.

    A few lines of aliases to aliases stand for billions of values, and one that leads back to
    itself for infinitely many.

    Raises:
        yaml.composer.ComposerError: more than `_MOST`, or deeper than `_DEEPEST`.
    """
    if id(node) in counted:
        return counted[id(node)]
    children: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    if depth > _DEEPEST:
        said = f"values lie deeper than {_DEEPEST} levels, or lead back to themselves"
        raise yaml.composer.ComposerError(None, None, said, node.start_mark)
    total = 1 + sum(_count(child, counted, depth + 1) for child in children)
    if total > _MOST:
        said = f"aliases make more than {_MOST:,} values of it"
        raise yaml.composer.ComposerError(None, None, said, node.start_mark)
    counted[id(node)] = total
    return total


def _compose(text: str) -> Any:
    """Return the plain data of a YAML text; fails in a dozen ways on a bad one."""
    loader = _OnceLoader(text)
    node = loader.get_single_node()
    if node is None:
        return None
    _count(node, {})
    return loader.construct_document(node)


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain data (no tags that run code).

    Raises:
        ReplicationError: the file is missing, can't be read, is not YAML, or is larger, deeper or
            of more values than settings can be.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ReplicationError(
                f"{path} has {path.stat().st_size:,} bytes, and settings at most {_LARGEST:,}; "
                f"restore the file with `git checkout {path.name}`"
            )
        return _compose(path.read_text(encoding="utf-8"))
    except ReplicationError:
        raise
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
    except Exception as error:  # such as the ValueError of `2001-99-99`, a date that is none
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None)
        if problem is None:
            problem = f"it can't be parsed ({type(error).__name__})"
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
