"""How soon a person should look: the order of the reading worklist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain import ReadingState, Urgency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.domain import Finding


def urgency_of(state: ReadingState, findings: Sequence[Finding] = ()) -> Urgency:
    """Return the urgency of a reading.

    A finding at or above its operating point is urgent. An abstained reading comes before what
    the box read without a finding, since nobody has read it yet; so do refused and failed ones.
    No state takes a case out of the list.
    """
    if state is ReadingState.READ:
        if any(finding.positive for finding in findings):
            return Urgency.URGENT
        return Urgency.ROUTINE
    if state is ReadingState.ABSTAINED:
        return Urgency.UNSURE
    return Urgency.WAITING
