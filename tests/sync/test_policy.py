from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import (
    InferenceError,
    NotAnImageError,
    PeerRefusedError,
    PeerUnreachableError,
    StorageError,
)
from appliance.sync.policy import FIRST_DELAY_S, LONGEST_DELAY_S, Verdict, delay_s, judge
from appliance.sync.statuses import is_stored, refusal
from appliance.sync.transport import BUSY, DENIED, REFUSED, UNCLEAR, patience_s

failures = st.integers(min_value=-3, max_value=10**9)
chance = st.floats(min_value=0, max_value=1)


@given(failures, chance)
def test_a_delay_lies_between_nothing_and_ten_minutes(n: int, x: float) -> None:
    assert 0 <= delay_s(n, x) <= LONGEST_DELAY_S


@given(failures, failures, chance)
def test_more_failures_never_wait_less(a: int, b: int, x: float) -> None:
    assert delay_s(min(a, b), x) <= delay_s(max(a, b), x)


@given(failures, chance, chance)
def test_the_jitter_is_full_and_even(n: int, x: float, y: float) -> None:
    assert delay_s(n, 0) == 0
    assert delay_s(n, x) == pytest.approx(delay_s(n, 1) * x)
    assert (x <= y) == (delay_s(n, x) <= delay_s(n, y)) or x == pytest.approx(y)


def test_the_bound_doubles_from_a_second_to_ten_minutes() -> None:
    bounds = [delay_s(n, 1) for n in range(1, 13)]
    assert bounds == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    assert bounds[0] == FIRST_DELAY_S


@given(st.floats())
def test_a_broken_source_of_chance_cannot_break_the_delay(x: float) -> None:
    assert not delay_s(5, x) < 0 or x != x  # noqa: PLR0124 - NaN


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (PeerUnreachableError("no"), Verdict.LINK),
        (PeerRefusedError("no", code=DENIED), Verdict.LINK),
        (PeerRefusedError("no", code=BUSY), Verdict.ITEM),
        (PeerRefusedError("no", code=UNCLEAR), Verdict.ITEM),
        (PeerRefusedError("no", code="something new"), Verdict.ITEM),
        (PeerRefusedError("no"), Verdict.DEAD),
        (PeerRefusedError("no", code=REFUSED), Verdict.DEAD),
        (NotAnImageError("no"), Verdict.DEAD),
        (StorageError("no"), Verdict.ITEM),
        (InferenceError("no"), Verdict.ITEM),
        (KeyError("unforeseen"), Verdict.ITEM),
    ],
)
def test_what_becomes_of_an_item(error: Exception, verdict: Verdict) -> None:
    assert judge(error) is verdict


@given(st.integers(min_value=0, max_value=0xFFFF))
def test_every_status_is_either_stored_or_a_refusal_with_words(status: int) -> None:
    code, what = refusal(status)
    assert what
    assert code in {BUSY, DENIED, REFUSED}
    if 0xA700 <= status <= 0xA7FF:
        assert code == BUSY
    if 0xA900 <= status <= 0xA9FF or 0xC000 <= status <= 0xCFFF:
        assert code == REFUSED
    assert is_stored(status) == (status == 0 or 0xB000 <= status <= 0xBFFF)


@given(st.integers(min_value=0, max_value=10**9), st.floats(min_value=0.1, max_value=600))
def test_patience_grows_with_the_object(size: int, timeout: float) -> None:
    assert timeout <= patience_s(size, timeout) <= timeout + size / 1000
