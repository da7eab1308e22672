"""The words, shapes and numbers of the pages; pure, so that a test can hold each of them.

A state is never told by colour alone: each has a key (its colour in the style sheet and its shape
in the page), a word, and the same shape as a character for text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timezone
from typing import TYPE_CHECKING

from appliance.domain import InstanceState, Urgency

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from appliance.domain import Header, Measurement


@dataclass(frozen=True, slots=True)
class StateWord:
    """How a state is said and drawn, and what it means for the person who reads it."""

    key: str
    word: str
    shape: str
    meaning: str


_STATES = (
    StateWord("urgent", "urgent", "▲", "The box sees signs of disease. Look at this one first."),
    StateWord("unsure", "not sure", "◆", "The box cannot tell. A person should read this first."),
    StateWord("unfit", "not fit to read", "▢", "The box did not read this film, and says why."),
    StateWord("failed", "failed", "✕", "The box could not finish. Read the film yourself."),
    StateWord("read", "read", "●", "The box has read this film. It waits for a person."),
    StateWord("reviewed", "reviewed", "✓", "A person has confirmed or overruled the reading."),
    StateWord("sent", "sent", "➤", "Everything for the distant hospital has been delivered."),
    StateWord("aside", "kept aside", "⊟", "The file is safe on the box, but it is not read."),
    StateWord("reading", "being read", "◐", "The box reads this film now."),
    StateWord("arrived", "arrived", "○", "The film is safe on the box and waits for its turn."),
    StateWord("unsent", "not delivered", "!", "The far side refused it. Send it again."),
)
STATES: Mapping[str, StateWord] = {state.key: state for state in _STATES}

_BY_INSTANCE_STATE: Mapping[InstanceState, str] = {
    InstanceState.ARRIVED: "arrived",
    InstanceState.READING: "reading",
    InstanceState.READ: "read",
    InstanceState.ABSTAINED: "unsure",
    InstanceState.REFUSED: "unfit",
    InstanceState.FAILED: "failed",
    InstanceState.QUARANTINED: "aside",
}

# What the study page says, large, where no number may stand; and what to do then.
HEADLINES: Mapping[str, tuple[str, str]] = {
    "unsure": ("Not sure: a person should read this first", "Read the film as you always do."),
    "unfit": ("Not read", "Follow the advice, or read the film as it is."),
    "failed": (
        "The box could not read this film",
        "Read it yourself. If it happens again, tell your technician: the system page says more.",
    ),
    "aside": ("Kept aside", "Your technician can look into it. Send the film again if you can."),
    "reading": ("Being read now", "The reading appears here by itself."),
    "arrived": ("Waiting to be read", "The reading appears here by itself."),
}


def state_word(state: InstanceState, urgency: Urgency, *, reviewed: bool = False) -> StateWord:
    """Return how a case stands: reviewed before all else, and urgent only when it was read."""
    if reviewed:
        return STATES["reviewed"]
    if state is InstanceState.READ and urgency is Urgency.URGENT:
        return STATES["urgent"]
    return STATES[_BY_INSTANCE_STATE[state]]


def waiting(seconds: float) -> str:
    """Return a length of waiting in its largest useful unit."""
    minutes = int(max(seconds, 0.0) // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // (24 * 60)} days"


def patient_name(name: str | None) -> str:
    """Return a DICOM person name (PS3.5 6.2.1) for people: family name, then the others."""
    groups = [group for group in (name or "").split("=") if group.strip("^ ")]
    if not groups:
        return "no name"
    family, *others = [part.strip() for part in groups[0].split("^")]
    rest = " ".join(part for part in others if part)
    return ", ".join(part for part in (family, rest) if part)


def age(years: float | None) -> str:
    """Return an age: years, below two years in months."""
    if years is None:
        return "age unknown"
    if years < 2:
        months = int(years * 12)
        return "1 month" if months == 1 else f"{months} months"
    return f"{int(years)} years"


def sex(code: str | None) -> str:
    """Return Patient's Sex (0010,0040) as a word."""
    return {"M": "male", "F": "female", "O": "other sex"}.get(code or "", "sex unknown")


_MODALITIES: Mapping[str, str] = {"CR": "X-ray", "DX": "X-ray", "DR": "X-ray", "US": "ultrasound"}


def examination(header: Header) -> str:
    """Return modality, body part and view in plain words, or what is known of them."""
    kind = _MODALITIES.get(header.modality or "", header.modality or "image")
    parts = (kind, (header.body_part_examined or "").lower(), header.view_position or "")
    return " ".join(part for part in parts if part)


def measured(item: Measurement) -> str:
    """Return a measurement with its unit; days of gestation as weeks and days."""
    if item.unit in {"d", "day", "days"}:
        days = round(item.value)
        return f"{days // 7} weeks {days % 7} days"
    if item.unit in {"", "1"}:
        return f"{item.value:.2f}"
    return f"{item.value:.1f} {item.unit}"


def size(count: float) -> str:
    """Return a number of bytes in decimal units."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def when(moment: datetime) -> str:
    """Return a time in the zone of the box, with that zone's name."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M %Z")


def machine_time(moment: datetime) -> str:
    """Return a time for the ``datetime`` attribute, in UTC."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
