"""Films as a model is shown them: whole, or the rectangle around the lungs, found as on the device.

The outlining model is the newest of its id under ``models/``; its INT8 graph answers here as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.domain import Frame
from appliance.manifest import load_manifest
from appliance.measure import frame_or_doubt
from appliance.preprocess import prepare
from quantize.augment import whole
from quantize.data import DataError, read_grey
from quantize.evaluate import open_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnxruntime
    from numpy.typing import NDArray

    from appliance.manifest import FrameRule, InputSpec, ModelManifest
    from quantize.data import Sample

MODELS = Path(__file__).parent.parent / "models"


@dataclass(frozen=True, slots=True)
class Outliner:
    """A model that outlines the lungs, ready to answer."""

    manifest: ModelManifest
    session: onnxruntime.InferenceSession

    def places(self, film: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logit of each place of a film, float32 (h, w)."""
        batch = prepare(film, self.manifest.input)
        name = self.session.get_inputs()[0].name
        found: NDArray[np.float32] = self.session.run(["cam"], {name: batch})[0][0, 0]
        return found

    def frame(self, film: NDArray[np.uint8], margin: float) -> Frame:
        """Return what of a film is shown: the whole of it where the outline makes no sense."""
        rows, columns = film.shape
        code = self.manifest.outputs[0].code
        found = frame_or_doubt(self.places(film), rows, columns, code, margin)
        return found if isinstance(found, Frame) else whole(film.shape)

    def mask(self, film: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
        """Return the lungs of a film as uint8 (side, side), 255 inside."""
        logits = cv2.resize(self.places(film), (side_px, side_px), interpolation=cv2.INTER_LINEAR)
        return np.where(np.asarray(logits) > 0, np.uint8(255), np.uint8(0))


@lru_cache(maxsize=2)
def outliner(model: str) -> Outliner:
    """Load the newest package of an outlining model.

    Raises
    ------
    DataError
        If there is none.
    """
    folders = [folder for folder in (MODELS / model).glob("*") if folder.is_dir()]
    if not folders:
        raise DataError(f"{MODELS / model} holds no package: make that model first.")
    manifest = load_manifest(max(folders, key=_version))
    return Outliner(manifest, open_graph(manifest.path("model.cpu.onnx"), threads=1))


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.name.split("-")[0].split("."))


def frame_of(film: NDArray[np.uint8], rule: FrameRule | None) -> Frame:
    """Return what of a film a model with this rule is shown."""
    return whole(film.shape) if rule is None else outliner(rule.model).frame(film, rule.margin)


def shown(film: NDArray[np.uint8], rule: FrameRule | None) -> NDArray[np.uint8]:
    """Cut a film to what a model with this rule is shown: a view, uint8 (rows, columns)."""
    frame = frame_of(film, rule)
    return film[frame.top : frame.bottom, frame.left : frame.right]


def read_shown(data: Path, samples: Sequence[Sample], spec: InputSpec) -> list[NDArray[np.uint8]]:
    """Decode films and cut each to what the model is shown, grey uint8 of their own sizes."""
    return [shown(read_grey(data / s.site / s.file), spec.frame) for s in samples]
