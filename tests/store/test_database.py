from __future__ import annotations

import threading

import pytest

from appliance.errors import DiskFullError, StorageError
from appliance.store import instances
from appliance.store.database import Store
from tests.records import new_instance


def test_pragmas_are_the_durable_ones(store):
    with store.read() as db:
        value = {
            name: db.execute(f"pragma {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert value == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_transaction_that_fails_leaves_nothing(store):
    def fail() -> None:
        with store.transaction() as db:
            instances.insert(db, new_instance("1.2.3"), now=1.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.read() as db:
        assert instances.by_sop_instance_uid(db, "1.2.3") is None


def test_a_lock_that_is_never_released_is_a_sentence(tmp_path):
    first, second = Store(tmp_path / "a.db"), Store(tmp_path / "a.db", busy_timeout_s=0.05)
    with (
        first.transaction(),
        pytest.raises(StorageError, match="could not be written"),
        second.transaction(),
    ):
        pass
    first.close()
    second.close()


def test_opening_twice_at_once_makes_one_schema(tmp_path):
    path = tmp_path / "b.db"
    stores: list[Store] = []
    threads = [threading.Thread(target=lambda: stores.append(Store(path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 4
    assert {opened.quick_check() for opened in stores} == {"ok"}
    for opened in stores:
        opened.close()


def test_data_version_sees_the_commit_of_another(tmp_path):
    mine, other = Store(tmp_path / "c.db"), Store(tmp_path / "c.db")
    before = mine.data_version()
    with other.transaction() as db:
        instances.insert(db, new_instance("1.2.3"), now=1.0)
    assert mine.data_version() != before
    mine.close()
    other.close()


def test_sqlite_full_is_a_full_disk(store):

    with store.read() as db:
        pages = db.execute("pragma page_count").fetchone()[0]
        db.execute(f"pragma max_page_count = {pages}")

    def fill() -> None:
        with store.transaction() as db:
            for number in range(2000):
                instances.insert(db, new_instance(f"1.2.{number}"), now=1.0)

    with pytest.raises(DiskFullError):
        fill()
    with store.read() as db:
        assert instances.counts(db)["arrived"] == 0
