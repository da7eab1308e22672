"""What the courier asks of a way out; `cstore.CStoreTransport` and `stow.StowTransport` give it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

# The slowest link that still counts as one (a 2G phone at its edge). A send may take as long as
# its bytes need at this rate; a dead flow is found sooner, by the kernel (TCP_USER_TIMEOUT).
SLOWEST_BYTES_PER_S = 2000.0

# The one thing that a transport may say besides "unreachable" is why the answer was no. The code
# of a PeerRefusedError decides what becomes of the item (see `policy.judge`).
REFUSED = "peer_refused"  # this object can never be taken
BUSY = "peer_busy"  # not now
DENIED = "peer_denied"  # this box may not send there; somebody must set it up
UNCLEAR = "peer_unclear"  # an answer that does not name the object


@dataclass(frozen=True, slots=True)
class Receipt:
    """The peer said that it has the object, and named it.

    Parameters
    ----------
    object_uid
        SOP Instance UID, as the peer confirmed it.
    note
        What the peer did on the way (coerced elements, had it already), or "".
    """

    object_uid: str
    note: str = ""


class Transport(Protocol):
    """A way to one target. Not thread-safe: one courier uses it."""

    def send(self, content: bytes, object_uid: str) -> Receipt:
        """Send one DICOM file (PS3.10) and return only when the peer has confirmed it.

        Parameters
        ----------
        content
            The bytes of the file.
        object_uid
            Its SOP Instance UID.

        Raises
        ------
        PeerUnreachableError
            No answer, or the peer serves nobody at present.
        PeerRefusedError
            An answer, and it was no; `code` is one of this module's words.
        """
        ...

    def close(self) -> None:
        """End what is kept open between two sends; the next send opens it again."""
        ...


def patience_s(size_bytes: int, timeout_s: float) -> float:
    """Return how long the answer to `size_bytes` may take, in seconds.

    A timeout that does not grow with the object would cut a film on a thin link for ever.
    """
    return timeout_s + size_bytes / SLOWEST_BYTES_PER_S
