"""Is this image fit to be read? Pure measurements of the pixels, each defect with its advice.

One module a family of defects: `whole` (any picture), `stance` (inverted, turned), `coverage` (cut
lungs, borders), `exposure`, `sharpness`, `side` (mirrored). Where a measurement becomes a defect
stands in `fitted`, which ``bench/quality_limits.py`` writes; what is found, and how often a good
film is stopped, stands in ``docs/quality.md``.
"""

from appliance.quality.check import check_film, check_quality, measure_film
from appliance.quality.defects import Defect, Severity
from appliance.quality.picture import Film, film_of, small_size, to_grey
from appliance.quality.stance import (
    UPRIGHT,
    Stance,
    as_stored,
    outline_as_stored,
    stance_of,
    upright,
)
from appliance.quality.whole import Bounds

__all__ = [
    "UPRIGHT",
    "Bounds",
    "Defect",
    "Film",
    "Severity",
    "Stance",
    "as_stored",
    "check_film",
    "check_quality",
    "film_of",
    "measure_film",
    "outline_as_stored",
    "small_size",
    "stance_of",
    "to_grey",
    "upright",
]
