"""The bytes of an outbox item: a kept instance, or the result object of a reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain import ItemKind
from appliance.errors import NotAnImageError
from appliance.report.secondary_capture import build_result, result_uid, wrap_picture
from appliance.store import instances, outbox, readings

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.domain import OutboxItem, StoredInstance, StoredReading
    from appliance.store.database import Store
    from appliance.store.files import FileStore

_DICOM = "application/dicom"
_PICTURES = frozenset({"image/png", "image/jpeg"})


class Payloads:
    """Makes an item's bytes, the same ones at each try.

    Parameters
    ----------
    store, files
        Where instances, readings and their drawings are kept.
    station_name, software_version
        For the equipment attributes of what is made here.
    intended_use_of
        Model id to the sentence that its manifest gives; "" for an unknown one.
    """

    def __init__(
        self,
        store: Store,
        files: FileStore,
        *,
        station_name: str,
        software_version: str,
        intended_use_of: Callable[[str], str],
    ) -> None:
        self._store = store
        self._files = files
        self._station_name = station_name
        self._software_version = software_version
        self._intended_use_of = intended_use_of

    def __call__(self, item: OutboxItem) -> bytes:
        """Return the DICOM file (PS3.10) of `item`.

        Raises
        ------
        NotAnImageError
            There is nothing of which such an object could be made.
        StorageError
            A kept file cannot be read.
        """
        with self._store.read() as db:
            instance = instances.by_id(db, item.instance_id)
        if instance is None:
            raise NotAnImageError("The instance of this item is no longer kept.")
        if item.kind is ItemKind.RESULT:
            return self._result(item, instance)
        return self._instance(instance)

    def _instance(self, instance: StoredInstance) -> bytes:
        content = self._files.read(instance.sha256)
        if instance.media_type == _DICOM:
            return content
        if instance.media_type in _PICTURES:
            return wrap_picture(instance, content)
        raise NotAnImageError("What is kept is neither DICOM nor a picture; nothing can be sent.")

    def _result(self, item: OutboxItem, instance: StoredInstance) -> bytes:
        stored = self._reading_of(item, instance)
        model = stored.reading.model
        return build_result(
            instance,
            stored,
            self._drawing(stored, "film"),
            self._drawing(stored, "heat"),
            station_name=self._station_name,
            software_version=self._software_version,
            intended_use=self._intended_use_of(model.id) if model else "",
        )

    def _reading_of(self, item: OutboxItem, instance: StoredInstance) -> StoredReading:
        """Return the reading that the item was made for; a later one has its own item."""
        source_uid = instance.header.sop_instance_uid or ""
        with self._store.read() as db:
            for reading_id in outbox.reading_ids(db, instance.id):
                if result_uid(source_uid, reading_id) == item.object_uid:
                    stored = readings.by_id(db, reading_id)
                    if stored is not None:
                        return stored
        raise NotAnImageError("The reading of this item is no longer kept.")

    def _drawing(self, stored: StoredReading, kind: str) -> bytes | None:
        key = stored.artifacts.get(kind)
        return None if key is None else self._files.read(key)
