"""From bytes to a header: tolerant of what machines write, and never a crash for a bad file.

The parser is pydicom's, driven without its file reader, so that no path leads into its inflater.
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
import struct
import threading
import warnings
from contextlib import contextmanager
from datetime import datetime, timezone
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue

from appliance.dicom import codestream
from appliance.dicom.uids import derived_uid
from appliance.domain import Header
from appliance.errors import NotAnImageError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.tag import BaseTag

DICOM = "application/dicom"
PNG = "image/png"
JPEG = "image/jpeg"
UNKNOWN = "application/octet-stream"

# What pydicom raises for damaged bytes; anything outside this list is our own mistake.
PARSER_FAULTS = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)

_QUIET = threading.RLock()
_TEXT_LIMIT = 256


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's warnings and log lines in: they quote values, a patient's among them.

    The lock is there because the filter of `warnings` belongs to the whole process.
    """
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger = logging.getLogger("pydicom")
        if not logger.disabled:
            logger.disabled = True
        yield


def sniff(content: bytes) -> str:
    """Return the media type that the first bytes speak for.

    Returns
    -------
    str
        ``application/dicom`` (Part 10, or a bare data set that begins with group 0002 or 0008),
        ``image/png``, ``image/jpeg`` or ``application/octet-stream``.
    """
    if content[128:132] == b"DICM":
        return DICOM
    if content.startswith(codestream.PNG_SIGNATURE):
        return PNG
    if content.startswith(b"\xff\xd8\xff"):
        return JPEG
    return DICOM if _begins_as_dataset(content) else UNKNOWN


def _begins_as_dataset(content: bytes) -> bool:
    head = content[:8]
    if len(head) < 8 or head[:2] not in {b"\x02\x00", b"\x08\x00", b"\x00\x08"}:
        return False
    if _has_vr(head):
        return True
    length = int.from_bytes(head[4:8], "little")
    return head[1] == 0 and head[3] < 0x40 and length % 2 == 0 and 8 + length <= len(content)


def _has_vr(head: bytes) -> bool:
    return head[4:6].isalpha() and head[4:6].isupper()


def read_header(content: bytes) -> Header:
    """Return what the appliance uses of the header of a DICOM, PNG or JPEG file.

    Parameters
    ----------
    content
        The whole file. Its pixels are not touched.

    Raises
    ------
    NotAnImageError
        The bytes are none of the three, or so damaged that no header can be read.
    UnsupportedError
        The data set is deflated (PS3.5 A.5).
    """
    media_type = sniff(content)
    if media_type == DICOM:
        return header_of(parse(content, pixels=False))
    if media_type == UNKNOWN:
        raise NotAnImageError(
            "The file is no DICOM, PNG or JPEG image. Send the image file itself."
        )
    return _picture_header(content, media_type)


def parse(content: bytes, *, pixels: bool) -> Dataset:
    """Return the data set of a DICOM file; its `file_meta` names the transfer syntax used.

    Parameters
    ----------
    content
        Part 10 bytes; the preamble, the file meta information or both may be missing.
    pixels
        Whether to read on into the pixel data; without, the data set ends before it.

    Raises
    ------
    NotAnImageError
        The bytes cannot be parsed.
    UnsupportedError
        The data set is deflated: it is refused before a byte of it is inflated.
    """
    with quiet():
        try:
            return _parse(content, pixels=pixels)
        except PARSER_FAULTS as error:
            raise NotAnImageError(
                "The DICOM file is damaged: its header cannot be read. Send it again."
            ) from error


def _parse(content: bytes, *, pixels: bool) -> Dataset:
    stream = BytesIO(content)
    stream.seek(132 if content[128:132] == b"DICM" else 0)
    meta = FileMetaDataset()
    if content[stream.tell() : stream.tell() + 2] == b"\x02\x00":
        meta = FileMetaDataset(
            read_dataset(stream, False, True, stop_when=_outside_meta)  # noqa: FBT003
        )
    syntax = _transfer_syntax(meta, content[stream.tell() : stream.tell() + 8])
    stop = _after_pixels if pixels else _at_pixels
    implicit = syntax == uid.ImplicitVRLittleEndian
    little = syntax != uid.ExplicitVRBigEndian
    dataset = read_dataset(stream, implicit, little, stop_when=stop)
    meta.TransferSyntaxUID = syntax
    dataset.file_meta = meta
    if not len(dataset):
        raise ValueError("no elements")
    return dataset


