"""C-STORE to a DICOM node (PS3.4 Annex B); one association for the items of a drain."""

from __future__ import annotations

import socket
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pynetdicom import AE, build_context, evt

from appliance.errors import PeerRefusedError, PeerUnreachableError
from appliance.sync import statuses
from appliance.sync.transport import DENIED, REFUSED, UNCLEAR, Receipt, patience_s

if TYPE_CHECKING:
    from pydicom import Dataset
    from pynetdicom.association import Association

_MOST_CONTEXTS = 128  # PS3.8 9.3.2.2: context ids are the odd numbers of one byte
_TRANSIENT = 2  # PS3.8 9.3.4, rejected-transient
_Pair = tuple[str, str]  # SOP Class UID, Transfer Syntax UID


class CStoreTransport:
    """Sends files as they are, each in its own transfer syntax.

    Parameters
    ----------
    host, port, called_ae_title
        The peer.
    calling_ae_title
        How this box calls itself.
    timeout_s
        For the connection and the association; the answer to an object may take longer by what
        its bytes need on the slowest link.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        called_ae_title: str,
        calling_ae_title: str,
        timeout_s: float,
    ) -> None:
        self._peer = (host, port, called_ae_title)
        self._timeout_s = timeout_s
        self._ae = AE(ae_title=calling_ae_title)
        self._ae.connection_timeout = timeout_s
        self._ae.acse_timeout = timeout_s
        self._ae.network_timeout = timeout_s
        self._pairs: list[_Pair] = []
        self._association: Association | None = None
        self._named = ""
        self._answered = False

    def send(self, content: bytes, object_uid: str) -> Receipt:
        """Send one object; see `Transport.send` for what it returns and raises."""
        dataset = _parse(content)
        pair = (str(dataset.SOPClassUID), str(dataset.file_meta.TransferSyntaxUID))
        association = self._open_for(pair)
        self._require_accepted(association, pair)
        association.dimse_timeout = patience_s(len(content), self._timeout_s)
        self._named = ""
        try:
            status = association.send_c_store(dataset)
        except (RuntimeError, OSError) as error:
            self.close()
            raise PeerUnreachableError("The link broke before the object was sent.") from error
        except (ValueError, AttributeError) as error:
            raise PeerRefusedError("The object cannot be encoded for DICOM.", code=REFUSED) from (
                error
            )
        return self._receipt(status, object_uid)

    def close(self) -> None:
        """Release the association."""
        association, self._association = self._association, None
        if association is not None and association.is_established:
            association.release()
        elif association is not None and association.is_alive():
            association.abort()

    def _open_for(self, pair: _Pair) -> Association:
        known = pair in self._pairs
        if not known:
            self._pairs = [*self._pairs, pair][-_MOST_CONTEXTS:]
        if known and self._association is not None and self._association.is_established:
            return self._association
        self.close()
        self._association = self._associate()
        return self._association

    def _associate(self) -> Association:
        host, port, ae_title = self._peer
        if not self._answered:
            self._knock()
        self._answered = False
        contexts = [build_context(sop_class, syntax) for sop_class, syntax in self._pairs]
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._watch_flow),
            (evt.EVT_DIMSE_RECV, self._note_named),
        ]
        association = self._ae.associate(
            host, port, contexts=contexts, ae_title=ae_title, evt_handlers=handlers
        )
        if association.is_established or association.rejected_contexts:
            self._answered = True
            return association  # a peer that took none of the kinds: see `_require_accepted`
        answer = association.acceptor.primitive
        if association.is_rejected and answer is not None and answer.result != _TRANSIENT:
            raise PeerRefusedError(
                f"{ae_title} does not accept associations from this box: it must know the AE"
                f" title {self._ae.ae_title}, and be called by its own.",
                code=DENIED,
            )
        raise PeerUnreachableError(f"{ae_title} does not answer.")

    def _knock(self) -> None:
        """Open and close a connection to a peer that is not known to answer.

        Without a link this is the state of every day, and pynetdicom leaves the socket of a
        connection that failed to the garbage collector.
        """
        host, port, ae_title = self._peer
        try:
            socket.create_connection((host, port), self._timeout_s).close()
        except OSError as error:
            raise PeerUnreachableError(f"{ae_title} does not answer.") from error

    def _watch_flow(self, event: evt.Event) -> None:
        """Let the kernel end a flow whose bytes nobody acknowledges (RFC 5482)."""
        flow = event.assoc.dul.socket
        if flow is not None and flow.socket is not None:
            patience_ms = int(self._timeout_s * 1000)
            flow.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_ms)

    def _note_named(self, event: evt.Event) -> None:
        """Keep the Affected SOP Instance UID (0000,1000) of the response (PS3.7 9.3.1.2)."""
        self._named = str(event.message.command_set.get("AffectedSOPInstanceUID", ""))

    def _require_accepted(self, association: Association, pair: _Pair) -> None:
        accepted = {
            (str(context.abstract_syntax), str(context.transfer_syntax[0]))
            for context in association.accepted_contexts
        }
        if pair not in accepted:
            raise PeerRefusedError(
                f"{self._peer[2]} does not take this kind of object in its encoding"
                f" (SOP Class {pair[0]}, transfer syntax {pair[1]}).",
                code=REFUSED,
            )

    def _receipt(self, answer: Dataset, object_uid: str) -> Receipt:
        ae_title = self._peer[2]
        if "Status" not in answer:
            self.close()
            raise PeerUnreachableError(f"{ae_title} did not answer in time.")
        status = int(answer.Status)
        if self._named not in {"", object_uid}:
            raise PeerRefusedError(f"{ae_title} answered for another object.", code=UNCLEAR)
        if statuses.is_stored(status):
            return Receipt(object_uid, f"warning {status:04X}" if status else "")
        if status == statuses.DUPLICATE and self._named:
            return Receipt(object_uid, "the peer had it already")
        code, what = statuses.refusal(status)
        raise PeerRefusedError(f"{ae_title} {what} (status {status:04X}).", code=code)


def _parse(content: bytes) -> Dataset:
    try:
        dataset = dcmread(BytesIO(content))
        _ = (dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.file_meta.TransferSyntaxUID)
    except (InvalidDicomError, AttributeError, ValueError, KeyError, EOFError, OSError) as error:
        raise PeerRefusedError("What is kept is no DICOM file.", code=REFUSED) from error
    return dataset
