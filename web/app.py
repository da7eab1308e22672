"""The app: guards, pages and plain words for what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Flask, render_template, request
from werkzeug.exceptions import HTTPException

from appliance.domain import HEAT_LIMITS, RESEARCH_ONLY
from appliance.errors import RefusedError, WaypostError
from web import guard, words
from web.live import Live
from web.state import KEY, Pages
from web.views import VIEWS

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from appliance.wiring.web import WebServices

# The envelope of a multipart form around the files themselves.
FORM_OVERHEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Trouble:
    """An error page: what happened, and what to do."""

    title: str
    text: str


_TROUBLES = {
    400: _Trouble(
        "This request cannot be understood",
        "Go back to the worklist and try again from there.",
    ),
    403: _Trouble(
        "This request came from another page",
        "The box takes changes only from its own pages. Open the worklist and try again there.",
    ),
    404: _Trouble(
        "There is nothing here",
        "The address may be mistyped, or the case may have been removed. Go to the worklist.",
    ),
    405: _Trouble("This page does not take that", "Go back to the worklist and try again."),
    413: _Trouble(
        "This is larger than the box accepts",
        "Send fewer films at once, or send them over DICOM from the modality.",
    ),
    500: _Trouble(
        "The box could not make this page",
        "Nothing is lost. Try again; if it happens again, tell your technician.",
    ),
    503: _Trouble("The box cannot do this now", "Try again in a minute."),
}


def create_app(services: WebServices) -> Flask:
    """Return the app over `services`.

    Its `Live` thread starts with the first open page; whoever serves the app stops it with
    ``live_of(app).stop()``.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = services.upload_bytes + FORM_OVERHEAD_BYTES
    app.config["MAX_FORM_PARTS"] = 500
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals["words"] = words
    app.jinja_env.globals["research_only"] = RESEARCH_ONLY
    app.jinja_env.globals["heat_limits"] = HEAT_LIMITS
    app.extensions[KEY] = Pages(services=services, live=Live(services.worklist.version))
    guard.install(app)
    for view in VIEWS:
        app.register_blueprint(view)

    @app.context_processor
    def _everywhere() -> dict[str, object]:
        return {
            "station_name": services.station_name,
            "software_version": services.software_version,
        }

    app.register_error_handler(HTTPException, _http_trouble)
    app.register_error_handler(WaypostError, _own_trouble)
    return app


def live_of(app: Flask) -> Live:
    """Return the app's news, to stop it."""
    held: Pages = app.extensions[KEY]
    return held.live


def _http_trouble(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if status < 400:
        return error.get_response()
    trouble = _TROUBLES.get(status, _TROUBLES[400 if status < 500 else 500])
    return _answer(trouble, status)


def _own_trouble(error: WaypostError) -> ResponseReturnValue:
    status = 400 if isinstance(error, RefusedError) else 503
    return _answer(_Trouble(_TROUBLES[status].title, error.text), status)


def _answer(trouble: _Trouble, status: int) -> ResponseReturnValue:
    best = request.accept_mimetypes.best_match(["text/html", "application/json"])
    if request.path.startswith("/api/") or best == "application/json":
        return {"text": f"{trouble.title}. {trouble.text}"}, status
    return render_template("trouble.html", trouble=trouble), status
