"""The pages, one module each; the table below is all of them."""

from __future__ import annotations

from web.views import api, events, guide, study, system, upload, worklist

VIEWS = (
    worklist.VIEW,
    study.VIEW,
    upload.VIEW,
    system.VIEW,
    guide.VIEW,
    events.VIEW,
    api.VIEW,
)
