"""The one door: whatever comes in by whatever way is kept here, or its sender is told why not.

The order is fixed: file durable, row committed, answer. A crash between any two steps leaves
either nothing that was promised, or a file whose row the next try of the sender writes.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.dicom.attributes import read_header, sniff
from appliance.domain import (
    Admission,
    AdmissionOutcome,
    Arrival,
    Header,
    Reason,
    Source,
    StoredInstance,
)
from appliance.errors import DiskFullError, ReadingError, RefusedError, StorageError
from appliance.store import instances
from appliance.store.instances import NewInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlite_utils import Database

    from appliance.store.database import Store
    from appliance.store.files import FileStore

_LOG = logging.getLogger(__name__)
# A lost race is settled by looking again; more rounds than this mean that something else is wrong.
_ROUNDS = 3

_NO_UID = Reason(
    "no_sop_instance_uid",
    "The file has no SOP Instance UID, so it cannot be told apart from others. It is kept but not"
    " read; check the machine that made it.",
)
_CONFLICT = Reason(
    "uid_conflict",
    "Another image with the same SOP Instance UID is already kept. This one is set aside and not"
    " read; check the machine that made it.",
)


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """What the door lets in.

    Parameters
    ----------
    instance_bytes
        The largest file.
    free_disk_bytes
        What must stay free on the disk after the file is kept.
    """

    instance_bytes: int
    free_disk_bytes: int


class Admitter:
    """The door to one store; any thread may use it.

    Parameters
    ----------
    store, files
        Where rows and bytes are kept.
    clock
        Seconds since the epoch.
    same_content
        Says whether two files are encodings of one instance. It is asked only when a SOP Instance
        UID comes again with other bytes, and decodes in the limited child.
    instance_bytes, free_disk_bytes
        See `AdmissionLimits`.
    free_bytes
        What is free on the disk now.
    """

    def __init__(  # noqa: PLR0913 - the composition root hands in every neighbour by name
        self,
        store: Store,
        files: FileStore,
        *,
        clock: Callable[[], float],
        same_content: Callable[[bytes, bytes], bool],
        instance_bytes: int,
        free_disk_bytes: int,
        free_bytes: Callable[[], int],
    ) -> None:
        self._store = store
        self._files = files
        self._clock = clock
        self._same_content = same_content
        self._limits = AdmissionLimits(instance_bytes, free_disk_bytes)
        self._free_bytes = free_bytes

    def admit(self, arrival: Arrival) -> Admission:
        """Keep what arrived, or say why not.

        Returns
        -------
        Admission
            ``ACCEPTED``, ``DUPLICATE`` and ``QUARANTINED`` mean that bytes and row are durable;
            ``REJECTED`` that nothing of the file is kept. The same file again gives the same
            instance.
        """
        size = len(arrival.content)
        if size > self._limits.instance_bytes:
            return _rejected("too_large", "The file is larger than this box accepts.")
        if self._free_bytes() - size < self._limits.free_disk_bytes:
            return _rejected_for(
                DiskFullError("The disk is full. Free space on the box, then send again.")
            )
        header, reason = _understand(arrival.content)
        new = NewInstance(
            header=header,
            media_type=sniff(arrival.content),
            sha256=hashlib.sha256(arrival.content).hexdigest(),
            size_bytes=size,
            source=arrival.source,
            station=arrival.station,
            quarantine=reason,
        )
        try:
            return self._keep(arrival, new)
        except StorageError as error:
            self._forget(new.sha256)
            _LOG.warning("a file could not be kept: %s", error.code)
            return _rejected_for(error)

    def _keep(self, arrival: Arrival, new: NewInstance) -> Admission:
        for _ in range(_ROUNDS):
            known = self._known(new)
            if known is not None:
                answer = self._again(arrival, new, known)
                if answer is not None:
                    return answer
                new = _set_aside(new)
            admission = self._insert(arrival, new)
            if admission is not None:
                return admission
        raise StorageError("The instance could not be kept. Send it again.")

    def _known(self, new: NewInstance) -> StoredInstance | None:
        """Return what is kept already under this identity, or this content in quarantine."""
        with self._store.read() as db:
            if new.quarantine is None and new.header.sop_instance_uid is not None:
                return instances.by_sop_instance_uid(db, new.header.sop_instance_uid)
            return instances.quarantined(db, new.sha256)

    def _again(self, arrival: Arrival, new: NewInstance, known: StoredInstance) -> Admission | None:
        """Answer for what is kept already; None when it is another content under that UID."""
        if new.quarantine is not None:
            return _admission(AdmissionOutcome.QUARANTINED, known, known.quarantine)
        if known.sha256 != new.sha256:
            with self._store.read() as db:
                aside = instances.quarantined(db, new.sha256)
            if aside is not None:
                return _admission(AdmissionOutcome.QUARANTINED, aside, aside.quarantine)
            if not self._is_same(known, arrival.content):
                return None
        with self._store.transaction() as db:
            _note_station(db, arrival, self._clock())
        return _admission(AdmissionOutcome.DUPLICATE, known, None)

    def _is_same(self, known: StoredInstance, content: bytes) -> bool:
        try:
            return self._same_content(self._files.read(known.sha256), content)
        except (StorageError, RefusedError, ReadingError):
            # The kept file is damaged, or one of them does not decode: neither is thrown away.
            return False

    def _insert(self, arrival: Arrival, new: NewInstance) -> Admission | None:
        """Keep file and row; None when somebody else was first."""
        key = self._files.put(arrival.content)
        now = self._clock()
        with self._store.transaction() as db:
            instance_id = instances.insert(db, new, now)
            if instance_id is None:
                return None
            _note_station(db, arrival, now)
            if not self._files.path(key).exists():
                # Another process removed it after its own failure, before our row was there.
                self._files.put(arrival.content)
        outcome = (
            AdmissionOutcome.ACCEPTED if new.quarantine is None else AdmissionOutcome.QUARANTINED
        )
        return Admission(outcome, new.header.sop_instance_uid, instance_id, new.quarantine)

    def _forget(self, sha256: str) -> None:
        """Remove a file that no row names. The write lock keeps others from naming it now."""
        try:
            with self._store.transaction() as db:
                if not instances.names_content(db, sha256):
                    self._files.path(sha256).unlink(missing_ok=True)
        except (StorageError, OSError):
            # Then it stays: the same file sent again will use it.
            _LOG.warning("a file without a row stays until it is sent again")


def _understand(content: bytes) -> tuple[Header, Reason | None]:
    try:
        header = read_header(content)
    except RefusedError as error:
        return Header(), Reason(error.code, error.text)
    return header, None if header.sop_instance_uid else _NO_UID


def _set_aside(new: NewInstance) -> NewInstance:
    return NewInstance(
        header=new.header,
        media_type=new.media_type,
        sha256=new.sha256,
        size_bytes=new.size_bytes,
        source=new.source,
        station=new.station,
        quarantine=_CONFLICT,
    )


def _note_station(db: Database, arrival: Arrival, now: float) -> None:
    if arrival.source is Source.DICOM:
        instances.note_station(db, arrival.station, arrival.address or "", now)


def _admission(
    outcome: AdmissionOutcome, known: StoredInstance, reason: Reason | None
) -> Admission:
    return Admission(outcome, known.header.sop_instance_uid, known.id, reason)


def _rejected(code: str, text: str) -> Admission:
    return Admission(AdmissionOutcome.REJECTED, reason=Reason(code, text))


def _rejected_for(error: StorageError) -> Admission:
    return _rejected(error.code, error.text)
