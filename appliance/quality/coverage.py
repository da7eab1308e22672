"""Is all of both lungs on the film, and does the film fill the picture? The outline says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.quality.defects import Defect, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.quality.limits import Limits
    from appliance.quality.picture import Film

_EDGE = 0.01  # of the field's height: how near the edge an outline touches it


def measure_coverage(film: Film) -> dict[str, float]:
    """Measure the field, and how wide the lungs are where they run off it.

    Returns
    -------
    dict
        ``field_share`` (of the picture, 0 to 1); with lungs also ``cut_top`` and ``cut_bottom``:
        the lungs' width at the field's upper and lower edge, as a share of their greatest width. A
        whole lung ends in a tip before the edge and gives 0.
    """
    field, grey = film.field, film.grey
    values = {"field_share": field.width * field.height / grey.size}
    if film.lungs is not None:
        widths = film.lungs.sum(axis=1)
        edge = max(1, round(_EDGE * field.height))
        widest = float(widths.max())
        values["cut_top"] = float(widths[: field.top + edge].max()) / widest
        values["cut_bottom"] = float(widths[field.bottom - edge :].max()) / widest
    return values


def find_coverage(values: Mapping[str, float], limits: Limits) -> list[Defect]:
    """Say what is cut, and what is empty."""
    found = []
    if values.get("cut_top", 0.0) > limits.cut_top:
        found.append(
            Defect(
                "apices_cut",
                Severity.RETAKE,
                "This film is cut at the lung tops.",
                "Take it again with the cassette higher, or read it as it is.",
            )
        )
    if values.get("cut_bottom", 0.0) > limits.cut_bottom:
        found.append(
            Defect(
                "bases_cut",
                Severity.RETAKE,
                "This film is cut at the lower ends of the lungs.",
                "Take it again with the cassette lower, or read it as it is.",
            )
        )
    if values["field_share"] < limits.field_share:
        share = 100 * (1 - values["field_share"])
        found.append(
            Defect(
                "wide_borders",
                Severity.WARNING,
                f"Empty borders fill {share:.0f} % of this picture, so the lungs are small in it.",
                "Send the film without its borders, or set the collimation to the film's size.",
            )
        )
    return found
