from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from caseload import Caseload, read

from web.live import Live

if TYPE_CHECKING:
    from flask.testing import FlaskClient


def here() -> bool:
    return False


def test_an_event_comes_after_a_commit(client: FlaskClient, load: Caseload) -> None:
    answer = client.get("/events")
    assert answer.mimetype == "text/event-stream"
    parts = iter(answer.response)
    assert next(parts) == b"retry: 2000\n\n"
    first = next(parts)
    assert first.startswith(b"event: change\ndata: ")
    load.case(read())
    news = next(part for part in parts if part.startswith(b"event"))
    assert news != first
    answer.close()


def test_silence_is_filled_with_comments() -> None:
    live = Live(lambda: (1,), look_every_s=0.01, comment_every_s=0.05)
    stream = live.stream(here)
    assert [next(stream) for _ in range(4)][2:] == [": still here\n\n"] * 2
    stream.close()
    assert live.streams == 0
    live.stop()


def test_stop_ends_thread_and_streams() -> None:
    live = Live(lambda: (1,), look_every_s=0.01)
    ended = threading.Event()

    def page() -> None:
        list(live.stream(here))
        ended.set()

    threading.Thread(target=page).start()
    while not live.looking:
        time.sleep(0.01)
    live.stop()
    live.join(5)
    assert ended.wait(5)
    assert not live.looking
    assert len(list(live.stream(here))) == 2  # after the end: the value, and no waiting


def test_one_page_too_many_gets_the_value_and_ends() -> None:
    live = Live(lambda: (1,), look_every_s=0.01, max_streams=1)
    first = live.stream(here)
    for _ in range(2):
        next(first)
    waiting = threading.Thread(target=lambda: next(first, None))
    waiting.start()
    while live.streams == 0:
        time.sleep(0.01)
    assert list(live.stream(here)) == ["retry: 2000\n\n", "event: change\ndata: 1\n\n"]
    live.stop()
    waiting.join(5)


def test_a_page_that_is_gone_frees_its_place() -> None:
    live = Live(lambda: (1,), look_every_s=0.01)
    assert len(list(live.stream(lambda: True))) == 2
    assert live.streams == 0
    live.stop()


def test_no_page_says_live_when_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    broken: list[object] = []
    monkeypatch.setattr(threading, "excepthook", broken.append)
    calls = iter([(1,)])
    live = Live(lambda: next(calls), look_every_s=0.01)
    assert len(list(live.stream(here))) == 2
    assert not live.looking
    while not broken:  # the fault itself is told on the log, not swallowed
        time.sleep(0.01)
