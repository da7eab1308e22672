"""The worklist and a case as JSON, for integrations and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, abort, request

from web.cases import as_json, case_of, case_of_study
from web.state import pages
from web.views.study import LARGEST_ID
from web.words import machine_time

if TYPE_CHECKING:
    from appliance.worklist import Delivery

VIEW = Blueprint("api", __name__, url_prefix="/api")
MOST_CASES = 200
LARGEST_OFFSET = 10**9


@VIEW.get("/worklist")
def worklist() -> dict[str, Any]:
    """Return cases in the list's order: `show` (open, reviewed), `limit`, `offset`."""
    held = pages()
    reviewed = request.args.get("show") == "reviewed"
    limit = min(max(request.args.get("limit", 50, type=int), 1), MOST_CASES)
    offset = min(max(request.args.get("offset", 0, type=int), 0), LARGEST_OFFSET)
    mark = held.live.mark()
    overview = held.services.worklist.overview()
    entries = held.services.worklist.entries(reviewed=reviewed, limit=limit, offset=offset)
    now = held.now()
    return {
        "mark": mark,
        "open": overview.open_cases,
        "reviewed": overview.reviewed_cases,
        "cases": [as_json(case_of(entry, now, reviewed=reviewed)) for entry in entries],
    }


@VIEW.get("/study/<int:instance_id>")
def study(instance_id: int) -> dict[str, Any]:
    """Return one case with its reviews and deliveries."""
    held = pages()
    found = held.services.worklist.study(instance_id) if instance_id <= LARGEST_ID else None
    if found is None:
        abort(404)
    reviews = [
        {
            "act": act.act,
            "actor": act.actor,
            "comment": act.comment,
            "created_at": machine_time(act.created_at),
        }
        for act in found.reviews
    ]
    return {
        **as_json(case_of_study(found, held.now())),
        "reviews": reviews,
        "outbox": [_delivery(delivery) for delivery in found.deliveries],
    }


def _delivery(delivery: Delivery) -> dict[str, Any]:
    at = delivery.delivered_at
    return {
        "target": delivery.target,
        "kind": delivery.kind,
        "state": delivery.state,
        "tries": delivery.tries,
        "last_error": delivery.last_error,
        "delivered_at": None if at is None else machine_time(at),
    }
