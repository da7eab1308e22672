"""What the receiver offers: the Storage SOP Classes it keeps and the encodings it takes them in.

Which of them a model reads is decided by the pipeline; the list here is about what is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom import uid

if TYPE_CHECKING:
    from collections.abc import Mapping

# PS3.4 B.5; the two retired ultrasound forms are still what old machines send.
STORAGE_SOP_CLASSES: Mapping[str, str] = {
    str(uid.ComputedRadiographyImageStorage): "Computed Radiography",
    str(uid.DigitalXRayImageStorageForPresentation): "Digital X-Ray, for presentation",
    str(uid.DigitalXRayImageStorageForProcessing): "Digital X-Ray, for processing",
    str(uid.UltrasoundImageStorage): "Ultrasound",
    str(uid.UltrasoundMultiFrameImageStorage): "Ultrasound, multi-frame",
    "1.2.840.10008.5.1.4.1.1.6": "Ultrasound (retired)",
    "1.2.840.10008.5.1.4.1.1.3": "Ultrasound, multi-frame (retired)",
    str(uid.SecondaryCaptureImageStorage): "Secondary Capture",
    str(uid.MultiFrameSingleBitSecondaryCaptureImageStorage): (
        "Secondary Capture, multi-frame, single bit"
    ),
    str(uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage): (
        "Secondary Capture, multi-frame, greyscale byte"
    ),
    str(uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage): (
        "Secondary Capture, multi-frame, greyscale word"
    ),
    str(uid.MultiFrameTrueColorSecondaryCaptureImageStorage): (
        "Secondary Capture, multi-frame, true colour"
    ),
}

# An acceptor takes the first of its own list that the sender proposed, so the compressed forms
# come first: what lies compressed on the modality then travels as it is. Deflated is not offered:
# 400 kB of it can ask for 800 MB while its header is parsed. JPEG 12 bit is kept, and the
# reading says what to change on the machine.
TRANSFER_SYNTAXES: tuple[str, ...] = tuple(
    str(syntax)
    for syntax in (
        uid.JPEG2000Lossless,
        uid.JPEGLSLossless,
        uid.JPEGLosslessSV1,
        uid.JPEGLossless,
        uid.HTJ2KLossless,
        uid.HTJ2KLosslessRPCL,
        uid.RLELossless,
        uid.JPEGBaseline8Bit,
        uid.JPEGExtended12Bit,
        uid.JPEG2000,
        uid.HTJ2K,
        uid.JPEGLSNearLossless,
        uid.ExplicitVRLittleEndian,
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
    )
)


def describe(sop_class_uid: str | None) -> str:
    """Return what a SOP Class is, in words; the UID itself for one that is not in the table."""
    if sop_class_uid is None:
        return "unknown"
    return STORAGE_SOP_CLASSES.get(sop_class_uid) or uid.UID(sop_class_uid).name
