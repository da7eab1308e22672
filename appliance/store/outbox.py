"""The outbox: what each target must still get. An item is never dropped and has no last try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.domain import ItemKind, Lane, OutboxItem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlite_utils import Database


# No courier waits or leases for longer. A time further ahead was written by a clock that was
# wrong (a box without a battery behind its clock), and must not hold an item back for years.
HORIZON_S = 3600.0


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item as it is put into the outbox; `object_uid` and `target` make it one of a kind."""

    target: str
    kind: ItemKind
    instance_id: int
    lane: Lane
    object_uid: str


def enqueue(db: Database, new: NewItem, now: float) -> bool:
    """Put an item into the outbox; False when it is there already (whatever its state)."""
    cursor = db.execute(
        "insert into outbox (idempotency_key, target, kind, instance_id, lane, object_uid,"
        " created_at) values (?,?,?,?,?,?,?) on conflict (idempotency_key) do nothing",
        [
            f"{new.target}|{new.object_uid}",
            new.target,
            str(new.kind),
            new.instance_id,
            int(new.lane),
            new.object_uid,
            now,
        ],
    )
    return cursor.rowcount == 1


_LEASE = "state = 'leased', owner = :owner, lease_until = :now + :lease, tries = tries + 1"
_DUE = (
    "((state = 'ready' and (not_before <= :now or not_before > :horizon))"
    " or (state = 'leased' and (lease_until < :now or lease_until > :horizon)))"
)


def claim(db: Database, target: str, owner: str, now: float, lease_s: float) -> OutboxItem | None:
    """Lease the next item for `target` that is due, the best lane first; None when there is none.

    Call it inside a transaction.
    """
    row = db.execute(
        f"update outbox set {_LEASE} where id = (select id from outbox"  # noqa: S608
        f" where target = :target and {_DUE} order by lane, id limit 1) returning *",
        {
            "owner": owner,
            "target": target,
            "now": now,
            "lease": lease_s,
            "horizon": now + max(HORIZON_S, lease_s),
        },
    ).fetchone()
    return None if row is None else _item(row)


def has_due(db: Database, target: str, now: float) -> bool:
    """Say whether an item for `target` is due, without taking a lock."""
    row = db.execute(
        f"select exists (select 1 from outbox where target = :target and {_DUE})",  # noqa: S608
        {"target": target, "now": now, "horizon": now + HORIZON_S},
    ).fetchone()
    return bool(row[0])


def release_owner(db: Database, owner_prefix: str) -> int:
    """Give back the leases of a courier that is known to be gone; return their number."""
    cursor = db.execute(
        "update outbox set lease_until = 0 where state = 'leased' and owner like ? || '%'",
        [owner_prefix],
    )
    return int(cursor.rowcount)


def delivered(db: Database, item: OutboxItem, owner: str, now: float) -> bool:
    """Mark the item as named by the peer; False when the lease is no longer ours."""
    cursor = db.execute(
        "update outbox set state = 'delivered', delivered_at = ?, lease_until = null,"
        " last_error = null where id = ? and owner = ? and state = 'leased'"
        " and tries = ?",
        [now, item.id, owner, item.tries],
    )
    return cursor.rowcount == 1


def postpone(db: Database, item: OutboxItem, owner: str, not_before: float, why: str) -> None:
    """Give the lease back: the item is due again at `not_before` (seconds since the epoch)."""
    db.execute(
        "update outbox set state = 'ready', lease_until = null, not_before = ?, last_error = ?"
        " where id = ? and owner = ? and state = 'leased' and tries = ?",
        [not_before, why, item.id, owner, item.tries],
    )


def bury(db: Database, item: OutboxItem, owner: str, why: str) -> None:
    """Make the item a dead letter: visible, with a reason, until a person sends it again."""
    db.execute(
        "update outbox set state = 'dead', lease_until = null, last_error = ?"
        " where id = ? and owner = ? and state = 'leased' and tries = ?",
        [why, item.id, owner, item.tries],
    )


def revive(db: Database, item_id: int) -> bool:
    """Send a dead letter again; False when there is no such dead letter."""
    cursor = db.execute(
        "update outbox set state = 'ready', not_before = 0 where id = ? and state = 'dead'",
        [item_id],
    )
    return cursor.rowcount == 1


def wake(db: Database, target: str) -> int:
    """Make every waiting item of `target` due now (the link came back); return their number."""
    cursor = db.execute(
        "update outbox set not_before = 0 where target = ? and state = 'ready' and not_before > 0",
        [target],
    )
    return int(cursor.rowcount)


def counts(db: Database) -> Sequence[Any]:
    """Return rows of (target, lane, state, n, oldest_at), for status and the system page."""
    rows: Sequence[Any] = db.execute(
        "select target, lane, state, count(*) as n, min(created_at) as oldest_at from outbox"
        " group by target, lane, state order by target, lane, state"
    ).fetchall()
    return rows


def of_instance(db: Database, instance_id: int) -> Sequence[Any]:
    """Return an instance's items for the study page."""
    rows: Sequence[Any] = db.execute(
        "select id, target, kind, lane, state, tries, not_before, last_error, delivered_at"
        " from outbox where instance_id = ? order by target, lane",
        [instance_id],
    ).fetchall()
    return rows


def reading_ids(db: Database, instance_id: int) -> Sequence[int]:
    """Return the ids of an instance's readings, the newest first: one of them is the item's."""
    rows = db.execute(
        "select id from reading where instance_id = ? order by id desc", [instance_id]
    ).fetchall()
    return [int(row["id"]) for row in rows]


def _item(row: Any) -> OutboxItem:
    return OutboxItem(
        id=row["id"],
        target=row["target"],
        kind=ItemKind(row["kind"]),
        instance_id=row["instance_id"],
        lane=Lane(row["lane"]),
        object_uid=row["object_uid"],
        tries=row["tries"],
        last_error=row["last_error"],
    )
