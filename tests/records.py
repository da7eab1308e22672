"""Rows and values that tests put into a store."""

from __future__ import annotations

import hashlib

import numpy as np

from appliance.domain import (
    Explanation,
    Finding,
    Header,
    ModelRef,
    OperatingPoint,
    Quality,
    Reading,
    ReadingState,
    Reason,
    Source,
    Timings,
    Urgency,
)
from appliance.store.instances import NewInstance

MODEL = ModelRef("cxr-pneumonia", "1.0.0", "ab" * 32, "fake")
POINT = OperatingPoint("sensitivity 0.90", 0.4)


def new_instance(uid: str | None, *, quarantine: Reason | None = None, **header) -> NewInstance:
    """Return an instance as the one door would insert it."""
    return NewInstance(
        header=Header(sop_instance_uid=uid, study_instance_uid="1.2", modality="CR", **header),
        media_type="application/dicom",
        sha256=hashlib.sha256(str(uid).encode()).hexdigest(),
        size_bytes=100,
        source=Source.DICOM,
        station="ROOM1",
        quarantine=quarantine,
    )


def read(probability: float = 0.8) -> Reading:
    """Return a reading with one finding."""
    positive = probability >= POINT.threshold
    finding = Finding("pneumonia", "Pneumonia", probability, POINT, positive)
    return Reading(
        state=ReadingState.READ,
        reasons=(Reason("age_unknown", "The patient's age is unknown."),),
        model=MODEL,
        findings=(finding,),
        quality=Quality(fit=True, values={"contrast": 120.0}),
        urgency=Urgency.URGENT if positive else Urgency.ROUTINE,
        explanation=Explanation("pneumonia", np.full((7, 7), 200, np.uint8)),
        timings=Timings(decode=10.0, total=20.0),
        research={"pneumonia": probability},
    )


def without_numbers(state: ReadingState) -> Reading:
    """Return a reading that cannot answer."""
    return Reading(
        state=state,
        reasons=(Reason("why", "A sentence that says what to do."),),
        model=MODEL if state is ReadingState.ABSTAINED else None,
        urgency=Urgency.UNSURE if state is ReadingState.ABSTAINED else Urgency.WAITING,
        research={"pneumonia": 0.41} if state is ReadingState.ABSTAINED else {},
    )
