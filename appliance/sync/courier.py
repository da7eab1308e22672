"""The courier: drains the outbox to the targets, the best lane first, and never gives up.

At least once on the wire, once in effect: an item is marked only after the peer has named its
object, and the object's SOP Instance UID is the same at each try, so what a crash sends twice is
one object there. While a target does not answer it rests as a whole; the first delivery after
that wakes all of its waiting items.
"""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import StorageError, WaypostError
from appliance.store import heartbeats, outbox
from appliance.sync import policy
from appliance.sync.policy import Verdict
from appliance.sync.transport import Receipt, Transport

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from appliance.domain import OutboxItem
    from appliance.store.database import Store

__all__ = ["Courier", "Receipt", "Transport"]

POLL_S = 0.5
BEAT_S = 10.0
_ROUND = 20  # items of one target before the others get their turn

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Link:
    """What this courier remembers of a target; a restart forgets it, which costs one try."""

    failures: int = 0
    rests_until: float = 0.0


class Courier:
    """Hands on what the outbox holds.

    Parameters
    ----------
    store
        Where the outbox is.
    transports
        Target name to the way there; an item for a target that is not here waits untouched.
    load
        Makes an item's bytes; a `RefusedError` from it means that there are none to be made.
    owner
        Name for the leases, ``courier-`` and something of this process. One courier runs on a
        box: `run` takes back the leases of the one before it.
    clock
        Seconds since the epoch.
    random
        Numbers evenly drawn from 0 to 1.
    lease_s
        For how long an item is ours; longer than the longest send.
    """

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        store: Store,
        transports: Mapping[str, Transport],
        load: Callable[[OutboxItem], bytes],
        *,
        owner: str,
        clock: Callable[[], float],
        random: Callable[[], float],
        lease_s: float,
    ) -> None:
        self._store = store
        self._transports = transports
        self._load = load
        self._owner = owner
        self._clock = clock
        self._random = random
        self._lease_s = lease_s
        self._links = {target: _Link() for target in transports}
        self._has_begun = False
        self._beaten_at: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Drain whenever something is due, until `stop` is set."""
        while not stop.is_set():
            try:
                self._take_over()
                self._beat()
                delivered = self.run_once(stop)
            except StorageError as error:  # nothing is lost: what was sent is sent again
                _log.error("The courier waits: %s", error.text)
                delivered = 0
            if not delivered:
                stop.wait(POLL_S)

    def run_once(self, stop: threading.Event | None = None) -> int:
        """Send what is due, at most a round for each target; return the number delivered.

        Raises
        ------
        StorageError
            The outbox could not be read or written; the lease of the item in hand runs out.
        """
        return sum(self._drain(target, stop) for target in self._transports)

    def _drain(self, target: str, stop: threading.Event | None) -> int:
        delivered = 0
        try:
            for _ in range(_ROUND):
                if (stop is not None and stop.is_set()) or not self._is_open(target):
                    break
                item = self._claim(target)
                if item is None:
                    break
                delivered += self._hand_on(item)
        finally:
            if not self._has_more(target):
                self._transports[target].close()
        return delivered

    def _is_open(self, target: str) -> bool:
        """Say whether the target rests no longer; a clock set back does not prolong the rest."""
        rest = self._links[target].rests_until - self._clock()
        return rest <= 0 or rest > policy.LONGEST_DELAY_S

    def _has_more(self, target: str) -> bool:
        with self._store.read() as db:
            return outbox.has_due(db, target, self._clock())

    def _claim(self, target: str) -> OutboxItem | None:
        if not self._has_more(target):
            return None
        with self._store.transaction() as db:
            return outbox.claim(db, target, self._owner, self._clock(), self._lease_s)

    def _hand_on(self, item: OutboxItem) -> bool:
        try:
            receipt = self._send(item)
        except Exception as error:  # noqa: BLE001 - the courier's boundary: kept on the item
            self._failed(item, error)
            return False
        return self._delivered(item, receipt)

    def _send(self, item: OutboxItem) -> Receipt:
        return self._transports[item.target].send(self._load(item), item.object_uid)

    def _delivered(self, item: OutboxItem, receipt: Receipt) -> bool:
        link = self._links[item.target]
        with self._store.transaction() as db:
            marked = outbox.delivered(db, item, self._owner, self._clock())
            if link.failures:
                outbox.wake(db, item.target)
        self._links[item.target] = _Link()
        note = f" ({receipt.note})" if receipt.note else ""
        _log.info("Item %d delivered to %s%s.", item.id, item.target, note)
        return marked

    def _failed(self, item: OutboxItem, error: Exception) -> None:
        verdict, why, now = policy.judge(error), _why(error), self._clock()
        if verdict is Verdict.LINK:
            link = self._links[item.target]
            link.failures += 1
            link.rests_until = now + policy.delay_s(link.failures, self._random())
        with self._store.transaction() as db:
            if verdict is Verdict.DEAD:
                outbox.bury(db, item, self._owner, why)
            else:
                due_at = now + policy.delay_s(item.tries, self._random())
                outbox.postpone(db, item, self._owner, due_at, why)
        _log.warning("Item %d not delivered to %s: %s", item.id, item.target, why)

    def _take_over(self) -> None:
        """Take back, once, what a courier that was killed had in hand."""
        if self._has_begun:
            return
        with self._store.transaction() as db:
            outbox.release_owner(db, self._owner.partition("-")[0])
        self._has_begun = True

    def _beat(self) -> None:
        now = self._clock()
        if self._beaten_at is not None and 0 <= now - self._beaten_at < BEAT_S:
            return
        resting = sorted(name for name, link in self._links.items() if link.failures)
        detail = f"no answer from {', '.join(resting)}" if resting else "ready"
        with self._store.transaction() as db:
            heartbeats.beat(db, "courier", detail, now)
        self._beaten_at = now


def _why(error: Exception) -> str:
    """Return what is kept of a failure; of an unforeseen one its kind and place, never its text.

    The text of a foreign error may hold a value of the header.
    """
    if isinstance(error, WaypostError):
        return error.text
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].name}, line {frames[-1].lineno})" if frames else ""
    return f"The box failed to send it: {type(error).__name__}{place}."
