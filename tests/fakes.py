"""Fakes that keep the real protocols; `tests/sync/test_transports.py` holds them to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from appliance.errors import PeerRefusedError, PeerUnreachableError
from appliance.sync.transport import BUSY, DENIED, REFUSED, UNCLEAR, Receipt

# What a peer may do with an object, in words; `CRASH` stores it and then ends the courier.
TAKE = "take"
LOSE_ANSWER = "lose answer"  # stored, but the answer does not come back
UNREACHABLE = "unreachable"
CRASH = "crash"
ANSWERS = (TAKE, LOSE_ANSWER, UNREACHABLE, BUSY, DENIED, REFUSED, UNCLEAR)


class CrashError(BaseException):
    """The process is killed at this point."""


@dataclass
class FakeTransport:
    """A peer in memory: does what `answers` say, one a send, and takes everything after that."""

    answers: deque[str] = field(default_factory=deque)
    kept: dict[str, bytes] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    closed: int = 0

    def behave(self, *answers: str) -> None:
        self.answers = deque(answers)

    def send(self, content: bytes, object_uid: str) -> Receipt:
        answer = self.answers.popleft() if self.answers else TAKE
        self.sent.append(object_uid)
        if answer == UNREACHABLE:
            raise PeerUnreachableError("The peer does not answer.")
        if answer in {BUSY, DENIED, REFUSED, UNCLEAR}:
            raise PeerRefusedError(f"The peer says {answer}.", code=answer)
        self.kept[object_uid] = content
        if answer == LOSE_ANSWER:
            raise PeerUnreachableError("The link broke before the answer.")
        if answer == CRASH:
            raise CrashError
        return Receipt(object_uid)

    def close(self) -> None:
        self.closed += 1


@dataclass
class FakeClock:
    """Seconds since the epoch that pass only when told."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += seconds


def chances(values: Iterable[float] = (), *, then: float = 1.0) -> Callable[[], float]:
    """Return a source of "random" numbers: `values` in order, then always `then`."""
    waiting = deque(values)
    return lambda: waiting.popleft() if waiting else then
