"""The composition root: the only module that knows every concrete class.

It reads the configuration, builds the parts, and gives each process plain values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.domain import SystemReport
    from appliance.ingest.upload import Uploads
    from appliance.review import Review
    from appliance.worklist import Worklist


@dataclass(frozen=True, slots=True)
class WebServices:
    """All that the pages may use.

    Parameters
    ----------
    system
        Makes the system report anew at each call (some checks take tens of milliseconds).
    model_card
        Model id and version to the text of its card (Markdown), or None.
    """

    station_name: str
    software_version: str
    worklist: Worklist
    review: Review
    uploads: Uploads
    system: Callable[[], SystemReport]
    model_card: Callable[[str, str], str | None]
    upload_bytes: int
