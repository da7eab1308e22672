"""A film, an explanation and readings of every state, as the pipeline would hand them over."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.domain import (
    Explanation,
    Finding,
    Header,
    InstanceState,
    Measurement,
    ModelRef,
    OperatingPoint,
    Reading,
    ReadingState,
    Reason,
    Region,
    Source,
    StoredInstance,
    StoredReading,
    Urgency,
)

AT = datetime(2026, 11, 24, 21, 5, 7, tzinfo=timezone.utc)
MODEL = ModelRef("cxr-pneumonia", "1.0.0", "ab12cd34" * 8, "onnxruntime-cpu")


def film(rows: int = 600, columns: int = 480) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:rows, 0:columns]
    shade = 40 + 60 * (y / rows) + 40 * np.sin(x / columns * np.pi)
    return shade.astype(np.uint8)


def explanation(top: int = 255) -> Explanation:
    y, x = np.mgrid[0:9, 0:9]
    heat = top * np.exp(-((y - 5.0) ** 2 + (x - 6.0) ** 2) / 2.4)
    region = Region("left_lower", "left lower lung field")
    return Explanation("pneumonia", heat.astype(np.uint8), region=region)


def finding(probability: float = 0.82, threshold: float = 0.41) -> Finding:
    point = OperatingPoint("high_sensitivity", threshold)
    return Finding("pneumonia", "Pneumonia", probability, point, probability >= threshold)


def reading(state: ReadingState = ReadingState.READ, **more: Any) -> Reading:
    if state is ReadingState.READ:
        more.setdefault("findings", (finding(),))
        ratio = Measurement("cardiothoracic_ratio", "Cardiothoracic ratio", 0.52, "")
        more.setdefault("measurements", (ratio,))
    else:
        more.setdefault("reasons", (Reason("why", "The film is cut at the lung tops."),))
    model = None if state is ReadingState.FAILED else MODEL
    return Reading(**{"state": state, "model": model, **more})


def stored(read: Reading | None = None, reading_id: int = 3) -> StoredReading:
    return StoredReading(reading_id, 1, read or reading(), AT)


def instance(media_type: str = "application/dicom", **header: Any) -> StoredInstance:
    known: dict[str, Any] = {
        "sop_instance_uid": "1.2.3.4.5",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1",
        "study_instance_uid": "1.2.3.4",
        "patient_id": "P1",
        "patient_name": "Müller^Zoë",
        "patient_birth_date": "20230401",
        "patient_sex": "F",
        "study_date": "20261124",
        "study_description": "Chest",
        "accession_number": "A1",
        "body_part_examined": "CHEST",
    }
    return StoredInstance(
        id=1,
        header=Header(**{**known, **header}),
        state=InstanceState.READ,
        urgency=Urgency.URGENT,
        media_type=media_type,
        sha256="0" * 64,
        size_bytes=1,
        source=Source.DICOM,
        station="XR",
        received_at=AT,
    )
