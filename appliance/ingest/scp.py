"""The DICOM receiver: C-STORE and C-ECHO, answered only after the one door has answered."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt

from appliance.dicom.attributes import read_header
from appliance.dicom.sop_classes import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from appliance.domain import Admission, AdmissionOutcome, Arrival, Header, Source
from appliance.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger(__name__)

# PS3.4 B.2.3, PS3.7 C.5
SUCCESS = 0x0000
DUPLICATE_SOP_INSTANCE = 0x0111
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000
HANDLER_FAILED = 0xC211

_VERIFICATION = "1.2.840.10008.1.1"
# The largest fragment that a sender may send; measured beside 16 kB and unlimited.
_PDU_BYTES = 128 * 1024
# The most bytes of one message: above it the connection is cut, for the toolkit keeps a message
# in memory until it is whole.
_MESSAGE_BYTES = 512 * 1024 * 1024
_NETWORK_TIMEOUT_S = 120.0


class Receiver:
    """A Storage SCP with verification.

    Parameters
    ----------
    admit
        The one door; it is called from one thread an association.
    ae_title
        Ours; an association that calls for another is rejected (PS3.8 9.3.4, reason 7).
    host, port
        Where to listen; port 0 takes a free one.
    associations
        How many may be open at a time.
    """

    def __init__(
        self,
        admit: Callable[[Arrival], Admission],
        *,
        ae_title: str,
        host: str,
        port: int,
        associations: int,
    ) -> None:
        self._admit = admit
        self._address = (host, port)
        self._ae = AE(ae_title=ae_title)
        self._ae.require_called_aet = True
        self._ae.maximum_associations = associations
        self._ae.maximum_pdu_size = _PDU_BYTES
        self._ae.network_timeout = _NETWORK_TIMEOUT_S
        self._ae.add_supported_context(_VERIFICATION)
        for sop_class in STORAGE_SOP_CLASSES:
            self._ae.add_supported_context(sop_class, list(TRANSFER_SYNTAXES))
        self._server: Any = None

    def start(self) -> tuple[str, int]:
        """Listen in the background; return the host and port that were taken.

        Raises
        ------
        OSError
            The address is taken or may not be used.
        """
        # The toolkit's own handlers format every message for a log that nobody reads.
        _config.LOG_HANDLER_LEVEL = "none"
        self._server = self._ae.start_server(
            self._address,
            block=False,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, _send_at_once),
                (evt.EVT_CONN_CLOSE, _free_the_place),
                (evt.EVT_PDU_RECV, _bound_message),
                (evt.EVT_C_STORE, self._on_store),
            ],
        )
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def stop(self) -> None:
        """Stop listening and abort what is open; what was answered is kept."""
        self._ae.shutdown()
        self._server = None

    def _on_store(self, event: Any) -> Dataset:
        try:
            return self._store(event)
        except Exception as error:  # noqa: BLE001 - one bad object must not end its association
            # The class only: the message or trace of a parser may quote a patient's values.
            _LOG.error("C-STORE failed: %s", type(error).__name__)
            return _status(HANDLER_FAILED, "The box failed to keep the object.")

    def _store(self, event: Any) -> Dataset:
        content = event.encoded_dataset()
        requestor = event.assoc.requestor
        station = str(requestor.ae_title).strip()
        if not _matches(content, event.request):
            _LOG.warning("C-STORE from %s: data set and request name different UIDs", station)
            return _status(
                DOES_NOT_MATCH_SOP_CLASS, "SOP Class or Instance UID differs from the request."
            )
        admission = self._admit(
            Arrival(content, Source.DICOM, station=station, address=str(requestor.address))
        )
        if admission.reason is not None:
            _LOG.warning("C-STORE from %s: %s", station, admission.reason.code)
        return _answer(admission)


def _matches(content: bytes, request: Any) -> bool:
    """Say whether the data set is what the request announces; one that is unreadable passes.

    The one door keeps an unreadable one in quarantine, where a person sees it.
    """
    try:
        header = read_header(content)
    except RefusedError:
        header = Header()
    pairs = (
        (header.sop_instance_uid, request.AffectedSOPInstanceUID),
        (header.sop_class_uid, request.AffectedSOPClassUID),
    )
    return all(found is None or found == str(announced) for found, announced in pairs)


def _answer(admission: Admission) -> Dataset:
    reason = admission.reason
    text = "" if reason is None else reason.text
    if admission.outcome in {AdmissionOutcome.ACCEPTED, AdmissionOutcome.DUPLICATE}:
        return _status(SUCCESS, "")
    if admission.outcome is AdmissionOutcome.REJECTED:
        return _status(OUT_OF_RESOURCES, text)
    if reason is not None and reason.code == "uid_conflict":
        return _status(DUPLICATE_SOP_INSTANCE, text)
    return _status(CANNOT_UNDERSTAND, text)


def _status(code: int, text: str) -> Dataset:
    status = Dataset()
    status.Status = code
    if text:
        # (0000,0902) Error Comment has VR LO: 64 characters.
        status.ErrorComment = text[:64]
    return status


def _send_at_once(event: Any) -> None:
    """Switch Nagle's algorithm off: an answer is small and the sender waits for it."""
    connection = event.assoc.dul.socket.socket
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _free_the_place(event: Any) -> None:
    """End an association whose peer left before it asked for one.

    The toolkit would go on waiting for the request for its whole timeout, and a port scan would
    take every place meanwhile.
    """
    if event.assoc.requestor.primitive is None:
        event.assoc.dul.to_user_queue.put(None)


def _bound_message(event: Any) -> None:
    """Cut the connection of a sender whose message never ends."""
    pending = event.assoc.dimse.message
    held = 0 if pending is None or pending.data_set is None else pending.data_set.tell()
    if held > _MESSAGE_BYTES:
        _LOG.warning("a message of more than %d bytes was cut off", _MESSAGE_BYTES)
        event.assoc.dul.socket.close()
