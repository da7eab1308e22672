"""What a clinician does with a case: confirm, overrule, comment; every act is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain import InstanceState
from appliance.errors import RefusedError
from appliance.store import instances, outbox, readings, requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.store.database import Store

ACTS = ("confirm", "overrule", "comment")
MAX_TEXT = 2000


class Review:
    """The acts of people; each is one transaction.

    Parameters
    ----------
    store
        Where they are kept.
    clock
        Seconds since the epoch, UTC.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def act(self, instance_id: int, act: str, actor: str, comment: str = "") -> None:
        """Keep one act; `confirm` and `overrule` move the case to the reviewed ones.

        Raises
        ------
        RefusedError
            No such case, no such act, no name, or an overruling without a word of why.
        """
        actor, comment = actor.strip()[:MAX_TEXT], comment.strip()[:MAX_TEXT]
        if act not in ACTS:
            raise RefusedError("Choose confirm, overrule or comment.", code="unknown_act")
        if not actor:
            raise RefusedError("Write your name, so that others can ask you.", code="no_name")
        if act != "confirm" and not comment:
            raise RefusedError("Write what you see in a few words.", code="no_comment")
        with self._store.transaction() as db:
            if instances.by_id(db, instance_id) is None:
                raise RefusedError("There is no such case on this box.", code="no_case")
            instances.insert_review(db, instance_id, act, actor, comment, self._clock())

    def read_anyway(self, instance_id: int, actor: str, why: str) -> None:
        """Keep the wish that a film be read which the quality check stopped, and queue it.

        Raises
        ------
        RefusedError
            No such case, no name, no reason, or nothing to read anyway: the case was not stopped by
            the quality check.
        """
        actor, why = actor.strip()[:MAX_TEXT], why.strip()[:MAX_TEXT]
        if not actor:
            raise RefusedError("Write your name, so that others can ask you.", code="no_name")
        if not why:
            raise RefusedError(
                "Write in a few words why it must be read as it is.", code="no_comment"
            )
        with self._store.transaction() as db:
            instance = instances.by_id(db, instance_id)
            if instance is None:
                raise RefusedError("There is no such case on this box.", code="no_case")
            stored = readings.latest(db, instance_id)
            stopped = stored is not None and stored.reading.stopped_for_quality
            if instance.state is not InstanceState.REFUSED or not stopped:
                raise RefusedError(
                    "The quality check did not stop this case, or somebody has asked already.",
                    code="not_stopped",
                )
            requests.insert(db, instance_id, actor, why, self._clock())

    def send_again(self, item_id: int) -> bool:
        """Put a dead letter back into the outbox; False when there is no such dead letter."""
        with self._store.transaction() as db:
            return outbox.revive(db, item_id)
