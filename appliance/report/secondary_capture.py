"""Secondary Capture Images (PS3.3 A.8.1): a reading that any archive shows, and wrapped pictures.

Pixels are RGB or grey, uncompressed Explicit VR Little Endian: what every archive takes.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from pydicom import Dataset, config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from appliance.dicom.uids import derived_uid
from appliance.domain import RESEARCH_ONLY, ReadingState
from appliance.errors import NotAnImageError, TooLargeError
from appliance.report.panel import draw_sheet

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from appliance.domain import Header, StoredInstance, StoredReading

    Picture = NDArray[np.uint8]

MANUFACTURER = "Waypost project"
_SERIES_NUMBER = 900  # well after a modality's own
_JPEG_START = b"\xff\xd8"
_MOST_PIXELS = 50_000_000  # more than any film; a bomb is stopped before it is unpacked

# What is copied from the source, so that the archive files the object under the same study:
# the Patient (C.7.1.1) and General Study (C.7.2.1) modules; type 2, so empty where unknown.
_COPIED = {
    "PatientName": "patient_name",
    "PatientID": "patient_id",
    "PatientBirthDate": "patient_birth_date",
    "PatientSex": "patient_sex",
    "StudyDate": "study_date",
    "AccessionNumber": "accession_number",
}
# Laterality (0020,0060) is absent for one of these and empty, unknown, for any other (C.7.3.1).
_UNPAIRED = frozenset({"ABDOMEN", "CHEST", "HEAD", "HEART", "NECK", "PELVIS", "SKULL", "UTERUS"})
_EMPTY = ("StudyTime", "StudyID", "ReferringPhysicianName", "PatientOrientation")


def result_uid(sop_instance_uid: str, reading_id: int) -> str:
    """Return the SOP Instance UID of the object that is made of a reading; always the same."""
    return derived_uid("result", sop_instance_uid, str(reading_id))


def build_result(  # noqa: PLR0913 - each is printed
    instance: StoredInstance,
    stored: StoredReading,
    film_png: bytes | None,
    heat_png: bytes | None,
    *,
    station_name: str,
    software_version: str,
    intended_use: str,
) -> bytes:
    """Return a reading as a DICOM file: the overlay, and what the box says at its edge.

    Parameters
    ----------
    instance, stored
        What was read, and the reading. Only one that is `READ` shows numbers or a heat map.
    film_png, heat_png
        What `overlay.film_png` and `overlay.heat_png` drew for it, or None.
    station_name, software_version
        For the equipment attributes (PS3.3 C.7.5.1).
    intended_use
        The model's intended use, printed on the picture.

    Returns
    -------
    bytes
        A file of PS3.10, the same for the same arguments.

    Raises
    ------
    NotAnImageError
        A drawing is no PNG.
    """
    sheet = draw_sheet(
        stored,
        None if film_png is None else _decoded(film_png, cv2.IMREAD_COLOR),
        None if heat_png is None else _decoded(heat_png, cv2.IMREAD_UNCHANGED),
        software_version=software_version,
        intended_use=intended_use,
    )
    header = instance.header
    source_uid = header.sop_instance_uid or derived_uid("picture", instance.sha256)
    study_uid = header.study_instance_uid or derived_uid("study", source_uid)
    dataset = _secondary_capture(header, study_uid, stored.created_at)
    dataset.SOPInstanceUID = result_uid(source_uid, stored.id)
    dataset.SeriesInstanceUID = derived_uid("results", study_uid, station_name)
    dataset.SeriesNumber = _SERIES_NUMBER
    dataset.SeriesDescription = _title(stored)
    dataset.InstanceNumber = stored.id
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = _derivation(stored)
    dataset.SourceImageSequence = [_reference(header, source_uid)]
    dataset.SoftwareVersions = software_version[:64]
    _put(dataset, "StationName", station_name[:16])
    dataset.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    dataset.SecondaryCaptureDeviceSoftwareVersions = software_version[:64]
    _put_pixels(dataset, sheet)
    return _file(dataset)


def wrap_picture(instance: StoredInstance, png_or_jpeg: bytes) -> bytes:
    """Return an uploaded PNG or JPEG as a DICOM file, under the instance's own UIDs.

    Parameters
    ----------
    instance
        The kept picture.
    png_or_jpeg
        Its bytes; shown as the picture is meant to be seen (EXIF orientation applied), 8 bits.

    Raises
    ------
    NotAnImageError
        The bytes are no PNG or JPEG.
    TooLargeError
        The picture has more pixels than any film.
    """
    if _announced_pixels(png_or_jpeg) > _MOST_PIXELS:
        raise TooLargeError("The picture has too many pixels to be sent as DICOM.")
    picture = _decoded(png_or_jpeg, cv2.IMREAD_COLOR)
    header = instance.header
    uid = header.sop_instance_uid or derived_uid("picture", instance.sha256)
    study_uid = header.study_instance_uid or derived_uid("study", uid)
    dataset = _secondary_capture(header, study_uid, instance.received_at)
    dataset.SOPInstanceUID = uid
    dataset.SeriesInstanceUID = header.series_instance_uid or derived_uid("pictures", study_uid)
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = 1
    dataset.ImageType = ["ORIGINAL", "SECONDARY"]
    if png_or_jpeg.startswith(_JPEG_START):
        # PS3.3 C.7.6.1.1.5: once lossy, always said.
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionRatio = f"{max(1.0, picture.size / len(png_or_jpeg)):.2f}"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
    grey = bool((picture == picture[..., :1]).all())
    if grey:
        _put_pixels(dataset, np.ascontiguousarray(picture[..., 0]))
    else:
        _put_pixels(dataset, cast("Picture", cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)))
    return _file(dataset)


def _secondary_capture(header: Header, study_uid: str, created_at: datetime) -> Dataset:
    """Return the attributes that both objects share, without pixels."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.InstanceCreationDate = created_at.strftime("%Y%m%d")
    dataset.InstanceCreationTime = created_at.strftime("%H%M%S")
    dataset.TimezoneOffsetFromUTC = "+0000"
    for keyword in _EMPTY:
        setattr(dataset, keyword, None)
    for keyword, name in _COPIED.items():
        _put(dataset, keyword, getattr(header, name))
    if header.study_description:
        _put(dataset, "StudyDescription", header.study_description)
    if header.body_part_examined:
        _put(dataset, "BodyPartExamined", header.body_part_examined)
    if (header.body_part_examined or "").upper() not in _UNPAIRED:
        dataset.Laterality = None
    _put(dataset, "StudyInstanceUID", study_uid)
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = "Waypost"
    # The picture comes with what a modality burned into it; nobody has looked whether it names
    # the patient.
    dataset.BurnedInAnnotation = "YES"
    return dataset


