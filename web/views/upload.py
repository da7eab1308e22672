"""Upload: films that come as files, with an answer for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request, url_for

from appliance.domain import AdmissionOutcome
from web.state import pages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.typing import ResponseReturnValue

    from appliance.domain import Admission

VIEW = Blueprint("upload", __name__)

# Key (colour and shape), and the words of each answer of the one door.
OUTCOMES = {
    AdmissionOutcome.ACCEPTED: ("read", "kept, and waits to be read"),
    AdmissionOutcome.DUPLICATE: ("reviewed", "already here"),
    AdmissionOutcome.QUARANTINED: ("aside", "kept aside"),
    AdmissionOutcome.REJECTED: ("failed", "not kept"),
}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of one file."""

    name: str
    key: str
    word: str
    text: str
    href: str | None


@VIEW.get("/upload")
def show() -> str:
    """Return the page."""
    return _page([])


@VIEW.post("/upload")
def take() -> ResponseReturnValue:
    """Keep the files and answer for each, as a page or (for the page's own script) as JSON."""
    answers = list(_answers())
    best = request.accept_mimetypes.best_match(["text/html", "application/json"])
    if best == "application/json":
        return {"answers": [_as_json(answer) for answer in answers]}
    return _page(answers), 200 if answers else 400


def _answers() -> Iterator[_Answer]:
    for item in request.files.getlist("files"):
        if item.filename:
            for answer in pages().services.uploads.receive(item.filename, item.read()):
                yield _answer(answer.name, answer.admission)


def _answer(name: str, admission: Admission) -> _Answer:
    key, word = OUTCOMES[admission.outcome]
    case = admission.instance_id
    return _Answer(
        name=name,
        key=key,
        word=word,
        text="" if admission.reason is None else admission.reason.text,
        href=None if case is None else url_for("study.show", instance_id=case),
    )


def _as_json(answer: _Answer) -> dict[str, str | None]:
    return {
        "name": answer.name,
        "key": answer.key,
        "word": answer.word,
        "text": answer.text,
        "href": answer.href,
    }


def _page(answers: list[_Answer]) -> str:
    asked = request.method == "POST"
    return render_template(
        "upload.html",
        answers=answers,
        nothing_chosen=asked and not answers,
        upload_bytes=pages().services.upload_bytes,
        here="upload",
    )
