"""The words of the check: each defect has a code, what it means for the reading, and an advice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from appliance.domain import Reason


class Severity(str, Enum):
    """What a defect means for the reading.

    `RETAKE`: the film is not read unless a person asks for it. `WARNING`: it is read, and the
    defect is shown. `CORRECTED`: it is read after the correction, and that is shown.
    """

    RETAKE = "retake"
    WARNING = "warning"
    CORRECTED = "corrected"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Defect:
    """Something that is wrong with a film.

    Parameters
    ----------
    code
        Stable machine word.
    sentence, advice
        What it is, and what to do.
    """

    code: str
    severity: Severity
    sentence: str
    advice: str

    @property
    def reason(self) -> Reason:
        """The defect as a reading tells it."""
        return Reason(self.code, f"{self.sentence} {self.advice}")
