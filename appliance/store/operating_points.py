"""The signed record of operating points: entries are added, never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def rows(db: Database) -> list[tuple[str, str]]:
    """Return (body, signature) of every entry, the oldest first."""
    found = db.execute("select body, mac from operating_point order by id")
    return [(str(row["body"]), str(row["mac"])) for row in found]


def head(db: Database) -> tuple[int, str] | None:
    """Return how many entries there are by the head, and its signature; None before the first."""
    row = db.execute("select count, mac from operating_point_head").fetchone()
    return None if row is None else (int(row["count"]), str(row["mac"]))


def append(db: Database, entry: tuple[str, str], new_head: tuple[int, str]) -> None:
    """Add an entry (body, signature) and move the head. Call it inside a transaction."""
    db.execute("insert into operating_point (body, mac) values (?, ?)", list(entry))
    db.execute(
        "insert into operating_point_head values (1, ?, ?) on conflict (id) do update"
        " set count = excluded.count, mac = excluded.mac",
        list(new_head),
    )