def _put(dataset: Dataset, keyword: str, value: str | None) -> None:
    """Set an element to what the source says, also where that is not quite to the Standard.

    The archive matches by these values; a corrected one would open another patient's folder.
    """
    tag = tag_for_keyword(keyword)
    if tag is None:  # pragma: no cover - the keywords above are the dictionary's
        raise KeyError(keyword)
    dataset[tag] = DataElement(
        tag, dictionary_VR(tag), value or None, validation_mode=config.IGNORE
    )


def _title(stored: StoredReading) -> str:
    """Return what a list of series says of the object, at most 64 characters (VR LO)."""
    model = stored.reading.model
    said = "Waypost: the box's reading"
    return f"{said} ({RESEARCH_ONLY})" if model is not None and model.research_only else said


def _derivation(stored: StoredReading) -> str:
    """Return what was done to the pixels, at most 1024 characters (VR ST)."""
    model = stored.reading.model
    if stored.reading.state is not ReadingState.READ or model is None:
        return "The film, made smaller, with a note of the box. No result of a model is shown."
    research = f" {RESEARCH_ONLY}." if model.research_only else ""
    return (
        f"The film, made smaller, with the evidence and the reading of {model.id} {model.version}"
        f" (sha256 {model.sha256[:12]}, {model.backend}).{research}"
    )[:1024]


def _reference(header: Header, source_uid: str) -> Dataset:
    """Return the item that names the source image (PS3.3 C.7.6.1.1.4)."""
    purpose = Dataset()
    purpose.CodeValue = "121322"
    purpose.CodingSchemeDesignator = "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    item = Dataset()
    _put(item, "ReferencedSOPClassUID", header.sop_class_uid or str(SecondaryCaptureImageStorage))
    _put(item, "ReferencedSOPInstanceUID", source_uid)
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def _put_pixels(dataset: Dataset, pixels: Picture) -> None:
    """Set the Image Pixel module (PS3.3 C.7.6.3) from uint8 grey or RGB pixels."""
    dataset.Rows, dataset.Columns = pixels.shape[0], pixels.shape[1]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    content = pixels.tobytes()
    dataset.add_new("PixelData", "OB", content + b"\0" * (len(content) % 2))


def _file(dataset: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(derived_uid("implementation", "waypost"))
    meta.ImplementationVersionName = "WAYPOST"
    dataset.file_meta = meta
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _announced_pixels(content: bytes) -> int:
    """Return rows times columns as a PNG's IHDR or a JPEG's frame header tell; 0 for neither."""
    if content.startswith(b"\x89PNG"):
        return int.from_bytes(content[16:20], "big") * int.from_bytes(content[20:24], "big")
    place = 2
    while content.startswith(_JPEG_START) and place + 9 <= len(content):
        kind = content[place + 1]
        if 0xC0 <= kind <= 0xCF and kind not in {0xC4, 0xC8, 0xCC}:  # ISO 10918-1 B.1.1.3
            rows, columns = content[place + 5 : place + 7], content[place + 7 : place + 9]
            return int.from_bytes(rows, "big") * int.from_bytes(columns, "big")
        # A fill byte (0xFF) may stand before a marker; every other segment tells its length.
        place += 1 if kind == 0xFF else 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return 0


def _decoded(content: bytes, mode: int) -> Picture:
    """Return the pixels of a PNG or JPEG in OpenCV's order."""
    raw = np.frombuffer(content, np.uint8)
    picture = cv2.imdecode(raw, mode) if raw.size else None
    if picture is None:
        raise NotAnImageError("What is kept is no readable PNG or JPEG.")
    return cast("Picture", picture)
