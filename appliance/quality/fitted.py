"""Where each measurement becomes a defect.

Taken from a first run of ``bench/quality_limits.py``; `cut_top` is set by hand until that run is
done anew, and the side of the heart is not judged yet.
"""

from __future__ import annotations

from appliance.quality.limits import Limits

LIMITS = Limits(
    cut_top=0.2,
    cut_bottom=0.246,
    field_share=0.701,
    black_share=0.249,
    white_share=0.345,
    field_contrast=45.5,
    sharpness=0.466,
    heart_side=-1.0,
    side_weights=(0.0,) * 64,
)
