"""What stands between the pages and a hostile page in the same browser."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import abort, request

if TYPE_CHECKING:
    from flask import Flask, Response

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "img-src 'self' data:",
        "style-src 'self'",
        "script-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "manifest-src 'self'",
    )
)
_UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


def install(app: Flask) -> None:
    """Check each request before the views, and set the headers of each answer."""
    app.before_request(_refuse_foreign_host)
    app.before_request(_refuse_foreign_origin)
    app.after_request(_set_headers)


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_foreign_host() -> None:
    """Refuse names other than loopback: a foreign name that points here is DNS rebinding."""
    try:
        host = urlsplit(f"//{request.host}").hostname
    except ValueError:
        abort(400)
    if host is None or not is_loopback(host):
        abort(400)


def _refuse_foreign_origin() -> None:
    """Refuse a write that another site's page asked for (cross-site request forgery)."""
    if request.method not in _UNSAFE:
        return
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None and site != "same-origin":
        abort(403)
    # Under "no-referrer" a browser hides the origin of its forms ("null", Fetch Standard 3.2);
    # then its Sec-Fetch-Site, which no page can set, must have said where it came from.
    hidden = origin == "null" and site == "same-origin"
    if not (origin is None or hidden or origin == f"{request.scheme}://{request.host}"):
        abort(403)
    # With neither header it is no page but a program on this machine: every browser names the
    # origin of a write (Fetch Standard 3.2), and there is no login yet that it could borrow.


def _set_headers(response: Response) -> Response:
    headers = response.headers
    headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    # Whatever may show a patient is never kept by the browser; the look of the pages may be,
    # as long as the browser asks whether it is still the same.
    public = request.endpoint == "static"
    headers["Cache-Control"] = "no-cache" if public else "no-store"
    return response
