"""Self-tests: each looks at one thing and says what to do when it is not well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain import Check
from appliance.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.store.database import Store

# No box can live before the software it runs: 2026-11-01T00:00:00Z.
_SOFTWARE_MADE_AT = 1_793_491_200.0
_SILENT_S = 20.0
_OUTBOX_OLD_S = 7 * 24 * 3600.0


def check_disk(free_bytes: int, reserve_bytes: int) -> Check:
    """Look for room for more images; below `reserve_bytes` the box refuses new ones."""
    ok = free_bytes > 2 * reserve_bytes
    text = f"{free_bytes / 1e9:.1f} GB free"
    if not ok:
        text += f"; below {reserve_bytes / 1e9:.1f} GB new images are refused. Free some space."
    return Check("disk", "Disk", ok, text)


def check_clock(now: float) -> Check:
    """Hold the clock against the software's age; without a battery a box wakes up in 1970."""
    ok = now >= _SOFTWARE_MADE_AT
    text = "later than this software" if ok else "The clock is wrong. Set date and time."
    return Check("clock", "Clock", ok, text)


def check_database(store: Store) -> Check:
    """Ask SQLite whether the database is whole (quick_check)."""
    try:
        found = store.quick_check()
    except StorageError as error:
        return Check("database", "Database", ok=False, text=error.text)
    ok = found == "ok"
    text = "whole" if ok else f"damaged ({found}). Keep the box on and call your technician."
    return Check("database", "Database", ok, text)


def check_outbox(oldest_open_at: float | None, dead: int, now: float) -> Check:
    """See whether the outbox moves; nothing in it is ever dropped."""
    if dead:
        what = "1 item was" if dead == 1 else f"{dead} items were"
        text = f"{what} refused by the far side. Open the case and send it again."
        return Check("outbox", "Outbox", ok=False, text=text)
    if oldest_open_at is None:
        return Check("outbox", "Outbox", ok=True, text="nothing waits")
    days = (now - oldest_open_at) / 86400.0
    ok = now - oldest_open_at < _OUTBOX_OLD_S
    text = f"the oldest item waits for {days:.1f} days"
    return Check("outbox", "Outbox", ok, text if ok else f"{text}. Check the link.")


def check_process(role: str, beat_at: float | None, now: float) -> Check:
    """Look for a sign of life of the process within the last 20 seconds."""
    label = f"Process {role}"
    if beat_at is None or now - beat_at > _SILENT_S:
        return Check(f"process_{role}", label, ok=False, text="silent. Start the appliance again.")
    return Check(f"process_{role}", label, ok=True, text="running")


def check_model(name: str, trouble: str | None) -> Check:
    """Say whether the model's golden vectors agreed on this box; only then does it read."""
    text = "golden vectors agree here" if trouble is None else trouble
    return Check(f"model_{name}", f"Model {name}", trouble is None, text)


def check_kinds(gate: str | None) -> Check:
    """Say whether a model tells kinds of images here; without one the box reads all the same."""
    if gate is None:
        text = (
            "not checked: a picture of something else is read like a film. Install the package "
            "gate."
        )
    else:
        text = f"checked by {gate} before an image is read"
    return Check("kinds", "Kinds of images", gate is not None, text)


def check_operating_points(chosen: int, troubles: Sequence[str]) -> Check:
    """Say whether the signed record of chosen operating points is whole."""
    if troubles:
        text = (
            f"{troubles[0]} The box uses the points that its models bring until this is mended. "
            "Tell your technician; `waypost calibrate verify` says more."
        )
    else:
        text = f"{chosen} chosen here; the record is whole" if chosen else "as shipped"
    return Check("operating_points", "Operating points", ok=not troubles, text=text)


def check_backend(name: str, trouble: str | None, *, chosen: bool) -> Check:
    """Say whether the inference engine can run here; only the chosen one has to."""
    text = "available" if trouble is None else trouble
    return Check(f"backend_{name}", f"Backend {name}", trouble is None or not chosen, text)
