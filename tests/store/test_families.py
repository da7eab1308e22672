from __future__ import annotations

import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from appliance.domain import (
    Explanation,
    Frame,
    InstanceState,
    ItemKind,
    Lane,
    ReadingState,
    Reason,
    Urgency,
)
from appliance.store import heartbeats, instances, jobs, outbox, readings
from appliance.store.database import Store
from appliance.store.outbox import NewItem
from tests.records import new_instance, read, without_numbers


def admit(store: Store, uid: str, now: float = 0.0, **header) -> int:
    with store.transaction() as db:
        instance_id = instances.insert(db, new_instance(uid, **header), now)
    assert instance_id is not None
    return instance_id


def test_an_instance_comes_back_as_it_went_in(store):
    instance_id = admit(store, "1.2.3", 5.0, pixel_spacing_mm=(0.1, 0.2), patient_id="P1")
    with store.read() as db:
        kept = instances.by_id(db, instance_id)
        assert kept == instances.by_sop_instance_uid(db, "1.2.3")
    assert kept is not None
    assert kept.header.pixel_spacing_mm == (0.1, 0.2)
    assert kept.state is InstanceState.ARRIVED
    assert kept.received_at.timestamp() == 5.0


def test_the_same_uid_is_one_instance_but_may_be_quarantined_once_a_content(store):
    admit(store, "1.2.3")
    reason = Reason("uid_conflict", "Another content.")
    with store.transaction() as db:
        assert instances.insert(db, new_instance("1.2.3"), 1.0) is None
        aside = replace(new_instance("1.2.3", quarantine=reason), sha256="f" * 64)
        assert instances.insert(db, aside, 1.0) is not None
        assert instances.insert(db, aside, 1.0) is None
        assert jobs.open_count(db) == 1
        kept = instances.quarantined(db, "f" * 64)
    assert kept is not None
    assert kept.quarantine == reason


def test_a_job_is_leased_once_and_again_when_its_lease_ran_out(store):
    admit(store, "1.2.3")
    with store.transaction() as db:
        first = jobs.claim(db, "worker-1", now=10.0, lease_s=60.0)
        assert first is not None
        assert jobs.claim(db, "worker-2", now=69.0, lease_s=60.0) is None
        second = jobs.claim(db, "worker-2", now=71.0, lease_s=60.0)
        assert second is not None
        assert (first.id, first.tries, second.tries) == (second.id, 1, 2)
        assert not jobs.finish(db, first, "worker-1")
        assert jobs.finish(db, second, "worker-2")
        assert not jobs.has_due(db, 1e9)


def test_a_postponed_job_is_due_later_and_its_try_does_not_count(store):
    admit(store, "1.2.3")
    with store.transaction() as db:
        job = jobs.claim(db, "worker-1", 0.0, 60.0)
        assert job is not None
        jobs.postpone(db, job, "worker-1", 30.0, "disk_full")
        assert not jobs.has_due(db, 29.0)
        again = jobs.claim(db, "worker-1", 31.0, 60.0)
    assert again is not None
    assert again.tries == 1


@pytest.mark.parametrize("reading", [read(), without_numbers(ReadingState.ABSTAINED)])
def test_a_reading_comes_back_but_for_what_is_not_kept(store, reading):
    instance_id = admit(store, "1.2.3")
    with store.transaction() as db:
        job = jobs.claim(db, "worker-1", 0.0, 60.0)
        assert job is not None
        readings.insert(db, job, reading, {"film": "a" * 64}, 9.0)
        kept = readings.latest(db, instance_id)
    assert kept is not None
    plain = replace(kept.reading, explanation=None)
    assert plain == replace(reading, explanation=None, research={})
    assert (kept.reading.explanation is None) == (reading.explanation is None)
    assert kept.artifacts == {"film": "a" * 64}


@pytest.mark.parametrize("frame", [None, Frame(12, 30, 800, 640)])
def test_what_a_reading_looked_at_comes_back(store, frame):
    instance_id = admit(store, "1.2.3")
    heat = np.arange(42, dtype=np.uint8).reshape(6, 7)
    with store.transaction() as db:
        job = jobs.claim(db, "worker-1", 0.0, 60.0)
        assert job is not None
        looked = replace(read(), explanation=Explanation("pneumonia", heat, frame))
        readings.insert(db, job, looked, {}, 9.0)
        kept = readings.latest(db, instance_id)
    assert kept is not None
    explanation = kept.reading.explanation
    assert explanation is not None
    assert (explanation.code, explanation.frame) == ("pneumonia", frame)
    assert explanation.heat.dtype == np.uint8
    assert np.array_equal(explanation.heat, heat)


