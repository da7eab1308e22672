"""One case: the film, the box's reading, and what a person makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for

from appliance.errors import RefusedError
from web import words
from web.cases import case_of_study
from web.state import pages

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from appliance.worklist import Study

VIEW = Blueprint("study", __name__, url_prefix="/study")
ACTS = ("confirm", "overrule", "comment")
LARGEST_ID = 2**63 - 1


@VIEW.get("/<int:instance_id>")
def show(instance_id: int) -> str:
    """Return the page."""
    return _page(_study(instance_id))


@VIEW.get("/<int:instance_id>/film.png")
def film(instance_id: int) -> Response:
    """Return the film as the box read it."""
    return _picture(instance_id, "film")


@VIEW.get("/<int:instance_id>/thumb.png")
def thumb(instance_id: int) -> Response:
    """Return a small film for the list, or the film itself where none was drawn."""
    _study(instance_id)
    worklist = pages().services.worklist
    content = worklist.artifact(instance_id, "thumb") or worklist.artifact(instance_id, "film")
    return _png(content)


@VIEW.get("/<int:instance_id>/heat.png")
def heat(instance_id: int) -> Response:
    """Return where the model looked; nothing where the box gave no answer."""
    if not case_of_study(_study(instance_id), pages().now()).has_heat:
        abort(404)
    return _picture(instance_id, "heat")


@VIEW.post("/<int:instance_id>/review")
def review(instance_id: int) -> AnyResponse | tuple[str, int]:
    """Keep what a person says of the case."""
    study = _study(instance_id)
    act, actor = request.form.get("act", ""), request.form.get("actor", "")
    comment = request.form.get("comment", "")
    try:
        pages().services.review.act(instance_id, act, actor, comment)
    except RefusedError as error:
        typed = {"actor": actor, "comment": comment}
        return _page(study, trouble=error.text, typed=typed), 400
    return redirect(url_for(".show", instance_id=instance_id, _anchor="acts"), code=303)


@VIEW.post("/<int:instance_id>/read-anyway")
def read_anyway(instance_id: int) -> AnyResponse | tuple[str, int]:
    """Have a film read that the quality check stopped; who asked and why is kept."""
    study = _study(instance_id)
    actor, why = request.form.get("actor", ""), request.form.get("why", "")
    try:
        pages().services.review.read_anyway(instance_id, actor, why)
    except RefusedError as error:
        typed = {"anyway_actor": actor, "why": why}
        return _page(study, anyway_trouble=error.text, typed=typed), 400
    return redirect(url_for(".show", instance_id=instance_id), code=303)


@VIEW.post("/<int:instance_id>/deliveries/<int:item_id>/again")
def send_again(instance_id: int, item_id: int) -> AnyResponse:
    """Put a dead letter of this case back into the outbox."""
    study = _study(instance_id)
    if not any(d.item_id == item_id and d.state == "dead" for d in study.deliveries):
        abort(404)
    pages().services.review.send_again(item_id)
    return redirect(url_for(".show", instance_id=instance_id, _anchor="deliveries"), code=303)


def _study(instance_id: int) -> Study:
    # SQLite's integers end here; a longer number in an address is no case.
    found = pages().services.worklist.study(instance_id) if instance_id <= LARGEST_ID else None
    if found is None:
        abort(404)
    return found


def _page(
    study: Study,
    *,
    trouble: str = "",
    anyway_trouble: str = "",
    typed: dict[str, str] | None = None,
) -> str:
    held = pages()
    mark = held.live.mark()
    case = case_of_study(study, held.now())
    return render_template(
        "study.html",
        case=case,
        study=study,
        header=study.entry.instance.header,
        headline=_headline(case.entry.instance.state.value),
        summary=held.model(case.model),
        trouble=trouble,
        anyway_trouble=anyway_trouble,
        typed=typed or {},
        mark=mark,
    )


def _headline(state: str) -> tuple[str, str] | None:
    """Return what is said in place of a finding, or None where the box gave one."""
    keys = {"abstained": "unsure", "refused": "unfit", "quarantined": "aside"}
    return words.HEADLINES.get(keys.get(state, state))


def _picture(instance_id: int, kind: str) -> Response:
    _study(instance_id)
    return _png(pages().services.worklist.artifact(instance_id, kind))


def _png(content: bytes | None) -> Response:
    if content is None:
        abort(404)
    return Response(content, mimetype="image/png")
