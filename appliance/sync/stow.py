"""STOW-RS to a DICOMweb server (PS3.18 10.5); the HTTP status alone never means delivered.

Archives answer 200 with empty lists to a body that was cut, and 400 when one object of many was
refused. What counts is where the SOP Instance UID stands in the answer.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from typing import TYPE_CHECKING, Any

import httpx

from appliance.errors import PeerRefusedError, PeerUnreachableError
from appliance.sync import statuses
from appliance.sync.transport import BUSY, DENIED, REFUSED, UNCLEAR, Receipt, patience_s

if TYPE_CHECKING:
    from collections.abc import Mapping

_STORED = "00081199"  # Referenced SOP Sequence
_FAILED = "00081198"  # Failed SOP Sequence
_INSTANCE = "00081155"  # Referenced SOP Instance UID
_REASON = "00081197"  # Failure Reason
_WARNING = "00081196"  # Warning Reason

_LARGEST_ANSWER_BYTES = 1 << 20
_SEND_BUFFER_BYTES = 1 << 18  # small, so that a stalled link is seen while sending

# RFC 9110 15: what a status means where the answer does not say what became of the object.
_UNAVAILABLE = frozenset({408, 429, 502, 503, 504})
_BY_STATUS = {
    400: (UNCLEAR, "could not make sense of the request"),
    413: (REFUSED, "does not take objects of this size"),
    415: (REFUSED, "does not take this kind of object"),
    409: (UNCLEAR, "did not store it, and does not say why"),
}


class StowTransport:
    """Sends one object a request, over one kept connection.

    Parameters
    ----------
    url
        The root of the DICOMweb service; objects are posted to its ``/studies``.
    user, password
        For HTTP Basic authentication (RFC 7617); no user, no authentication.
    timeout_s
        For connecting and for each stall; the answer may take longer by what the object's bytes
        need on the slowest link.
    """

    def __init__(self, url: str, *, user: str = "", password: str = "", timeout_s: float) -> None:
        root = url.rstrip("/")
        self._url = root if root.endswith("/studies") else f"{root}/studies"
        self._auth = (user, password) if user else None
        self._timeout_s = timeout_s
        self._client: httpx.Client | None = None

    def send(self, content: bytes, object_uid: str) -> Receipt:
        """Send one object; see `Transport.send` for what it returns and raises."""
        client = self._open()
        boundary = secrets.token_hex(16)
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        }
        patience = patience_s(len(content), self._timeout_s)
        request = client.build_request(
            "POST",
            self._url,
            content=_multipart(content, boundary),
            headers=headers,
            timeout=httpx.Timeout(self._timeout_s, read=patience),
        )
        try:
            status, body = _exchange(client, request, time.monotonic() + 2 * patience)
        except httpx.HTTPError as error:
            self.close()
            raise PeerUnreachableError(
                f"The DICOMweb server did not answer ({type(error).__name__})."
            ) from error
        return _receipt(status, _parse(body), object_uid)

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _open(self) -> httpx.Client:
        if self._client is None:
            options = [
                (socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES),
                (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._timeout_s * 1000)),
            ]
            self._client = httpx.Client(
                auth=self._auth,
                transport=httpx.HTTPTransport(socket_options=options, trust_env=False),
                follow_redirects=False,
                trust_env=False,
            )
        return self._client


def _multipart(content: bytes, boundary: str) -> bytes:
    """Return a body of one part (PS3.18 8.6.1.2.1; RFC 2387)."""
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join((head.encode(), content, f"\r\n--{boundary}--\r\n".encode()))


def _exchange(client: httpx.Client, request: httpx.Request, deadline: float) -> tuple[int, bytes]:
    """Return status and body; a peer that drips its answer is cut at `deadline` (monotonic)."""
    response = client.send(request, stream=True)
    try:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _LARGEST_ANSWER_BYTES:
                raise httpx.ReadError("The answer is too long.")
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("The answer takes too long.")
    finally:
        response.close()
    return response.status_code, bytes(body)


def _parse(body: bytes) -> Mapping[str, Any]:
    """Return the answer's data set (PS3.18 F.2), or an empty one for what is none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(answer, list):  # some servers wrap the one data set
        answer = answer[0] if len(answer) == 1 else {}
    return answer if isinstance(answer, dict) else {}


def _receipt(status: int, answer: Mapping[str, Any], object_uid: str) -> Receipt:
    stored = _named(answer, _STORED, object_uid)
    failed = _named(answer, _FAILED, object_uid)
    if stored is not None and failed is not None:
        raise PeerRefusedError("The server says both that it has the object and not.", code=UNCLEAR)
    if stored is not None:
        warning = _number(stored, _WARNING)
        return Receipt(object_uid, f"warning {warning:04X}" if warning else "")
    if failed is not None:
        reason = _number(failed, _REASON)
        code, what = statuses.refusal(reason)
        raise PeerRefusedError(f"The server {what} (reason {reason:04X}).", code=code)
    raise _by_status(status)


def _by_status(status: int) -> PeerRefusedError | PeerUnreachableError:
    if status in _UNAVAILABLE:
        return PeerUnreachableError(f"The server is not available at present (HTTP {status}).")
    if status in _BY_STATUS:
        code, what = _BY_STATUS[status]
        return PeerRefusedError(f"The server {what} (HTTP {status}).", code=code)
    if 200 <= status <= 299:
        return PeerRefusedError(
            f"The server answered HTTP {status}, but does not name the object.", code=UNCLEAR
        )
    if 300 <= status <= 499:
        return PeerRefusedError(
            f"The server does not let this box store there (HTTP {status})."
            " Check its address, user and password.",
            code=DENIED,
        )
    return PeerRefusedError(f"The server did not take it (HTTP {status}).", code=BUSY)


def _named(answer: Mapping[str, Any], sequence: str, uid: str) -> Mapping[str, Any] | None:
    """Return the item of `sequence` that names `uid`, or None."""
    for item in _values(answer, sequence):
        if isinstance(item, dict) and uid in {
            value.rstrip("\0 ") for value in _values(item, _INSTANCE) if isinstance(value, str)
        }:
            return item
    return None


def _number(item: Mapping[str, Any], tag: str) -> int:
    first = next(iter(_values(item, tag)), 0)
    return first if isinstance(first, int) else 0


def _values(item: Mapping[str, Any], tag: str) -> list[Any]:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []
