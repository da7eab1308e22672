"""Help, and the card of each model."""

from __future__ import annotations

import re

from flask import Blueprint, abort, render_template

from appliance.domain import PROBABILITY_WORDS
from web.markdown import to_html
from web.state import pages

VIEW = Blueprint("guide", __name__)
# What an id or a version may look like: no separator, no dot at the start, so no other folder.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


@VIEW.get("/help")
def show() -> str:
    """Return the help page."""
    bounds = [0, *(bound for bound, _ in PROBABILITY_WORDS)]
    ranges = [
        (low, min(high - 1, 100), word)
        for low, (high, word) in zip(bounds, PROBABILITY_WORDS, strict=False)
    ]
    return render_template("help.html", ranges=ranges, here="help")


@VIEW.get("/models/<model_id>/<version>")
def card(model_id: str, version: str) -> str:
    """Return a model's card."""
    if not (_PLAIN.fullmatch(model_id) and _PLAIN.fullmatch(version)):
        abort(404)
    text = pages().services.model_card(model_id, version)
    if text is None:
        abort(404)
    return render_template("card.html", body=to_html(text), model_id=model_id, version=version)
