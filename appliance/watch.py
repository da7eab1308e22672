"""The watch over the sending stations: what it sees, a summary of the week, a new beginning."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from appliance.domain import Channel
from appliance.drift import StationWeek, Stream, weekly_summary
from appliance.errors import RefusedError
from appliance.store import drift_streams, scores
from appliance.store.drift_streams import Event, StreamKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.store.database import Store

_WEEK_S = 7 * 86400.0
_MAX_TEXT = 500


@dataclass(frozen=True, slots=True)
class Watched:
    """One stream as it stands."""

    key: StreamKey
    stream: Stream
    updated_at: datetime


class StationWatch:
    """Streams of the sending stations, over the store; the worker feeds them.

    Parameters
    ----------
    clock
        Seconds since the epoch, UTC.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def states(self) -> list[Watched]:
        """Return every stream, by station, model and channel."""
        with self._store.read() as db:
            rows = drift_streams.rows(db)
        return [
            Watched(_key(row), Stream.from_json(row["body"]), _time(row["updated_at"]))
            for row in rows
        ]

    def restart(self, station: str, by: str, reason: str) -> int:
        """Begin a station's streams anew, as a person wants it; return how many.

        Raises
        ------
        RefusedError
            A name or a reason is missing, or there is no such station.
        """
        by, reason = by.strip()[:_MAX_TEXT], reason.strip()[:_MAX_TEXT]
        if not by or not reason:
            raise RefusedError("Write who begins anew, and why.", code="no_name_or_reason")
        with self._store.transaction() as db:
            keys = [key for key in map(_key, drift_streams.rows(db)) if key.station == station]
            if not keys:
                raise RefusedError(f"No station {station} is watched here.", code="no_station")
            for key in keys:
                event = Event("restart", actor=by, comment=reason)
                drift_streams.note(db, key, event, self._clock())
                drift_streams.forget(db, key)
        return len(keys)

    def summary(self, box: str) -> str:
        """Return the last seven days as one line of JSON (`drift.weekly_summary`)."""
        until = self._clock()
        since = until - _WEEK_S
        with self._store.read() as db:
            rows = scores.weeks(db, since, until)
            tenths = scores.tenths(db, since, until)
        standing = {watched.key: watched.stream for watched in self.states()}
        histograms: dict[StreamKey, list[int]] = defaultdict(lambda: [0] * 10)
        for row in tenths:
            histograms[_key(row)][row["tenth"]] += row["n"]
        weeks = [_week(row, histograms[_key(row)], standing) for row in rows]
        return weekly_summary(box, _time(until).date().isoformat(), weeks)


def _week(row: Any, histogram: list[int], standing: Mapping[StreamKey, Stream]) -> StationWeek:
    key = _key(row)
    stream = standing.get(key)
    alarms = () if stream is None else stream.alarms()
    return StationWeek(
        station=key.station,
        model=f"{key.model_id} {key.model_version}",
        channel=str(key.channel),
        images=row["images"],
        scored=row["scored"],
        unfit=row["unfit"],
        abnormal=row["abnormal"],
        histogram=tuple(histogram),
        alarms=tuple(f"{alarm.statistic} {alarm.direction}" for alarm in alarms),
    )


def _key(row: Any) -> StreamKey:
    return StreamKey(row["station"], row["model_id"], row["model_version"], Channel(row["channel"]))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)
