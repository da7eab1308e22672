"""What a peer's storage status means for the item; each number carries its clause."""

from __future__ import annotations

from appliance.sync.transport import BUSY, DENIED, REFUSED

SUCCESS = 0x0000
DUPLICATE = 0x0111  # Duplicate SOP Instance, PS3.7 C.5.8

# PS3.7 Annex C.
_BY_STATUS = {
    0x0110: (BUSY, "could not process it"),  # C.5.21, processing failure
    DUPLICATE: (REFUSED, "holds another object under this UID"),
    0x0112: (REFUSED, "knows no such instance"),  # C.5.17
    0x0117: (REFUSED, "calls its UID malformed"),  # C.5.12
    0x0118: (REFUSED, "does not store this kind of object"),  # C.5.13
    0x0119: (REFUSED, "does not store this kind of object"),  # C.5.4, class-instance conflict
    0x0122: (REFUSED, "does not store this kind of object"),  # C.5.6
    0x0124: (DENIED, "does not let this box store"),  # C.5.24
}


def is_stored(status: int) -> bool:
    """Say whether a status of PS3.4 B.2.3 means that the peer keeps the object.

    A warning (Bxxx: elements coerced or discarded, data set does not match the SOP Class) is an
    object that is kept, with changes: sending it again would change nothing.
    """
    return status == SUCCESS or 0xB000 <= status <= 0xBFFF


def refusal(status: int) -> tuple[str, str]:
    """Return the refusal's code (see `transport`) and what the peer did, for a failure status.

    A7xx is out of resources and may pass; A9xx and Cxxx say that the object itself cannot be
    taken (PS3.4 Table B.2-1). What is not in the tables is tried again.
    """
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 0xA700 <= status <= 0xA7FF:
        return BUSY, "has no room"
    if 0xA900 <= status <= 0xA9FF:
        return REFUSED, "says that the object does not match its kind"
    if 0xC000 <= status <= 0xCFFF:
        return REFUSED, "does not understand the object"
    return BUSY, "did not take it"
