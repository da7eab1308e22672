"""Files that a person hands in by the browser: one image, or a ZIP of them."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from appliance.domain import Admission, AdmissionOutcome, Arrival, Reason, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_CHUNK_BYTES = 1024 * 1024
# What zipfile raises for a damaged, encrypted or exotic archive.
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class UploadAnswer:
    """What became of one file.

    Parameters
    ----------
    name
        Its name without any folder.
    admission
        The one door's answer.
    """

    name: str
    admission: Admission


class Uploads:
    """Takes in what the browser sends.

    Parameters
    ----------
    admit
        The one door.
    total_bytes
        The most bytes of one upload, and of all that a ZIP unpacks to.
    entries
        The most files in a ZIP.
    """

    def __init__(
        self, admit: Callable[[Arrival], Admission], *, total_bytes: int, entries: int
    ) -> None:
        self._admit = admit
        self._total_bytes = total_bytes
        self._entries = entries

    def receive(self, name: str, content: bytes) -> list[UploadAnswer]:
        """Admit one DICOM, PNG or JPEG file, or each file of a ZIP; one answer for each.

        A folder in a name is ignored: nothing is ever written under a name from outside. In a
        ZIP that says more than it may, what came before the limit is admitted, and the answer for
        the rest says why it was not.
        """
        plain = _plain(name)
        if len(content) > self._total_bytes:
            return [_refuse(plain, "too_large", "The upload is larger than this box accepts.")]
        if not content.startswith((_ZIP, _EMPTY_ZIP)):
            return [self._one(plain, content)]
        try:
            return list(self._unpacked(plain, content))
        except _ZIP_FAULTS:
            return [_refuse(plain, "damaged_zip", "The ZIP file is damaged. Pack it again.")]

    def _one(self, name: str, content: bytes) -> UploadAnswer:
        return UploadAnswer(name, self._admit(Arrival(content, Source.UPLOAD, station=name)))

    def _unpacked(self, name: str, content: bytes) -> Iterator[UploadAnswer]:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = [entry for entry in archive.infolist() if _is_wanted(entry)]
            if not files:
                yield _refuse(name, "empty_zip", "There is no image in the ZIP file.")
            if len(files) > self._entries:
                yield _refuse(
                    name,
                    "too_many_files",
                    f"The ZIP file holds more than {self._entries} files. Send it in parts.",
                )
                return
            left = self._total_bytes
            for entry in files:
                answer, used = self._entry(archive, entry, left)
                left -= used
                yield answer

    def _entry(
        self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, left: int
    ) -> tuple[UploadAnswer, int]:
        """Admit one entry; return the answer and the bytes that it unpacked to."""
        name = _plain(entry.filename)
        too_large = _refuse(
            name, "too_large", "The ZIP file unpacks to more than this box accepts."
        )
        if entry.file_size > left:
            return too_large, 0
        try:
            content = _read(archive, entry, left)
        except _ZIP_FAULTS:
            text = "This file in the ZIP is damaged or has a password. Pack it again without one."
            return _refuse(name, "damaged_zip", text), 0
        if content is None:
            return too_large, left
        if content.startswith(_ZIP):
            text = "A ZIP file within a ZIP file is not opened. Send it by itself."
            return _refuse(name, "nested_zip", text), len(content)
        return self._one(name, content), len(content)


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, left: int) -> bytes | None:
    """Return an entry's bytes; None as soon as they are more than `left`, whatever it declared."""
    parts: list[bytes] = []
    with archive.open(entry) as stream:
        while part := stream.read(_CHUNK_BYTES):
            parts.append(part)
            left -= len(part)
            if left < 0:
                return None
    return b"".join(parts)


def _is_wanted(entry: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    # macOS packs shadows of each file; a DICOMDIR only lists what is beside it.
    is_shadow = path.name.startswith(".") or "__MACOSX" in path.parts
    return not (entry.is_dir() or is_shadow or path.name.upper() == "DICOMDIR")


def _plain(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name[:255]


def _refuse(name: str, code: str, text: str) -> UploadAnswer:
    return UploadAnswer(name, Admission(AdmissionOutcome.REJECTED, reason=Reason(code, text)))
