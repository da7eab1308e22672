from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.domain import ItemKind, Lane, OutboxItem
from appliance.errors import NotAnImageError, StorageError
from appliance.store import heartbeats, outbox
from appliance.store.database import Store
from appliance.sync.courier import Courier
from appliance.sync.transport import BUSY, DENIED, REFUSED
from tests.fakes import (
    CRASH,
    LOSE_ANSWER,
    UNREACHABLE,
    CrashError,
    FakeClock,
    FakeTransport,
    chances,
)
from tests.sync.seeds import rows, seed_item

LEASE_S = 60.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "waypost.db")
    yield opened
    opened.close()


def payload(item: OutboxItem) -> bytes:
    return f"{item.kind} {item.object_uid}".encode()


def courier(
    store: Store,
    clock: FakeClock,
    load: Callable[[OutboxItem], bytes] = payload,
    **peers: FakeTransport,
) -> Courier:
    return Courier(
        store, peers, load, owner="courier-1", clock=clock, random=chances(), lease_s=LEASE_S
    )


def test_an_empty_outbox_is_nothing_to_do(store: Store) -> None:
    hub = FakeTransport()
    assert courier(store, FakeClock(), hub=hub).run_once() == 0
    assert hub.sent == []


def test_the_best_lane_goes_first_and_each_item_once(store: Store) -> None:
    for uid, lane in (("1", Lane.STUDY), ("2", Lane.KEY_IMAGES), ("3", Lane.STUDY), ("4", Lane(0))):
        seed_item(store, uid, lane=lane)
    hub, clock = FakeTransport(), FakeClock()
    box = courier(store, clock, hub=hub)
    assert box.run_once() == 4
    assert box.run_once() == 0
    assert hub.sent == ["4", "2", "1", "3"]
    assert hub.kept["1"] == b"instance 1"
    assert {row["state"] for row in rows(store).values()} == {"delivered"}
    assert all(row["delivered_at"] == clock.now for row in rows(store).values())
    assert hub.closed >= 1


def test_an_unreachable_target_rests_as_a_whole_and_others_do_not(store: Store) -> None:
    for n in range(3):
        seed_item(store, f"1.{n}", target="hub")
        seed_item(store, f"2.{n}", target="lab")
    hub, lab, clock = FakeTransport(), FakeTransport(), FakeClock()
    hub.behave(*[UNREACHABLE] * 3)
    box = courier(store, clock, hub=hub, lab=lab)
    assert box.run_once() == 3
    assert box.run_once() == 0
    assert hub.sent == ["1.0"]
    clock.pass_s(1)
    box.run_once()
    assert len(hub.sent) == 2
    clock.pass_s(1)
    box.run_once()
    assert len(hub.sent) == 2  # the rest has doubled
    clock.pass_s(1)
    box.run_once()
    assert len(hub.sent) == 3


def test_the_first_delivery_after_failures_wakes_all_that_waits(store: Store) -> None:
    for n in range(4):
        seed_item(store, f"1.{n}")
    hub, clock = FakeTransport(), FakeClock()
    hub.behave(*[UNREACHABLE] * 9)
    box = courier(store, clock, hub=hub)
    for _ in range(9):
        box.run_once()
        clock.pass_s(600)
    assert rows(store)["1.0"]["tries"] > 1
    assert box.run_once() == 4


def test_a_refused_object_is_a_dead_letter_with_its_reason_and_holds_nobody_up(
    store: Store,
) -> None:
    seed_item(store, "1")
    seed_item(store, "2")
    hub, clock = FakeTransport(), FakeClock()
    hub.behave(REFUSED)
    box = courier(store, clock, hub=hub)
    assert box.run_once() == 1
    assert rows(store)["1"]["state"] == "dead"
    assert rows(store)["1"]["last_error"] == f"The peer says {REFUSED}."
    clock.pass_s(10**6)
    assert box.run_once() == 0
    with store.transaction() as db:
        assert outbox.revive(db, rows(store)["1"]["id"])
    assert box.run_once() == 1


def test_a_busy_peer_gets_the_other_items_and_this_one_later(store: Store) -> None:
    seed_item(store, "1")
    seed_item(store, "2")
    hub, clock = FakeTransport(), FakeClock()
    hub.behave(BUSY)
    box = courier(store, clock, hub=hub)
    assert box.run_once() == 1
    assert rows(store)["1"]["state"] == "ready"
    clock.pass_s(2)
    assert box.run_once() == 1


def test_a_denied_box_keeps_all_and_asks_again(store: Store) -> None:
    seed_item(store, "1")
    hub, clock = FakeTransport(), FakeClock()
    hub.behave(*[DENIED] * 30)
    box = courier(store, clock, hub=hub)
    for _ in range(30):
        assert box.run_once() == 0
        clock.pass_s(601)
    assert box.run_once() == 1


def test_killed_between_send_and_commit_it_is_sent_again_and_is_one_object(store: Store) -> None:
    seed_item(store, "1")
    hub, clock = FakeTransport(), FakeClock()
    hub.behave(CRASH)
    with pytest.raises(CrashError):
        courier(store, clock, hub=hub).run_once()
    assert rows(store)["1"]["state"] == "leased"
    heir = courier(store, clock, hub=hub)
    assert heir.run_once() == 0  # the lease still runs
    clock.pass_s(LEASE_S + 1)
    assert heir.run_once() == 1
    assert hub.sent == ["1", "1"]
    assert hub.kept == {"1": b"instance 1"}
    assert rows(store)["1"]["state"] == "delivered"


