from __future__ import annotations

import pytest

from appliance.domain import InstanceState, ItemKind, Lane
from appliance.errors import RefusedError
from appliance.review import Review
from appliance.store import heartbeats, instances, jobs, outbox, readings
from appliance.store.outbox import NewItem
from appliance.worklist import Worklist
from tests.records import new_instance, read


@pytest.fixture
def worklist(store, files):
    return Worklist(store, files)


@pytest.fixture
def review(store, clock):
    return Review(store, clock)


@pytest.fixture
def case(store, files, clock):
    with store.transaction() as db:
        instance_id = instances.insert(db, new_instance("1.2.3", patient_name="A^B"), clock())
        job = jobs.claim(db, "worker-1", clock(), 60.0)
        readings.insert(db, job, read(), {"film": files.put(b"png")}, clock())
        jobs.finish(db, job, "worker-1")
        instances.set_state(db, instance_id, InstanceState.READ)
        item = NewItem("pacs", ItemKind.INSTANCE, instance_id, Lane.STUDY, "1.2.3")
        outbox.enqueue(db, item, clock())
        instances.note_station(db, "ROOM1", "127.0.0.1", clock())
        heartbeats.beat(db, "worker", "{}", clock())
    return instance_id


def test_a_case_shows_its_reading_and_its_deliveries(worklist, case):
    (entry,) = worklist.entries()
    assert entry.reading.reading.findings[0].code == "pneumonia"
    assert (entry.deliveries_open, entry.deliveries_done, entry.deliveries_dead) == (1, 0, 0)
    assert worklist.artifact(case, "film") == b"png"
    assert worklist.artifact(case, "heat") is None
    assert worklist.artifact(99, "film") is None
    assert worklist.study(99) is None


def test_a_review_moves_a_case_but_never_hides_it(worklist, review, case):
    review.act(case, "comment", "Nurse A", "Please look at the left side.")
    assert len(worklist.entries()) == 1
    review.act(case, "overrule", "Clinician B", "A shadow of the scapula.")
    assert worklist.entries() == []
    assert [entry.instance.id for entry in worklist.entries(reviewed=True)] == [case]
    study = worklist.study(case)
    assert [act.act for act in study.reviews] == ["comment", "overrule"]
    assert worklist.overview().reviewed_cases == 1


@pytest.mark.parametrize(
    ("act", "actor", "comment", "code"),
    [
        ("erase", "A", "x", "unknown_act"),
        ("confirm", "  ", "x", "no_name"),
        ("overrule", "A", "  ", "no_comment"),
    ],
)
def test_an_act_without_a_name_or_a_reason_is_refused(review, case, act, actor, comment, code):
    with pytest.raises(RefusedError) as refused:
        review.act(case, act, actor, comment)
    assert refused.value.code == code


def test_a_review_of_no_case_is_refused(review):
    with pytest.raises(RefusedError, match="no such case"):
        review.act(99, "confirm", "A")


def test_a_dead_letter_is_sent_again_by_a_person(store, worklist, review, case, clock):
    with store.transaction() as db:
        item = outbox.claim(db, "pacs", "c", clock(), 60.0)
        outbox.bury(db, item, "c", "The archive refused it.")
    (delivery,) = worklist.study(case).deliveries
    assert (delivery.state, delivery.last_error) == ("dead", "The archive refused it.")
    assert review.send_again(delivery.item_id)
    assert not review.send_again(delivery.item_id)
    assert worklist.study(case).deliveries[0].state == "ready"


def test_the_version_changes_with_what_the_list_shows(worklist, review, case):
    before = worklist.version()
    review.act(case, "confirm", "A")
    assert worklist.version() != before


def test_the_overview_counts(worklist, case):
    overview = worklist.overview()
    assert overview.by_state["read"] == 1
    assert overview.by_state["failed"] == 0
    assert overview.stations[0].ae_title == "ROOM1"
    assert overview.heartbeats[0].role == "worker"
    assert overview.outbox[0].count == 1
