"""Where each measurement becomes a defect: written by ``bench/quality_limits.py``."""

from __future__ import annotations

from appliance.quality.limits import Limits

# fmt: off
LIMITS = Limits(
    cut_top=0.263,
    cut_bottom=0.208,
    field_share=0.701,
    black_share=0.249,
    white_share=0.345,
    field_contrast=45.5,
    sharpness=0.466,
    heart_side=-0.233,
    side_weights=(
        -0.181, -0.468, 0.262, 0.065, 0.194, -0.921, -0.591, -0.019,
        0.763, 0.117, 0.199, -0.206, 0.386, 0.086, 0.108, -0.273,
        0.188, -0.186, 0.441, -0.145, 0.381, 0.844, 0.418, 0.208,
        0.339, 1.169, -0.107, -0.216, 0.291, -0.084, -0.662, -0.377,
        0.228, 0.46, 0.325, -0.039, 0.27, 0.088, 0.224, 0.099,
        0.248, 0.001, -0.018, -0.066, 0.123, 0.069, 0.051, -0.153,
        0.247, 0.051, 0.061, -0.257, 0.303, 0.083, 0.201, -0.361,
        0.515, 0.807, 0.386, 0.157, 0.133, 0.087, 0.089, 0.12,
    ),
)
