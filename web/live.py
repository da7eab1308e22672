"""News of the worklist for open pages: one thread looks, every page hears (server-sent events)."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOK_EVERY_S = 0.3
COMMENT_EVERY_S = 15.0
RETRY_MS = 2000
# A stream holds one of the server's threads for as long as a page is open. Half of them are kept
# free for everything else; further pages ask again every two seconds instead of waiting.
MAX_STREAMS = 16


class Live:
    """Watches a value and tells subscribers when it has changed.

    Parameters
    ----------
    version
        Returns a value that changes when the worklist has changed.
    look_every_s, comment_every_s
        How often to look, and after which silence to send a comment, so that a page and the
        server both notice a dead connection.
    max_streams
        How many streams stay open; one more gets the present value and ends.

    Notes
    -----
    The thread starts with the first subscriber and rests while there is none. When looking fails,
    the thread ends, and with it every stream: a page must not say "live" when nobody looks. The
    page asks again, and that starts a new thread.
    """

    def __init__(
        self,
        version: Callable[[], tuple[int, ...]],
        *,
        look_every_s: float = LOOK_EVERY_S,
        comment_every_s: float = COMMENT_EVERY_S,
        max_streams: int = MAX_STREAMS,
    ) -> None:
        self._version = version
        self._look_every_s = look_every_s
        self._comment_every_s = comment_every_s
        self._max_streams = max_streams
        self._news = threading.Condition()
        self._stopped = threading.Event()
        self._mark = ""
        self._streams = 0
        self._poller: threading.Thread | None = None

    @property
    def streams(self) -> int:
        """How many pages listen."""
        return self._streams

    @property
    def looking(self) -> bool:
        """Whether the thread lives."""
        poller = self._poller
        return poller is not None and poller.is_alive()

    def mark(self) -> str:
        """Return the present value as text."""
        return "-".join(str(part) for part in self._version())

    def stop(self) -> None:
        """End the thread and every stream; safe to call from a signal handler."""
        self._stopped.set()
        with self._news:
            self._news.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end after `stop`."""
        poller = self._poller
        if poller is not None:
            poller.join(timeout_s)

    def stream(self, gone: Callable[[], bool]) -> Iterator[str]:
        """Yield server-sent events until the page is `gone` or the server stops.

        The first event carries the present value, so that nothing is lost between the page's
        making and its listening.
        """
        yield f"retry: {RETRY_MS}\n\n"
        mark = self.mark()
        yield _event(mark)
        if not self._enter(mark):
            return
        try:
            yield from self._changes(mark, gone)
        finally:
            self._leave()

    def _changes(self, seen: str, gone: Callable[[], bool]) -> Iterator[str]:
        spoke_at = time.monotonic()
        while not gone():
            mark = self._wait(seen)
            if self._stopped.is_set() or not self.looking:
                return
            if mark != seen:
                seen, spoke_at = mark, time.monotonic()
                yield _event(mark)
            elif time.monotonic() - spoke_at >= self._comment_every_s:
                spoke_at = time.monotonic()
                yield ": still here\n\n"

    def _wait(self, seen: str) -> str:
        """Return the value when it differs from `seen`, or after a second at the latest."""
        with self._news:
            self._news.wait_for(
                lambda: self._mark != seen or self._stopped.is_set() or not self.looking,
                timeout=min(1.0, self._comment_every_s),
            )
            return self._mark

    def _enter(self, mark: str) -> bool:
        with self._news:
            if self._stopped.is_set() or self._streams >= self._max_streams:
                return False
            self._streams += 1
            self._mark = mark  # fresher than what the thread saw last
            if not self.looking:
                self._poller = threading.Thread(target=self._look, name="live", daemon=True)
                self._poller.start()
            self._news.notify_all()
            return True

    def _leave(self) -> None:
        with self._news:
            self._streams -= 1

    def _look(self) -> None:
        try:
            while not self._stopped.wait(self._look_every_s):
                with self._news:
                    self._news.wait_for(lambda: self._streams or self._stopped.is_set())
                mark = self.mark()
                with self._news:
                    if mark != self._mark:
                        self._mark = mark
                        self._news.notify_all()
        finally:
            with self._news:
                self._poller = None
                self._news.notify_all()


def _event(mark: str) -> str:
    return f"event: change\ndata: {mark}\n\n"
