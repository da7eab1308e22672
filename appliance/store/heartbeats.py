"""The last sign of life of each process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlite_utils import Database


def beat(db: Database, role: str, detail: str, now: float) -> None:
    """Say that `role` lives, and in a word what it does."""
    db.execute(
        "insert into heartbeat values (?, ?, ?) on conflict (role) do update"
        " set at = excluded.at, detail = excluded.detail",
        [role, now, detail],
    )


def all_beats(db: Database) -> Sequence[Any]:
    """Return rows of (role, at, detail)."""
    rows: Sequence[Any] = db.execute("select * from heartbeat order by role").fetchall()
    return rows
