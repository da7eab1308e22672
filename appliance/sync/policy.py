"""When to try again, and when not: pure arithmetic over failures. There is no last try."""

from __future__ import annotations

from enum import Enum

from appliance.errors import PeerRefusedError, PeerUnreachableError, RefusedError
from appliance.sync.transport import DENIED, REFUSED

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 600.0
_DOUBLINGS = 10  # 2**10 s is past the longest delay already


class Verdict(Enum):
    """What a failure says about what comes next.

    `LINK`: nothing can be sent to this target now; it rests as a whole. `ITEM`: this item waits,
    the next may go. `DEAD`: this item can never be taken; a dead letter, with its reason.
    """

    LINK = "link"
    ITEM = "item"
    DEAD = "dead"


def delay_s(failures: int, chance: float) -> float:
    """Return how long to wait after a number of failures in a row, in seconds.

    Exponential backoff with full jitter: evenly drawn between 0 and a bound that doubles from
    1 s to 10 min, so that many boxes which lost the same link do not come back at the same time.

    Parameters
    ----------
    failures
        Failures in a row, at least 1; less counts as 1.
    chance
        A random number, 0 to 1.
    """
    doublings = min(max(failures, 1) - 1, _DOUBLINGS)
    bound = min(LONGEST_DELAY_S, FIRST_DELAY_S * float(2**doublings))
    return bound * min(max(chance, 0.0), 1.0)


def judge(error: Exception) -> Verdict:
    """Say what becomes of an item after `error`.

    Only two things are for good: the peer says that it can never take this object, or the box
    itself cannot make an object of what it keeps. Everything else, also what nobody foresaw, is
    tried again.
    """
    if isinstance(error, PeerUnreachableError):
        return Verdict.LINK
    if isinstance(error, PeerRefusedError):
        return {REFUSED: Verdict.DEAD, DENIED: Verdict.LINK}.get(error.code, Verdict.ITEM)
    if isinstance(error, RefusedError):
        return Verdict.DEAD
    return Verdict.ITEM
