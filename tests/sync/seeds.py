"""Rows for the outbox, without the way that leads there."""

from __future__ import annotations

from typing import Any

from appliance.domain import Header, ItemKind, Lane, Source
from appliance.store import instances, outbox
from appliance.store.database import Store

NOW = 1_700_000_000.0


def seed_instance(store: Store, uid: str, **more: Any) -> int:
    header = Header(**{"sop_instance_uid": uid, "study_instance_uid": "1.2.3", **more})
    new = instances.NewInstance(
        header=header,
        media_type="application/dicom",
        sha256="0" * 64,
        size_bytes=1,
        source=Source.DICOM,
        station="XR",
    )
    with store.transaction() as db:
        instance_id = instances.insert(db, new, NOW)
    assert instance_id is not None
    return instance_id


def seed_item(
    store: Store,
    uid: str,
    *,
    target: str = "hub",
    lane: Lane = Lane.STUDY,
    kind: ItemKind = ItemKind.INSTANCE,
    instance_id: int | None = None,
) -> None:
    owner = seed_instance(store, uid) if instance_id is None else instance_id
    with store.transaction() as db:
        assert outbox.enqueue(db, outbox.NewItem(target, kind, owner, lane, uid), NOW)


def rows(store: Store) -> dict[str, Any]:
    """Return the outbox by object UID."""
    with store.read() as db:
        return {row["object_uid"]: row for row in db.execute("select * from outbox").fetchall()}
