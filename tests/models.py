"""A manifest and a predictor for tests that need a model but not this one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from appliance.domain import ModelRef
from appliance.inference.predict import Prediction
from appliance.manifest import MANIFEST_NAME, FrameRule, ModelManifest, load_manifest

MODELS = Path(__file__).resolve().parent.parent / "models"


@lru_cache
def manifest(model_id: str = "cxr-pneumonia") -> ModelManifest:
    """Return the newest shipped manifest of a model."""
    versions = sorted((MODELS / model_id).iterdir(), key=lambda path: path.name)
    return load_manifest(versions[-1])


def framed(margin: float = 0.05) -> ModelManifest:
    """Return the shipped classifier as one that is shown only the part around the lungs."""
    shipped = manifest()
    return replace(shipped, input=replace(shipped.input, frame=FrameRule("cxr-lungs", margin)))


def write_framed_package(folder: Path) -> Path:
    """Write the shipped classifier as a package whose manifest asks for the frame of cxr-lungs."""
    shipped = load_manifest(MODELS / "cxr-pneumonia" / "1.0.0")
    package = folder / shipped.id / shipped.version
    shutil.copytree(shipped.directory, package)
    path = package / MANIFEST_NAME
    table = '[input.frame]\nmodel = "cxr-lungs"\nmargin = 0.05\n\n[[outputs]]'
    text = path.read_text("utf-8").replace("[[outputs]]", table, 1)
    path.write_text(text, "utf-8")
    return package


def copy_package(model_id: str, folder: Path) -> Path:
    """Copy a shipped package as it is."""
    shipped = manifest(model_id)
    package = folder / shipped.id / shipped.version
    shutil.copytree(shipped.directory, package)
    return package


def without_gate(folder: Path) -> Path:
    """Copy the shipped packages but the gate, which would see that a drawn film is none."""
    for model_id in ("cxr-pneumonia", "cxr-lungs"):
        copy_package(model_id, folder)
    return folder


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
