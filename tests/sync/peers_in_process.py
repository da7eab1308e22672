"""Peers on loopback, in this process: a C-STORE SCP and a DICOMweb stub, told how to behave."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

from pydicom import dcmread
from pynetdicom import AE, evt
from pynetdicom.sop_class import ComputedRadiographyImageStorage, SecondaryCaptureImageStorage


class StorePeer:
    """A C-STORE SCP. `status` is its answer, or "abort", "hang" or "name another"."""

    def __init__(self) -> None:
        self.status: int | str = 0x0000
        self.names_it = True
        self.kept: dict[str, bytes] = {}
        self.associations = 0
        self.released = threading.Event()
        self.ae = AE(ae_title="PEER")
        self.ae.require_called_aet = True
        for sop_class in (ComputedRadiographyImageStorage, SecondaryCaptureImageStorage):
            self.ae.add_supported_context(sop_class)
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_DIMSE_SENT, self._rename),
        ]
        self.server: Any = self.ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=handlers
        )
        self.port = int(self.server.server_address[1])

    def _accepted(self, event: evt.Event) -> None:
        self.associations += 1

    def _store(self, event: evt.Event) -> int:
        if self.status == "abort":
            event.assoc.abort()
            return 0x0110
        if self.status == "hang":
            self.released.wait(10)
            return 0x0110
        status = self.status if isinstance(self.status, int) else 0x0000
        uid = str(event.request.AffectedSOPInstanceUID)
        if status in {0x0000, 0xB000, 0xB006, 0xB007, 0x0111}:
            self.kept.setdefault(uid, event.encoded_dataset())
        return status

    def _rename(self, event: evt.Event) -> None:
        command = event.message.command_set
        if self.status == "name another":
            command.AffectedSOPInstanceUID = "1.2.3.99"
        elif not self.names_it and "AffectedSOPInstanceUID" in command:
            del command.AffectedSOPInstanceUID

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()


class StowPeer:
    """A DICOMweb stub. `mode` says how it answers; see `_answer`."""

    def __init__(self) -> None:
        self.mode = "named"
        self.reason = 0xA900
        self.user_password: str | None = None
        self.kept: dict[str, bytes] = {}
        self.released = threading.Event()
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                peer.answer(self, body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/dicom-web"

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        uid = self._keep(handler, body)
        named = {"00081155": {"vr": "UI", "Value": [uid]}}
        stored = {"00081199": {"vr": "SQ", "Value": [named]}}
        refused = {**named, "00081197": {"vr": "US", "Value": [self.reason]}}
        failed = {"00081198": {"vr": "SQ", "Value": [refused]}}
        other = {"00081155": {"vr": "UI", "Value": ["1.2.3.99"]}}
        warned = {**named, "00081196": {"vr": "US", "Value": [0xB000]}}
        empty = {"00081198": {"vr": "SQ"}, "00081199": {"vr": "SQ", "Value": []}}
        answers: dict[str, tuple[int, Any]] = {
            "named": (200, stored),
            "wrapped in a list": (200, [stored]),
            "warned": (202, {"00081199": {"vr": "SQ", "Value": [warned]}}),
            "partial": (400, {"00081199": {"vr": "SQ", "Value": [other, named]}}),
            "failed": (409, failed),
            "both": (200, {**stored, **failed}),
            "empty": (200, empty),
            "other": (200, {"00081199": {"vr": "SQ", "Value": [other]}}),
            "nonsense": (200, {"00081199": {"vr": "SQ", "Value": ["x", 7, {"00081155": []}]}}),
            "numbers": (200, 7),
        }
        if self.mode in answers:
            status, said = answers[self.mode]
            _reply(handler, status, json.dumps(said).encode())
        elif self.mode == "truncated":
            _reply(handler, 200, json.dumps(stored).encode()[:-20])
        elif self.mode == "cut":
            _reply(handler, 200, json.dumps(stored).encode(), announce=500)
        elif self.mode == "hang":
            self.released.wait(10)
            handler.close_connection = True
        elif self.mode == "endless":
            _reply(handler, 200, b" " * (2 << 20))
        else:
            _reply(handler, int(self.mode), b"<html>no</html>")

    def _keep(self, handler: BaseHTTPRequestHandler, body: bytes) -> str:
        kind = handler.headers["Content-Type"]
        assert handler.path == "/dicom-web/studies"
        assert kind.startswith('multipart/related; type="application/dicom"; boundary=')
        boundary = kind.rsplit("=", 1)[1].encode()
        head, _, rest = body.partition(b"\r\n\r\n")
        assert head == b"--" + boundary + b"\r\nContent-Type: application/dicom"
        content, _, tail = rest.rpartition(b"\r\n--" + boundary)
        assert tail == b"--\r\n"
        self.authorization = handler.headers.get("Authorization")
        uid = str(dcmread(BytesIO(content)).SOPInstanceUID)
        if self.mode in {"named", "wrapped in a list", "warned", "partial", "empty", "hang"}:
            self.kept.setdefault(uid, content)
        return uid

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def _reply(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, announce: int | None = None
) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/dicom+json")
    handler.send_header("Content-Length", str(announce or len(body)))
    handler.end_headers()
    try:
        handler.wfile.write(body)
    except (BrokenPipeError, ConnectionResetError):
        handler.close_connection = True
    if announce:
        handler.close_connection = True


@contextmanager
def store_peer() -> Iterator[StorePeer]:
    peer = StorePeer()
    try:
        yield peer
    finally:
        peer.close()


@contextmanager
def stow_peer() -> Iterator[StowPeer]:
    peer = StowPeer()
    try:
        yield peer
    finally:
        peer.close()
