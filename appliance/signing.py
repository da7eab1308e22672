"""A record that cannot be edited unnoticed: each entry is signed together with the one before it.

HMAC-SHA-256 (RFC 2104) with a key that only the box has, over canonical JSON that names the place
of the entry and the signature of its forerunner; a head, signed too, says how many entries there
are, so that the last one cannot be taken away either. Who holds the key can forge the record, and
who puts back an older copy of the whole database is not noticed. Pure: keys and entries come in.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEY_BYTES = 32
_FIRST = ""  # what the first entry names as its forerunner


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it is kept: canonical JSON, and its signature (hex)."""

    body: str
    mac: str

    @property
    def content(self) -> Mapping[str, Any]:
        """What the entry says."""
        content: Mapping[str, Any] = json.loads(self.body)
        return content


@dataclass(frozen=True, slots=True)
class Head:
    """How many entries there are, and the signature (hex) over that and the last entry."""

    count: int
    mac: str


def sign(key: bytes, content: Mapping[str, Any], entries: Sequence[Entry]) -> tuple[Entry, Head]:
    """Return the entry that follows `entries`, and the head with it."""
    previous = entries[-1].mac if entries else _FIRST
    count = len(entries) + 1
    body = _canonical({**content, "place": count, "previous": previous})
    entry = Entry(body, _mac(key, body))
    return entry, Head(count, _head_mac(key, count, entry.mac))


def troubles(key: bytes | None, entries: Sequence[Entry], head: Head | None) -> list[str]:
    """Return what is wrong with the record, a sentence each; nothing when it is whole.

    Parameters
    ----------
    key
        The box's key, or None where it was never made or is gone.
    """
    if key is None:
        gone = "The key file of this box is gone; the record cannot be verified."
        return [gone] if entries or head is not None else []
    if head is None:
        return ["The record's head is gone: entries were deleted."]
    found = []
    previous = _FIRST
    for place, entry in enumerate(entries, start=1):
        trouble = _trouble(key, entry, place, previous)
        if trouble is not None:
            found.append(f"Entry {place}: {trouble}")
        previous = entry.mac
    if head.count != len(entries) or not hmac.compare_digest(
        _head_mac(key, len(entries), previous), head.mac
    ):
        found.append(
            f"The record has {len(entries)} entries and its head tells of {head.count}: the end "
            "was deleted or edited."
        )
    return found


def _trouble(key: bytes, entry: Entry, place: int, previous: str) -> str | None:
    if not hmac.compare_digest(_mac(key, entry.body), entry.mac):
        return "it was edited."
    if entry.content["place"] != place or entry.content["previous"] != previous:
        return "an entry before it was deleted, edited or moved."
    return None


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _head_mac(key: bytes, count: int, last: str) -> str:
    return _mac(key, _canonical({"count": count, "last": last}))