def test_a_reading_from_before_there_were_frames_comes_back_without(store):
    instance_id = admit(store, "1.2.3")
    with store.transaction() as db:
        job = jobs.claim(db, "worker-1", 0.0, 60.0)
        assert job is not None
        readings.insert(db, job, read(), {}, 9.0)
        db.execute("update reading set body = json_remove(body, '$.explanation')")
        kept = readings.latest(db, instance_id)
    assert kept is not None
    assert kept.reading.explanation is None
    assert kept.reading.findings == read().findings


def test_one_job_has_one_reading(store):

    admit(store, "1.2.3")
    with store.transaction() as db:
        job = jobs.claim(db, "worker-1", 0.0, 60.0)
        assert job is not None
        readings.insert(db, job, read(), {}, 9.0)
        with pytest.raises(sqlite3.IntegrityError):
            readings.insert(db, job, read(), {}, 9.0)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None
)
@given(
    cases=st.lists(
        st.tuples(st.sampled_from(list(Urgency)), st.floats(0, 1e6)), min_size=1, max_size=12
    )
)
def test_the_worklist_orders_by_urgency_and_waiting_and_hides_none(tmp_path_factory, cases):
    store = Store(tmp_path_factory.mktemp("order") / "w.db")
    for number, (urgency, at) in enumerate(cases):
        instance_id = admit(store, f"1.2.{number}", at)
        with store.transaction() as db:
            instances.set_state(db, instance_id, InstanceState.READ, urgency)
    with store.read() as db:
        rows = instances.worklist_rows(db, reviewed=False, limit=99, offset=0)
    due = [row["received_at"] + instances.ALLOWANCE_S[Urgency(row["urgency"])] for row in rows]
    assert len(rows) == len(cases)
    assert due == sorted(due)
    store.close()


def test_an_item_is_enqueued_once_whatever_became_of_it(store):
    instance_id = admit(store, "1.2.3")
    item = NewItem("pacs", ItemKind.INSTANCE, instance_id, Lane.STUDY, "1.2.3")
    with store.transaction() as db:
        assert outbox.enqueue(db, item, 0.0)
        assert not outbox.enqueue(db, item, 1.0)
        leased = outbox.claim(db, "pacs", "c", 0.0, 60.0)
        assert leased is not None
        assert outbox.delivered(db, leased, "c", 2.0)
        assert not outbox.enqueue(db, item, 3.0)


def test_heartbeats_keep_the_last_one(store):
    with store.transaction() as db:
        heartbeats.beat(db, "worker", "a", 1.0)
        heartbeats.beat(db, "worker", "b", 2.0)
        assert [tuple(row) for row in heartbeats.all_beats(db)] == [("worker", 2.0, "b")]


class OutboxMachine(RuleBasedStateMachine):
    """Whatever happens to an item, it is ready, leased, delivered or a visible dead letter."""

    def __init__(self) -> None:
        super().__init__()

        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.folder.name) / "o.db")
        self.now = 0.0
        self.leases: list = []
        self.delivered: set[int] = set()
        instance_id = admit(self.store, "1.2.3")
        with self.store.transaction() as db:
            for lane in (Lane.STUDY, Lane.REPORT, Lane.KEY_IMAGES):
                new = NewItem("pacs", ItemKind.RESULT, instance_id, lane, f"1.{int(lane)}")
                outbox.enqueue(db, new, 0.0)

    @rule(seconds=st.floats(0, 200))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def claim(self) -> None:
        with self.store.transaction() as db:
            item = outbox.claim(db, "pacs", f"c{len(self.leases)}", self.now, 60.0)
        if item is not None:
            assert item.id not in self.delivered
            self.leases.append((item, f"c{len(self.leases)}"))

    @rule(how=st.sampled_from(["delivered", "postpone", "bury"]), data=st.data())
    def answer(self, how: str, data: st.DataObject) -> None:
        if not self.leases:
            return
        item, owner = data.draw(st.sampled_from(self.leases))
        with self.store.transaction() as db:
            if how == "delivered" and outbox.delivered(db, item, owner, self.now):
                self.delivered.add(item.id)
            elif how == "postpone":
                outbox.postpone(db, item, owner, self.now + 5.0, "no answer")
            elif how == "bury":
                outbox.bury(db, item, owner, "refused")

    @rule(item_id=st.integers(1, 3))
    def revive(self, item_id: int) -> None:
        with self.store.transaction() as db:
            outbox.revive(db, item_id)

    @invariant()
    def nothing_is_lost(self) -> None:
        with self.store.read() as db:
            rows = db.execute("select id, state from outbox").fetchall()
        assert len(rows) == 3
        assert {row["id"] for row in rows if row["state"] == "delivered"} == self.delivered

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


OutboxMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestOutboxMachine = OutboxMachine.TestCase
