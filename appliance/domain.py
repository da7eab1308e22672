"""The nouns of the appliance: frozen values, no behaviour beyond what they are.

DICOM's words are the Standard's (PS3.3, PS3.6): an *instance* is a SOP Instance, *modality* is
element (0008,0060). Times are UTC and aware, names end in ``_at``; units stand in names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray


class _Word(str, Enum):
    """A closed set of words that are stored and printed as they are written."""

    def __str__(self) -> str:
        return str(self.value)


class ReadingState(_Word):
    """How a reading ended; only `READ` carries numbers."""

    READ = "read"
    ABSTAINED = "abstained"
    REFUSED = "refused"
    FAILED = "failed"


class InstanceState(_Word):
    """Where an instance stands on its way through the box."""

    ARRIVED = "arrived"
    READING = "reading"
    READ = "read"
    ABSTAINED = "abstained"
    REFUSED = "refused"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class Source(_Word):
    """The way by which an instance came in."""

    DICOM = "dicom"
    UPLOAD = "upload"
    SHELL = "shell"
    MEDIA = "media"


class Channel(_Word):
    """How a film became an image; a threshold belongs to one of them."""

    DIGITAL = "digital"
    PHOTOGRAPHED = "photographed"


class PointState(_Word):
    """How a threshold stands on this box."""

    SHIPPED = "shipped"
    CHOSEN = "chosen here"
    UNPROVED = "unproved here"


class ReferenceKind(_Word):
    """By what a person's true state was found, apart from the box."""

    SMEAR = "smear"
    CULTURE = "culture"
    MOLECULAR = "molecular"
    FOLLOW_UP = "follow-up"
    OTHER = "other"


class ReferenceOutcome(_Word):
    """What a reference test said."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    UNKNOWN = "unknown"


class Urgency(IntEnum):
    """Order of the reading worklist: the smaller, the sooner. Nothing is ever left out of it."""

    URGENT = 0
    UNSURE = 1
    WAITING = 2
    ROUTINE = 3


class Lane(IntEnum):
    """Order of the outbox: the smaller, the sooner (the little that matters most goes first)."""

    REPORT = 0
    PREVIEW = 1
    KEY_IMAGES = 2
    STUDY = 3


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an image was refused, failed or doubted, or what was corrected before it was read.

    Parameters
    ----------
    code
        Stable machine word, ``snake_case``.
    text
        One or two sentences for the person who acts: what happened, what to do.
    """

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Header:
    """What the appliance uses of a DICOM header; None where the file does not tell.

    A PNG or JPEG has none of it but its UIDs, which are derived from its content.
    Text is decoded by the file's own character set; `patient_age_years` comes from Patient's Age
    (0010,1010) or from birth and study date.
    """

    sop_instance_uid: str | None = None
    sop_class_uid: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    transfer_syntax_uid: str | None = None
    modality: str | None = None
    body_part_examined: str | None = None
    view_position: str | None = None
    patient_id: str | None = None
    patient_name: str | None = None
    patient_birth_date: str | None = None
    patient_sex: str | None = None
    patient_age_years: float | None = None
    accession_number: str | None = None
    study_date: str | None = None
    study_description: str | None = None
    station_name: str | None = None
    manufacturer: str | None = None
    photometric_interpretation: str | None = None
    rows: int | None = None
    columns: int | None = None
    number_of_frames: int = 1
    pixel_spacing_mm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """Pixels as a person would see them, and the header they came with.

    Parameters
    ----------
    pixels
        uint8, shape (rows, columns) for grey or (rows, columns, 3) for RGB; after modality LUT,
        VOI LUT or window, and polarity: 0 is black, bone is bright (MONOCHROME2's sense).
    header
        What the file says.
    notes
        What was doubtful or mended on the way (a window that clipped everything, a frame chosen).
    frame_index
        Which frame of a multi-frame instance this is, from 0.
    """

    pixels: NDArray[np.uint8]
    header: Header
    notes: tuple[Reason, ...] = ()
    frame_index: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """A rectangle of the image as displayed, in its pixels.

    Parameters
    ----------
    left, top
        The first column and row inside, from 0.
    right, bottom
        The first column and row beyond it.
    """

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Columns inside."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows inside."""
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class Kind:
    """What an image is, as the model of kinds tells it.

    Parameters
    ----------
    code
        ``frontal_chest``, ``breast_ultrasound``, ``fetal_head_ultrasound``, ``lung_ultrasound`` or
        ``other``: the kind that holds half of the answer or more, ``other`` where none does.
    share
        That kind's share of the answer, 0 to 1.
    sure
        Whether the share reaches the kind's operating point (one half where it has none).
    """

    code: str
    share: float
    sure: bool