def _transfer_syntax(meta: FileMetaDataset, head: bytes) -> uid.UID:
    named = uid.UID(str(meta.get("TransferSyntaxUID", "") or "").strip("\x00 "))
    if named in {uid.DeflatedExplicitVRLittleEndian, uid.JPIPHTJ2KReferencedDeflate}:
        raise UnsupportedError(
            "The file is deflated, which this box does not open. Set the sender to transfer"
            " syntax Explicit VR Little Endian.",
            code="unsupported_transfer_syntax",
        )
    if named in {uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian}:
        return named
    # Every other syntax of the Standard is Explicit VR Little Endian around its pixels (PS3.5
    # A.4), those too that pydicom does not know yet.
    if named.startswith("1.2.840.10008.1.2."):
        return named
    # Without a name, or with a private one: the first element shows the encoding (PS3.5 7.1).
    if head[:1] == b"\x00":
        return uid.ExplicitVRBigEndian
    return uid.ExplicitVRLittleEndian if _has_vr(head) else uid.ImplicitVRLittleEndian


def _outside_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 2


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group == 0x7FE0


def _after_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    # Stray item delimiters (FFFE) at the top level are skipped: machines write them.
    return 0x7FE0 < tag.group < 0xFFFE


def header_of(dataset: Dataset) -> Header:
    """Return what the appliance uses of `dataset` (as `parse` gives it). Never raises."""
    meta = dataset.file_meta
    with quiet():
        return Header(
            sop_instance_uid=_uid(dataset, "SOPInstanceUID")
            or _uid(meta, "MediaStorageSOPInstanceUID"),
            sop_class_uid=_uid(dataset, "SOPClassUID") or _uid(meta, "MediaStorageSOPClassUID"),
            study_instance_uid=_uid(dataset, "StudyInstanceUID"),
            series_instance_uid=_uid(dataset, "SeriesInstanceUID"),
            transfer_syntax_uid=_uid(meta, "TransferSyntaxUID"),
            modality=_word(dataset, "Modality"),
            body_part_examined=_word(dataset, "BodyPartExamined"),
            view_position=_word(dataset, "ViewPosition"),
            patient_id=text(dataset, "PatientID"),
            patient_name=text(dataset, "PatientName"),
            patient_birth_date=_date(dataset, "PatientBirthDate"),
            patient_sex=_word(dataset, "PatientSex"),
            patient_age_years=_age_years(dataset),
            accession_number=text(dataset, "AccessionNumber"),
            study_date=_date(dataset, "StudyDate"),
            study_description=text(dataset, "StudyDescription"),
            station_name=text(dataset, "StationName"),
            manufacturer=text(dataset, "Manufacturer"),
            photometric_interpretation=_word(dataset, "PhotometricInterpretation"),
            rows=number(dataset, "Rows"),
            columns=number(dataset, "Columns"),
            number_of_frames=number(dataset, "NumberOfFrames") or 1,
            pixel_spacing_mm=_spacing_mm(dataset),
        )


def value_of(dataset: Dataset, keyword: str) -> Any:
    """Return the value of an element, or None when it is missing, empty or damaged."""
    try:
        value = dataset.get(keyword)
    except PARSER_FAULTS:
        return None
    return value


def text(dataset: Dataset, keyword: str) -> str | None:
    """Return an element as printable text of at most 256 characters, or None."""
    value = value_of(dataset, keyword)
    if value is None:
        return None
    try:
        raw = "\\".join(str(part) for part in value) if _is_list(value) else str(value)
    except PARSER_FAULTS:
        return None
    clean = "".join(c for c in raw if c.isprintable()).strip()
    return clean[:_TEXT_LIMIT] or None


