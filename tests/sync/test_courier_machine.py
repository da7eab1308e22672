"""Any interleaving of failures, crashes and clocks ends delivered once, or dead with a reason."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.domain import Lane, OutboxItem
from appliance.store import outbox
from appliance.store.database import Store
from appliance.sync.courier import Courier
from tests.fakes import ANSWERS, CRASH, CrashError, FakeClock, FakeTransport
from tests.sync.seeds import rows, seed_item

LEASE_S = 120.0
answers = st.lists(st.sampled_from([*ANSWERS, CRASH]), max_size=4)


def payload(item: OutboxItem) -> bytes:
    return item.object_uid.encode()


class Sending(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store(self.folder / "waypost.db")
        self.clock = FakeClock()
        self.hub = FakeTransport()
        self.chance = 1.0
        self.born = 0
        self.items = 0
        self.courier = self.start()

    def start(self) -> Courier:
        self.born += 1
        return Courier(
            self.store,
            {"hub": self.hub},
            payload,
            owner=f"courier-{self.born}",
            clock=self.clock,
            random=lambda: self.chance,
            lease_s=LEASE_S,
        )

    def run_once(self) -> int:
        try:
            return self.courier.run_once()
        except CrashError:
            self.courier = self.start()
            return 0

    @precondition(lambda self: self.items < 6)
    @rule(lane=st.sampled_from(Lane))
    def a_new_item(self, lane: Lane) -> None:
        self.items += 1
        seed_item(self.store, f"1.2.{self.items}", lane=lane)

    @rule(words=answers, chance=st.floats(min_value=0, max_value=1))
    def the_peer_will(self, words: list[str], chance: float) -> None:
        self.hub.behave(*words)
        self.chance = chance

    @rule()
    def run(self) -> None:
        before = {uid for uid, row in rows(self.store).items() if row["state"] == "delivered"}
        delivered = self.run_once()
        after = {uid for uid, row in rows(self.store).items() if row["state"] == "delivered"}
        assert before <= after
        assert len(after - before) >= delivered

    @rule(seconds=st.sampled_from([0.5, 1.0, 30.0, 130.0, 700.0, -90.0, -1e7, 1e7]))
    def time_passes(self, seconds: float) -> None:
        self.clock.pass_s(seconds)

    @rule()
    def the_box_restarts(self) -> None:
        self.courier = self.start()

    @precondition(lambda self: any(r["state"] == "dead" for r in rows(self.store).values()))
    @rule()
    def a_person_sends_a_dead_letter_again(self) -> None:
        dead = next(row for row in rows(self.store).values() if row["state"] == "dead")
        with self.store.transaction() as db:
            assert outbox.revive(db, dead["id"])

    @invariant()
    def delivered_is_kept_and_nothing_is_lost(self) -> None:
        found = rows(self.store)
        assert len(found) == self.items
        for uid, row in found.items():
            if row["state"] == "delivered":
                assert self.hub.kept[uid] == uid.encode()
            if row["state"] == "dead":
                assert row["last_error"]

    def teardown(self) -> None:
        self.hub.behave()
        for _ in range(5):
            self.clock.pass_s(700.0)
            self.run_once()
        for uid, row in rows(self.store).items():
            assert row["state"] in {"delivered", "dead"}, dict(row)
            assert (row["state"] == "delivered") <= (uid in self.hub.kept)
        self.store.close()
        shutil.rmtree(self.folder)


TestSending = Sending.TestCase
TestSending.settings = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
