"""A reading as the machine-readable line of ``waypost read --json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from appliance.domain import ReadingState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from appliance.domain import Explanation, ModelRef, Quality, Reading


def json_line(
    source: str, sop_instance_uid: str | None, reading: Reading, *, research: bool = False
) -> dict[str, Any]:
    """Return the JSON object that says what became of one image.

    Parameters
    ----------
    source
        The path as the caller gave it.
    research
        Adds ``research.probabilities``, also for a reading that abstained; nothing else prints
        them.

    Notes
    -----
    ``findings`` and ``measurements`` are empty unless the state is ``read``: no number leaks.
    ``model`` has the key ``research_only`` only where it is true.
    """
    is_read = reading.state is ReadingState.READ
    line: dict[str, Any] = {
        "source": source,
        "sop_instance_uid": sop_instance_uid,
        "state": str(reading.state),
        "reasons": [asdict(reason) for reason in reading.reasons],
        "model": model_object(reading.model),
        "findings": [asdict(finding) for finding in reading.findings] if is_read else [],
        "measurements": [asdict(item) for item in reading.measurements] if is_read else [],
        "explanation": explanation_object(reading.explanation) if is_read else None,
        "quality": quality_object(reading.quality),
        "timings_ms": {key: round(value, 3) for key, value in asdict(reading.timings).items()},
    }
    if research:
        line["research"] = {"probabilities": dict(reading.research)}
    return line


def model_object(model: ModelRef | None) -> dict[str, Any] | None:
    """Return the model of a result as a JSON object."""
    if model is None:
        return None
    said = asdict(model)
    if not model.research_only:
        del said["research_only"]
    return said


def explanation_object(explanation: Explanation | None) -> dict[str, Any] | None:
    """Return which finding was explained, and the name of the place with most of the evidence."""
    if explanation is None:
        return None
    region = explanation.region
    return {"finding": explanation.code, "region": None if region is None else asdict(region)}


def quality_object(quality: Quality | None) -> Mapping[str, Any]:
    """Return the quality check as a JSON object; empty when it was not reached."""
    if quality is None:
        return {}
    return {
        "fit": quality.fit,
        "reasons": [asdict(reason) for reason in quality.reasons],
        "values": {name: round(value, 4) for name, value in quality.values.items()},
    }