def test_a_restarted_courier_takes_over_at_once_what_the_killed_one_had(store: Store) -> None:
    seed_item(store, "1")
    hub, clock, stop = FakeTransport(), FakeClock(), threading.Event()
    hub.behave(CRASH)
    with pytest.raises(CrashError):
        courier(store, clock, hub=hub).run_once()
    thread = threading.Thread(target=courier(store, clock, hub=hub).run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: rows(store)["1"]["state"] == "delivered")
    finally:
        stop.set()
        thread.join(10)
    assert hub.sent == ["1", "1"]


def test_an_answer_that_got_lost_costs_a_second_send_and_nothing_else(store: Store) -> None:
    seed_item(store, "1")
    hub, clock = FakeTransport(), FakeClock()
    hub.behave(LOSE_ANSWER)
    box = courier(store, clock, hub=hub)
    assert box.run_once() == 0
    clock.pass_s(2)
    assert box.run_once() == 1
    assert list(hub.kept) == ["1"]


def test_a_clock_that_was_years_ahead_holds_nothing_back(store: Store) -> None:
    seed_item(store, "1")
    seed_item(store, "2")
    hub, clock = FakeTransport(), FakeClock()
    clock.pass_s(10 * 365 * 86400)
    hub.behave(UNREACHABLE, CRASH)
    box = courier(store, clock, hub=hub)
    box.run_once()
    clock.pass_s(1)
    with pytest.raises(CrashError):
        box.run_once()
    clock.pass_s(-10 * 365 * 86400)
    assert box.run_once() == 2


def test_what_cannot_be_made_is_a_dead_letter(store: Store) -> None:
    def load(item: OutboxItem) -> bytes:
        raise NotAnImageError("There is no picture in it.")

    seed_item(store, "1")
    hub = FakeTransport()
    assert courier(store, FakeClock(), load, hub=hub).run_once() == 0
    assert rows(store)["1"]["last_error"] == "There is no picture in it."
    assert rows(store)["1"]["state"] == "dead"
    assert hub.sent == []


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (StorageError("The disk is gone."), "The disk is gone."),
        (KeyError("Doe^Jane"), "The box failed to send it: KeyError (load, line "),
    ],
)
def test_what_nobody_foresaw_stays_on_the_item_and_is_tried_again(
    store: Store, caplog: pytest.LogCaptureFixture, error: Exception, kept: str
) -> None:
    broken = True

    def load(item: OutboxItem) -> bytes:
        if broken:
            raise error
        return b"whole"

    seed_item(store, "1")
    hub, clock = FakeTransport(), FakeClock()
    box = courier(store, clock, load, hub=hub)
    with caplog.at_level(logging.DEBUG):
        assert box.run_once() == 0
    assert rows(store)["1"]["last_error"].startswith(kept)
    assert "Doe" not in rows(store)["1"]["last_error"] + caplog.text
    broken = False
    clock.pass_s(2)
    assert box.run_once() == 1


def test_an_item_for_a_target_that_is_no_longer_configured_waits(store: Store) -> None:
    seed_item(store, "1", target="old")
    assert courier(store, FakeClock(), hub=FakeTransport()).run_once() == 0
    assert rows(store)["1"]["state"] == "ready"


def test_a_long_outbox_gives_each_target_its_turn(store: Store) -> None:
    for n in range(25):
        seed_item(store, f"1.{n}", target="hub")
    seed_item(store, "2", target="lab")
    hub, lab = FakeTransport(), FakeTransport()
    assert courier(store, FakeClock(), hub=hub, lab=lab).run_once() == 21
    assert hub.closed == 0
    assert lab.closed == 1


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_loop_sees_new_rows_beats_and_ends(store: Store) -> None:
    hub, stop = FakeTransport(), threading.Event()
    box = courier(store, FakeClock(), hub=hub)
    thread = threading.Thread(target=box.run, args=(stop,))
    thread.start()
    try:
        seed_item(store, "1", kind=ItemKind.INSTANCE)
        wait_for(lambda: rows(store)["1"]["state"] == "delivered")
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    with store.read() as db:
        beats = heartbeats.all_beats(db)
    assert [(row["role"], row["detail"]) for row in beats] == [("courier", "ready")]


def test_the_loop_outlives_a_store_that_cannot_write(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    broken = threading.Event()
    broken.set()

    class Full(Store):
        def transaction(self):  # type: ignore[no-untyped-def]
            if broken.is_set():
                raise StorageError("The disk is full.")
            return super().transaction()

    full = Full(store._path)
    hub, stop = FakeTransport(), threading.Event()
    seed_item(store, "1")
    thread = threading.Thread(target=courier(full, FakeClock(), hub=hub).run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: "The disk is full." in caplog.text)
        broken.clear()
        wait_for(lambda: rows(store)["1"]["state"] == "delivered")
    finally:
        stop.set()
        thread.join(10)
        full.close()