# What stands beside every result of a model that is for research only.
RESEARCH_ONLY = "Research only"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model gave a result, and by which engine.

    Parameters
    ----------
    research_only
        The words *Research only* stand beside each of its results.
    """

    id: str
    version: str
    sha256: str
    backend: str
    research_only: bool = False


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold on the calibrated probability; it belongs to one model version.

    Parameters
    ----------
    state
        As its package brings it, chosen here (from reference results, or mapped by a paired run),
        or unproved here: another version or engine of the model has read here before.
    """

    name: str
    threshold: float
    state: PointState = PointState.SHIPPED

    @property
    def unproved_said(self) -> str:
        """What is said beside an answer at a threshold that is not proved here, or nothing."""
        if self.state is not PointState.UNPROVED:
            return ""
        return (
            "Unproved here: another version or engine of this model has read here before, and no "
            "paired run has shown that this operating point finds what that one found."
        )


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A model version and engine that has read here, in one channel."""

    model_id: str
    model_sha256: str
    backend: str
    channel: Channel


@dataclass(frozen=True, slots=True)
class ChosenPoint:
    """An operating point that this site chose, for one model version and one channel.

    Parameters
    ----------
    model_sha256
        The hash of the model (its CPU graph) that it was chosen for.
    output
        The code of the output that it decides.
    by, chosen_on
        Who chose it, and the day (ISO 8601).
    backend
        The engine whose answers a paired run compared; "" for a choice from reference results,
        which holds for the engine that this version read with first.
    """

    model_id: str
    model_version: str
    model_sha256: str
    output: str
    channel: Channel
    threshold: float
    by: str
    chosen_on: str
    backend: str = ""

    @property
    def name(self) -> str:
        """What a reading calls it."""
        how = "mapped" if self.backend else "chosen"
        return f"{how} here on {self.chosen_on} by {self.by}"


# Upper bounds in 100 (exclusive) of each word; the help page prints them.
PROBABILITY_WORDS: tuple[tuple[int, str], ...] = (
    (20, "unlikely"),
    (50, "possible"),
    (90, "likely"),
    (101, "very likely"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A probability after calibration, held against its operating point.

    Parameters
    ----------
    code, label
        Stable word, and its name for people.
    probability
        Calibrated, 0 to 1.
    positive
        Whether `probability` reaches the operating point's threshold.
    coverage
        The share of the films that it was tuned on, of each class (with the signs, and without),
        whose right answer is among those that the model leaves open; where both are, it abstains.
        None where the model has no such rule.
    """

    code: str
    label: str
    probability: float
    operating_point: OperatingPoint
    positive: bool
    coverage: float | None = None

    @property
    def signs(self) -> str:
        """What people are told of: signs of a disease, not the disease."""
        lower = self.label if self.label[1:2].isupper() else self.label.lower()
        return lower if lower.startswith("signs of") else f"signs of {lower}"

    @property
    def number(self) -> str:
        """The probability in 100 as people read it, halves up; never a certainty of 0 or 100."""
        value = self._in_100
        if value < 1:
            return "under 1"
        return "over 99" if value > 99 else str(value)

    @property
    def coverage_said(self) -> str:
        """What is said of `coverage` beside the answer, or nothing."""
        if self.coverage is None:
            return ""
        share = math.floor(self.coverage * 100 + 1e-9)
        return (
            f"It is set so that the right answer stays open for {share} in 100 of the films that "
            "it was tuned on, with these signs or without. Where both answers stay open, the box "
            "says “not sure”."
        )

    @property
    def word(self) -> str:
        """Unlikely, possible, likely or very likely, by the number that stands beside it."""
        return next(word for bound, word in PROBABILITY_WORDS if self._in_100 < bound)

    @property
    def _in_100(self) -> int:
        return math.floor(self.probability * 100 + 0.5)


@dataclass(frozen=True, slots=True)
class Measurement:
    """A length, ratio or age taken from the image."""

    code: str
    label: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Quality:
    """What the quality check saw; `reasons` says each defect with its advice.

    Parameters
    ----------
    fit
        Whether the image may be read.
    reasons
        Defects found, empty when none was.
    values
        The measured values behind them, for the technician: name to number.
    """

    fit: bool
    reasons: tuple[Reason, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)


# Beside every heat map.
HEAT_LIMITS = (
    "The map shows what moved the number, not where a disease is. It can point at the wrong place."
)


