"""The watch over each sending station: its state, and what was noticed and done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlite_utils import Database

    from appliance.domain import Channel


@dataclass(frozen=True, slots=True)
class StreamKey:
    """What is watched apart: a station (or a way in), a model version, a channel."""

    station: str
    model_id: str
    model_version: str
    channel: Channel

    @property
    def values(self) -> list[str]:
        """As the columns have it."""
        return [self.station, self.model_id, self.model_version, str(self.channel)]


@dataclass(frozen=True, slots=True)
class Event:
    """An alarm, or a restart by a person.

    Parameters
    ----------
    statistic, direction
        What alarmed and which way; empty for a restart.
    actor, comment
        Who restarted and why; empty for an alarm.
    """

    kind: str
    statistic: str = ""
    direction: str = ""
    actor: str = ""
    comment: str = ""


_KEY = "station = ? and model_id = ? and model_version = ? and channel = ?"


def body(db: Database, key: StreamKey) -> str | None:
    """Return the state of one stream, or None before its first image."""
    row = db.execute(f"select body from drift_stream where {_KEY}", key.values).fetchone()  # noqa: S608
    return None if row is None else str(row["body"])


def save(db: Database, key: StreamKey, text: str, now: float) -> None:
    """Keep the state of one stream."""
    db.execute(
        "insert into drift_stream values (?, ?, ?, ?, ?, ?)"
        " on conflict (station, model_id, model_version, channel) do update"
        " set body = excluded.body, updated_at = excluded.updated_at",
        [*key.values, text, now],
    )


def note(db: Database, key: StreamKey, event: Event, now: float) -> None:
    """Keep an alarm or a restart."""
    db.execute(
        "insert into drift_event (station, model_id, model_version, channel, kind, statistic,"
        " direction, actor, comment, at) values (?,?,?,?,?,?,?,?,?,?)",
        [
            *key.values,
            event.kind,
            event.statistic,
            event.direction,
            event.actor,
            event.comment,
            now,
        ],
    )


def forget(db: Database, key: StreamKey) -> None:
    """Begin a stream anew with its next image; what was noticed stays noted."""
    db.execute(f"delete from drift_stream where {_KEY}", key.values)  # noqa: S608


def rows(db: Database) -> Sequence[Any]:
    """Return every stream (station, model_id, model_version, channel, body, updated_at)."""
    found: Sequence[Any] = db.execute(
        "select * from drift_stream order by station, model_id, model_version, channel"
    ).fetchall()
    return found


def events(db: Database, since: float = 0.0) -> Sequence[Any]:
    """Return what was noticed and done since a time (seconds since the epoch), oldest first."""
    found: Sequence[Any] = db.execute(
        "select * from drift_event where at >= ? order by id", [since]
    ).fetchall()
    return found
