"""All families of defects, one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from appliance.domain import Quality
from appliance.quality.coverage import find_coverage, measure_coverage
from appliance.quality.defects import Defect, Severity
from appliance.quality.exposure import find_exposure, measure_exposure
from appliance.quality.fitted import LIMITS
from appliance.quality.sharpness import find_sharpness, measure_sharpness
from appliance.quality.side import find_side, measure_side
from appliance.quality.stance import find_stance
from appliance.quality.whole import find_whole, measure_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from appliance.quality.limits import Limits
    from appliance.quality.picture import Film
    from appliance.quality.stance import Stance
    from appliance.quality.whole import Bounds

_UNOUTLINED = Defect(
    "lungs_not_outlined",
    Severity.WARNING,
    "The lung fields could not be outlined, so it is not known whether they are cut or blurred.",
    "Look at this film with care.",
)


def measure_film(film: Film, limits: Limits = LIMITS) -> dict[str, float]:
    """Measure an upright film; without lungs only its field and its grey range."""
    return {
        **measure_coverage(film),
        **measure_exposure(film),
        **measure_sharpness(film),
        **measure_side(film, limits),
    }


def check_quality(pixels: NDArray[np.uint8], bounds: Bounds) -> Quality:
    """Measure any picture, whatever it shows, and say what is wrong with it.

    Parameters
    ----------
    pixels
        uint8, (rows, columns) or (rows, columns, 3) RGB, as it is stored.

    Returns
    -------
    Quality
        `fit` is False when any defect was found; `values`: what was measured.
    """
    values = measure_whole(pixels)
    return _with(Quality(fit=True, values=values), find_whole(values, bounds))


def check_film(quality: Quality, film: Film | None, stance: Stance) -> Quality:
    """Measure a picture that is to be read as a chest film, too.

    Parameters
    ----------
    quality
        What `check_quality` says of it.
    film
        The film, set upright; None where nothing outlines lungs on this box.
    stance
        How it lies as it is stored.

    Returns
    -------
    Quality
        `fit` is False when the film is to be taken again; `reasons` holds every defect, what stops
        the film first.
    """
    quality = _with(quality, find_stance(stance))
    if film is None:
        return quality
    values = measure_film(film)
    found = [
        *find_coverage(values, LIMITS),
        *find_exposure(values, LIMITS),
        *find_sharpness(values, LIMITS),
        *find_side(values, LIMITS),
        *([_UNOUTLINED] if film.lungs is None else []),
    ]
    return _with(replace(quality, values={**quality.values, **values}), found)


def _with(quality: Quality, defects: list[Defect]) -> Quality:
    """Add defects: those that stop a film before what is said already, the others behind it."""
    stops = [d.reason for d in defects if d.severity is Severity.RETAKE]
    others = [d.reason for d in defects if d.severity is not Severity.RETAKE]
    return replace(
        quality,
        fit=quality.fit and not stops,
        reasons=(*stops, *quality.reasons, *others),
    )
