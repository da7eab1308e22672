"""The news of the worklist as server-sent events (HTML Living Standard 9.2)."""

from __future__ import annotations

import select
import socket

from flask import Blueprint, Response, request

from web.state import pages

VIEW = Blueprint("events", __name__)


@VIEW.get("/events")
def listen() -> Response:
    """Return the stream; it ends when the page is closed or the server stops."""
    connection = request.environ.get("gunicorn.socket")
    stream = pages().live.stream(lambda: _is_gone(connection))
    return Response(stream, mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _is_gone(connection: object) -> bool:
    """Say whether the far side has closed, so that a closed page frees its thread in a second."""
    if not isinstance(connection, socket.socket):
        return False
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True
