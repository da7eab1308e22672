"""A TOML table becomes a frozen dataclass, exactly by its type hints.

What is unknown, missing or of another kind is a `TableError`; the sentence for a person is the
caller's, who knows whose file it is. (cattrs was tried: what it says of such files is less exact.)
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TableError", "Trouble", "from_table"]

_T = TypeVar("_T")


class Trouble(Enum):
    """What is wrong with a key."""

    UNKNOWN = "unknown"
    MISSING = "missing"
    NO_TABLE = "no table"
    NO_LIST = "no list"
    COUNT = "count"
    WORD = "word"
    NO_TEXTS = "no texts"
    TYPE = "type"


class TableError(Exception):
    """A table is not what the dataclass says.

    Parameters
    ----------
    trouble
        What is wrong.
    place
        The keys that lead to the table of the key, ``input`` or ``target[0]``; "" at the top.
    key
        The key itself.
    expected
        The known keys or words, the number of entries, or the type's name.
    value
        What stands there, None where nothing does.
    """

    def __init__(
        self, trouble: Trouble, place: str, key: str, expected: object = None, value: object = None
    ) -> None:
        self.trouble = trouble
        self.place = place
        self.key = key
        self.expected = expected
        self.value = value
        super().__init__(f"{self.path}: {trouble.value}")

    @property
    def path(self) -> str:
        """The whole way to the key, with dots."""
        return f"{self.place}.{self.key}" if self.place else self.key


def from_table(kind: type[_T], table: Mapping[str, Any], place: str = "", **given: object) -> _T:
    """Make a frozen dataclass of a table.

    Its fields may be texts, numbers, truth values, enumerations, further dataclasses, tuples of one
    kind, a mapping of texts, and any of these or None (TOML has no null: an absent key is None).

    Parameters
    ----------
    kind
        The dataclass.
    place
        Where the table stands in the file, for `TableError`.
    given
        Fields that the table must not name.

    Raises
    ------
    TableError
        The first thing that is wrong.
    """
    known = [f for f in fields(cast("Any", kind)) if f.name not in given]
    names = sorted(f.name for f in known)
    for key in sorted(set(table) - set(names)):
        raise TableError(Trouble.UNKNOWN, place, key, expected=names)
    for item in known:
        if item.name not in table and _is_required(item):
            raise TableError(Trouble.MISSING, place, item.name)
    hints = get_type_hints(kind)
    values = {key: _convert(hints[key], value, place, key) for key, value in table.items()}
    return kind(**values, **given)


def _is_required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _convert(hint: Any, value: Any, place: str, key: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _convert(arguments[0], value, place, key)
    if origin is tuple:
        return _convert_list(arguments, value, place, key)
    if origin is not None:  # the one mapping: text to text
        return _convert_mapping(value, place, key)
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise TableError(Trouble.NO_TABLE, place, key, value=value)
        return from_table(hint, value, f"{place}.{key}" if place else key)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _convert_word(hint, value, place, key)
    return _convert_scalar(hint, value, place, key)


def _convert_list(arguments: tuple[Any, ...], value: Any, place: str, key: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise TableError(Trouble.NO_LIST, place, key, value=value)
    if arguments[-1] is not Ellipsis and len(arguments) != len(value):
        raise TableError(Trouble.COUNT, place, key, expected=len(arguments), value=value)
    return tuple(
        _convert(arguments[0], item, place, f"{key}[{index}]") for index, item in enumerate(value)
    )


def _convert_word(hint: type[Enum], value: Any, place: str, key: str) -> Enum:
    try:
        return hint(value)
    except ValueError:
        words = [str(member.value) for member in hint]
        raise TableError(Trouble.WORD, place, key, expected=words, value=value) from None


def _convert_mapping(value: Any, place: str, key: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise TableError(Trouble.NO_TEXTS, place, key, value=value)
    return dict(value)


def _convert_scalar(hint: Any, value: Any, place: str, key: str) -> Any:
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise TableError(Trouble.TYPE, place, key, expected=hint.__name__, value=value)
    return value
