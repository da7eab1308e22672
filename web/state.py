"""What the app holds beside its services, and how a view gets at it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, cast

from flask import current_app

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.domain import ModelRef, ModelSummary
    from appliance.wiring.web import WebServices
    from web.live import Live

KEY = "waypost"
MODELS_KEPT_S = 60.0


@dataclass
class Pages:
    """The services, the news, and the models' summaries for a minute.

    The system report runs self-tests, too slow for each study page; what a model is for does not
    change from one minute to the next.
    """

    services: WebServices
    live: Live
    _models: Mapping[tuple[str, str], ModelSummary] = field(default_factory=dict)
    _models_at: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> datetime:
        """Return the present time, UTC."""
        return datetime.now(timezone.utc)

    def model(self, ref: ModelRef | None) -> ModelSummary | None:
        """Return what is known of the model that gave a result, or None."""
        if ref is None:
            return None
        with self._lock:
            if time.monotonic() - self._models_at > MODELS_KEPT_S:
                models = self.services.system().models
                self._models = {(model.id, model.version): model for model in models}
                self._models_at = time.monotonic()
        return self._models.get((ref.id, ref.version))


def pages() -> Pages:
    """Return what the app of this request holds."""
    return cast("Pages", current_app.extensions[KEY])
