"""A manifest and a predictor for tests that need a model but not this one."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from appliance.domain import ModelRef
from appliance.inference.predict import Prediction
from appliance.manifest import ModelManifest, load_manifest

MODELS = Path(__file__).resolve().parent.parent / "models"


@lru_cache
def manifest(model_id: str = "cxr-pneumonia") -> ModelManifest:
    """Return the newest shipped manifest of a model."""
    versions = sorted((MODELS / model_id).iterdir(), key=lambda path: path.name)
    return load_manifest(versions[-1])


class FixedPredictor:
    """Answers every image with the same logit; has the predictor's two doors."""

    ref = ModelRef("cxr-pneumonia", "1.0.0", "ab" * 32, "fixed")

    def __init__(self, logit: float, error: Exception | None = None) -> None:
        self._logit = logit
        self._error = error

    def predict(self, batch: np.ndarray) -> Prediction:
        if self._error is not None:
            raise self._error
        assert batch.dtype == np.float32
        cam = np.full((1, 6, 6), self._logit, np.float32)
        return Prediction(logits=np.array([self._logit], np.float32), cam=cam)