def number(dataset: Dataset, keyword: str) -> int | None:
    """Return an element as a whole number of at least 0, or None when it does not hold one."""
    value = value_of(dataset, keyword)
    first = value[0] if _is_list(value) and len(value) else value
    try:
        whole = int(str(first).strip())
    except ValueError:
        return None
    return whole if 0 <= whole < 2**63 else None


def _is_list(value: Any) -> bool:
    return isinstance(value, (MultiValue, list, tuple))


def _word(dataset: Dataset, keyword: str) -> str | None:
    found = text(dataset, keyword)
    return None if found is None else found.upper()


def _uid(dataset: Dataset, keyword: str) -> str | None:
    found = text(dataset, keyword)
    return found if found and re.fullmatch(r"[0-9.]{1,64}", found) else None


def _date(dataset: Dataset, keyword: str) -> str | None:
    found = text(dataset, keyword)
    # ACR-NEMA wrote 1999.12.31 (PS3.5 6.2, DA); it is still met.
    digits = (found or "").replace(".", "")
    return digits if re.fullmatch(r"[0-9]{8}", digits) else None


def _age_years(dataset: Dataset) -> float | None:
    match = re.fullmatch(r"(\d{1,3})([DWMY])", text(dataset, "PatientAge") or "")
    # "000Y" is what a machine writes when nobody typed an age; a newborn has days or weeks.
    if match and match.group(0) != "000Y":
        per_year = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}[match.group(2)]
        return round(int(match.group(1)) / per_year, 3)
    born, seen = (_day(_date(dataset, key)) for key in ("PatientBirthDate", "StudyDate"))
    if born is None or seen is None:
        return None
    years = (seen - born).days / 365.25
    # Beyond it stands a filler such as 19000101, not a patient.
    return round(years, 3) if 0 <= years <= 115 else None


def _day(date: str | None) -> datetime | None:
    try:
        return datetime.strptime(date or "", "%Y%m%d").replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def _spacing_mm(dataset: Dataset) -> tuple[float, float] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        found = _pair(value_of(dataset, keyword), 1.0)
        if found is not None:
            return found
    return _ultrasound_spacing_mm(dataset)


def _ultrasound_spacing_mm(dataset: Dataset) -> tuple[float, float] | None:
    """Return the spacing of the ultrasound regions (PS3.3 C.8.5.5) when all of them agree."""
    found = set()
    for region in value_of(dataset, "SequenceOfUltrasoundRegions") or ():
        # Spatial format 1 is a 2D image, unit 3 is the centimetre; M-mode and Doppler regions
        # have other axes.
        if number(region, "RegionSpatialFormat") != 1:
            continue
        units = {number(region, f"PhysicalUnits{axis}Direction") for axis in "XY"}
        deltas = [value_of(region, f"PhysicalDelta{axis}") for axis in "YX"]
        found.add(_pair(deltas, 10.0) if units == {3} else None)
    return found.pop() if len(found) == 1 else None


def _pair(value: Any, scale: float) -> tuple[float, float] | None:
    if not _is_list(value) or len(value) != 2:
        return None
    try:
        first, second = (abs(float(part)) * scale for part in value)
    except (TypeError, ValueError):
        return None
    sane = all(math.isfinite(part) and 0.001 <= part <= 50.0 for part in (first, second))
    return (round(first, 6), round(second, 6)) if sane else None


def _picture_header(content: bytes, media_type: str) -> Header:
    size = codestream.png_size(content) if media_type == PNG else codestream.jpeg_size(content)
    if size is None:
        raise NotAnImageError("The picture is damaged: its size cannot be read. Send it again.")
    sha256 = hashlib.sha256(content).hexdigest()
    return Header(
        sop_instance_uid=derived_uid("picture", sha256),
        study_instance_uid=derived_uid("picture study", sha256),
        series_instance_uid=derived_uid("picture series", sha256),
        rows=size.rows,
        columns=size.columns,
    )