@dataclass(frozen=True, slots=True)
class Region:
    """Where the evidence is strongest, in a reader's words.

    Parameters
    ----------
    code, label
        ``left_lower`` and *left lower lung field*, ``left`` and *left lung*, or ``outside`` and
        *outside the lung fields*. Left is the patient's left: the right of a frontal film.
    """

    code: str
    label: str

    @property
    def place(self) -> str:
        """The label as a part of a sentence."""
        return self.label if self.code == "outside" else f"in the {self.label}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the model looked.

    Parameters
    ----------
    code
        The finding that it explains.
    heat
        uint8, (rows, columns) of a small grid over what the model was shown; 0 is no evidence, 255
        the model's full evidence for the finding. Row 0 is its top as displayed.
    frame
        The part of the image that the model was shown, or None: the whole image.
    region
        The name of the place, or None where there is no clear one or the lungs are not outlined.
    """

    code: str
    heat: NDArray[np.uint8]
    frame: Frame | None = None
    region: Region | None = None


@dataclass(frozen=True, slots=True)
class Outline:
    """A region that a model drew on the image.

    Parameters
    ----------
    code, label
        What the region is, for machines and for people.
    mask
        uint8, (rows, columns) of the image itself; 255 inside, 0 outside.
    """

    code: str
    label: str
    mask: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds a stage; 0 for a stage that was not reached."""

    decode: float = 0.0
    quality: float = 0.0
    preprocess: float = 0.0
    predict: float = 0.0
    explain: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The box's result for one instance.

    When `state` is not `READ`, `findings`, `measurements` and `outlines` are empty and
    `explanation` is None: no number leaves a reading that cannot answer. `research` (code to
    probability) is filled for whoever evaluates a model; nothing but ``waypost read --research``
    prints it.
    """

    state: ReadingState
    reasons: tuple[Reason, ...] = ()
    model: ModelRef | None = None
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    quality: Quality | None = None
    urgency: Urgency = Urgency.WAITING
    explanation: Explanation | None = None
    outlines: tuple[Outline, ...] = ()
    timings: Timings = Timings()
    research: Mapping[str, float] = field(default_factory=dict)

    @property
    def stopped_for_quality(self) -> bool:
        """Whether it was refused for its quality, so that a person may have it read anyway."""
        unfit = self.quality is not None and not self.quality.fit
        return unfit and self.state is ReadingState.REFUSED


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came in, before it is kept.

    Parameters
    ----------
    content
        The bytes of one file: DICOM Part 10, PNG or JPEG.
    source
        The way it came.
    station
        The sender's AE title, or a file name without its folder; never a patient identifier.
    address
        The sender's network address, or None.
    """

    content: bytes
    source: Source
    station: str = ""
    address: str | None = None


class AdmissionOutcome(_Word):
    """How the one door answered. All but `REJECTED` mean: the bytes are durable on this box."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Admission:
    """The one door's answer for one file.

    Parameters
    ----------
    outcome
        `REJECTED` only when the store could not keep the bytes (a full disk) or they are larger
        than the box accepts.
    reason
        Why it was quarantined or rejected, or None.
    """

    outcome: AdmissionOutcome
    sop_instance_uid: str | None = None
    instance_id: int | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """One row of the instance table: what is known of an instance that the box keeps.

    Parameters
    ----------
    media_type
        ``application/dicom``, ``image/png``, ``image/jpeg`` or ``application/octet-stream``.
    sha256
        Storage key of its bytes; its identity is the SOP Instance UID.
    quarantine
        Why it is quarantined, or None.
    """

    id: int
    header: Header
    state: InstanceState
    urgency: Urgency
    media_type: str
    sha256: str
    size_bytes: int
    source: Source
    station: str
    received_at: datetime
    quarantine: Reason | None = None


@dataclass(frozen=True, slots=True)
class StoredReading:
    """A reading as it is kept, with what was drawn for it.

    Parameters
    ----------
    artifacts
        Kind (``film``, ``thumb``, ``heat``) to the sha256 of a PNG in the file store.
    """

    id: int
    instance_id: int
    reading: Reading
    created_at: datetime
    artifacts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorklistEntry:
    """One line of the reading worklist."""

    instance: StoredInstance
    reading: StoredReading | None
    deliveries_open: int
    deliveries_done: int
    deliveries_dead: int


@dataclass(frozen=True, slots=True)
class ReferenceResult:
    """What a test that does not depend on the box said of a study.

    Parameters
    ----------
    result_on
        The day of the result, ISO 8601 (``2026-03-01``).
    strata
        Local columns: name to value, never a patient's name or number.
    """

    study_instance_uid: str
    kind: ReferenceKind
    outcome: ReferenceOutcome
    result_on: str
    entered_by: str
    strata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadAnyway:
    """A person's wish that a film be read which the quality check stopped.

    Parameters
    ----------
    actor, why
        The person's name and reason, as they were typed.
    """

    actor: str
    why: str
    asked_at: datetime


class ItemKind(_Word):
    """What an outbox item hands on."""

    INSTANCE = "instance"
    RESULT = "result"


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """Something that a target must get: at least once on the wire, once in effect.

    Parameters
    ----------
    object_uid
        SOP Instance UID of the object that is sent; the same at each try.
    tries
        How often it was sent already.
    """

    id: int
    target: str
    kind: ItemKind
    instance_id: int
    lane: Lane
    object_uid: str
    tries: int
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One self-test: what was looked at, whether it is well, and what to do if it is not."""

    code: str
    label: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """What a person must be able to see of a model, one tap away from each of its results."""

    id: str
    version: str
    sha256: str
    backend: str
    title: str
    intended_use: str
    limits: str
    research_only: bool


@dataclass(frozen=True, slots=True)
class SystemReport:
    """What the system page, ``waypost status`` and ``waypost check`` tell a technician."""

    station_name: str
    ae_title: str
    dicom_address: str
    software_version: str
    checks: tuple[Check, ...]
    models: tuple[ModelSummary, ...]
    backends: Mapping[str, str]
    disk_free_bytes: int
    disk_total_bytes: int
    targets: tuple[str, ...]
