"""Writes a `ModelManifest` as the TOML that `appliance.manifest.load_manifest` reads."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from appliance.manifest import ModelManifest

_DIGITS = 6  # of measured figures: far below their intervals, and the file stays readable
_EXACT = (
    *("slope", "intercept", "threshold", "lower", "upper", "mean", "std"),
    *("cpu_tolerance", "tensorrt_tolerance"),
)


def toml(manifest: ModelManifest) -> str:
    """Write a manifest: plain keys first, then a table or a list of tables for each part."""
    head: list[str] = []
    tables: list[str] = []
    for name, value in _entries(manifest):
        if name == "directory":
            continue
        if name == "files":
            tables += ["", "[files]", *(f'"{file}" = "{sha}"' for file, sha in value.items())]
        elif is_dataclass(value):
            tables += ["", f"[{name}]", *_lines(value)]
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            for item in value:
                tables += ["", f"[[{name}]]", *_lines(item)]
        else:
            head.append(f"{name} = {_inline(value, name)}")
    return "\n".join([*head, *tables]) + "\n"


def _entries(value: Any) -> list[tuple[str, Any]]:
    pairs = [(field, getattr(value, field.name)) for field in fields(value)]
    return [
        (field.name, entry)
        for field, entry in pairs
        if entry is not None and not (entry is False and field.default is False)
    ]


def _lines(value: Any) -> list[str]:
    return [f"{name} = {_inline(entry, name)}" for name, entry in _entries(value)]


def _inline(value: Any, name: str) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return repr(value if name in _EXACT else round(value, _DIGITS))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return _list([_inline(item, name) for item in value])
    if is_dataclass(value):
        return "{ " + ", ".join(_lines(value)) + " }"
    raise TypeError(f"{name}: a manifest holds no {type(value).__name__}")


def _list(items: list[str]) -> str:
    line = "[" + ", ".join(items) + "]"
    return line if len(line) < 90 else "[\n" + "".join(f"  {item},\n" for item in items) + "]"
