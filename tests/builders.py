"""Bytes of synthetic files, as machines send them: DICOM, PNG, JPEG, ZIP. Deterministic."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

CR = str(uid.ComputedRadiographyImageStorage)
US = str(uid.UltrasoundImageStorage)
US_MULTI_FRAME = str(uid.UltrasoundMultiFrameImageStorage)
SC = str(uid.SecondaryCaptureImageStorage)
EXPLICIT = str(uid.ExplicitVRLittleEndian)
IMPLICIT = str(uid.ImplicitVRLittleEndian)
BIG_ENDIAN = str(uid.ExplicitVRBigEndian)
RLE = str(uid.RLELossless)


def film(rows: int = 64, columns: int = 48, *, bits: int = 12) -> NDArray[np.uint16]:
    """Return a grey ramp with a bright square: uint16, 0 to 2**bits - 1, bright is high."""
    top = 2**bits - 1
    y, x = np.mgrid[0:rows, 0:columns]
    pixels = (x / max(1, columns - 1) * 0.6 + y / max(1, rows - 1) * 0.2) * top
    pixels[rows // 4 : rows // 2, columns // 4 : columns // 2] = top
    return pixels.astype(np.uint16)


def dataset(
    *,
    sop_class_uid: str = CR,
    sop_instance_uid: str = "1.2.3.4.5",
    patient_id: str = "P1",
    modality: str = "CR",
    **elements: Any,
) -> Dataset:
    """Return a data set without pixels; further elements by their keywords."""
    ds = Dataset()
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID = sop_instance_uid
    ds.StudyInstanceUID = "1.2.3.4"
    ds.SeriesInstanceUID = "1.2.3.4.1"
    ds.Modality = modality
    ds.PatientID = patient_id
    ds.PatientName = "Test^Patient"
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def encode(ds: Dataset, *, transfer_syntax: str = EXPLICIT, part10: bool = True) -> bytes:
    """Return the data set as bytes: Part 10, or bare without `part10`."""
    syntax = uid.UID(transfer_syntax)
    stream = io.BytesIO()
    if part10:
        ds.file_meta = FileMetaDataset()
        ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", CR)
        ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2.3.4.5")
        ds.file_meta.TransferSyntaxUID = syntax
        dcmwrite(stream, ds, enforce_file_format=True)
    else:
        dcmwrite(
            stream, ds, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian
        )
    return stream.getvalue()


def with_pixels(
    ds: Dataset,
    pixels: NDArray[Any],
    *,
    photometric: str,
    bits: int,
    frames: int = 1,
    transfer_syntax: str = EXPLICIT,
) -> bytes:
    """Return Part 10 bytes of `ds` with `pixels`.

    `pixels` is (rows, columns), (rows, columns, 3) or, with `frames` > 1, one of them behind a
    leading frame axis; native, big endian and RLE are written.
    """
    shape = pixels.shape[1:] if frames > 1 else pixels.shape
    wide = pixels.dtype.itemsize
    ds.Rows, ds.Columns = shape[0], shape[1]
    ds.SamplesPerPixel = 3 if len(shape) == 3 else 1
    ds.PhotometricInterpretation = photometric
    ds.BitsAllocated = 8 * wide
    ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = 0
    if frames > 1:
        ds.NumberOfFrames = frames
    big = transfer_syntax == BIG_ENDIAN
    raw = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OW" if wide == 2 else "OB"
    if transfer_syntax == RLE:
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        ds.compress(RLE, generate_instance_uid=False)
    return encode(ds, transfer_syntax=transfer_syntax)


def make_cr(
    *,
    rows: int = 64,
    columns: int = 48,
    photometric: str = "MONOCHROME2",
    bits: int = 12,
    sop_instance_uid: str = "1.2.3.4.5",
    patient_id: str = "P1",
    transfer_syntax: str = EXPLICIT,
    pixels: NDArray[Any] | None = None,
    **elements: Any,
) -> bytes:
    """Return a chest film as CR sends it; `elements` by keyword go into the header.

    Without `pixels`, the ramp of `film` is shown: its bright square is stored low when
    `photometric` is MONOCHROME1, so that it is displayed bright either way.
    """
    if pixels is None:
        shown = film(rows, columns, bits=bits)
        pixels = (2**bits - 1 - shown) if photometric == "MONOCHROME1" else shown
        pixels = pixels.astype(np.uint8 if bits <= 8 else np.uint16)
    ds = dataset(
        sop_instance_uid=sop_instance_uid,
        patient_id=patient_id,
        **{"BodyPartExamined": "CHEST", "ViewPosition": "PA", "PatientAge": "040Y", **elements},
    )
    return with_pixels(
        ds, pixels, photometric=photometric, bits=bits, transfer_syntax=transfer_syntax
    )


def make_us(
    *,
    rows: int = 48,
    columns: int = 64,
    frames: int = 1,
    colour: bool = True,
    sop_instance_uid: str = "1.2.3.4.6",
    patient_id: str = "P1",
    transfer_syntax: str = EXPLICIT,
    **elements: Any,
) -> bytes:
    """Return an ultrasound image, RGB or 8-bit grey; frame n has n at its top left pixel."""
    grey = film(rows, columns, bits=8).astype(np.uint8)
    image = np.dstack([grey, grey // 2, 255 - grey]) if colour else grey
    pixels = np.stack([image] * frames) if frames > 1 else image
    if frames > 1:
        pixels[:, 0, 0] = np.arange(frames, dtype=np.uint8).reshape(-1, *[1] * (image.ndim - 2))
    ds = dataset(
        sop_class_uid=US_MULTI_FRAME if frames > 1 else US,
        sop_instance_uid=sop_instance_uid,
        patient_id=patient_id,
        modality="US",
        **elements,
    )
    return with_pixels(
        ds,
        pixels,
        photometric="RGB" if colour else "MONOCHROME2",
        bits=8,
        frames=frames,
        transfer_syntax=transfer_syntax,
    )


def make_encapsulated(
    stream: bytes | list[bytes], *, transfer_syntax: str, rows: int, columns: int, **elements: Any
) -> bytes:
    """Return a CR whose pixel data holds `stream` (one frame, or one a list entry)."""
    frames = stream if isinstance(stream, list) else [stream]
    ds = dataset(**elements)
    ds.Rows, ds.Columns = rows, columns
    for keyword, value in {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    }.items():
        if keyword not in ds:
            setattr(ds, keyword, value)
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return encode(ds, transfer_syntax=transfer_syntax)


def make_sr(*, sop_instance_uid: str = "1.2.3.4.7") -> bytes:
    """Return a DICOM object that is no image."""
    ds = dataset(
        sop_class_uid=str(uid.BasicTextSRStorage),
        sop_instance_uid=sop_instance_uid,
        modality="SR",
        ValueType="CONTAINER",
    )
    return encode(ds)


def make_png(pixels: NDArray[Any] | None = None) -> bytes:
    """Return a PNG of `pixels` (grey, BGR or BGRA; uint8 or uint16)."""
    if pixels is None:
        pixels = film(bits=8).astype(np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


def make_jpeg(pixels: NDArray[Any] | None = None, *, orientation: int | None = None) -> bytes:
    """Return a JPEG of `pixels` (grey or BGR, uint8), with an EXIF orientation when given."""
    if pixels is None:
        pixels = film(bits=8).astype(np.uint8)
    plain = bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    if orientation is None:
        return plain
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain[2:]


def make_zip(entries: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> bytes:
    """Return a ZIP of the entries, deflated."""
    pairs = entries.items() if hasattr(entries, "items") else entries
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pairs:
            archive.writestr(name, content)
    return stream.getvalue()


def make_nested(depth: int) -> bytes:
    """Return a Part 10 file whose data set nests sequences `depth` deep (undefined lengths)."""
    head = encode(dataset())
    sequence = b"\x08\x00\x15\x11SQ\0\0" + b"\xff" * 4
    item = b"\xfe\xff\x00\xe0" + b"\xff" * 4
    return head + (sequence + item) * depth
