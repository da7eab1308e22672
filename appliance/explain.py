"""Where the model looked: the class activation map as a small heat grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.domain import Explanation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.domain import Frame


def explain(
    cam: NDArray[np.float32], code: str, full_evidence: float, frame: Frame | None = None
) -> Explanation:
    """Turn a class activation map into a heat grid on a fixed scale.

    Parameters
    ----------
    cam
        float32, (h, w); its mean plus the bias is the logit (Zhou et al., CVPR 2016), so each
        cell is the evidence, in logits, that its part of the image adds.
    code
        The finding that it speaks for.
    full_evidence
        Evidence (logits, > 0) that is drawn as 255. It belongs to the model, not to the image:
        a film with little evidence gets a faint map, not a stretched one.
    frame
        The part of the image that the model was shown, or None: the whole image.

    Returns
    -------
    Explanation
        uint8 grid, (h, w); negative evidence is 0.
    """
    heat = np.clip(cam / max(full_evidence, 1e-6), 0.0, 1.0)
    return Explanation(code=code, heat=np.rint(heat * 255.0).astype(np.uint8), frame=frame)
