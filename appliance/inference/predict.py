"""A model that is ready to answer, and the proof that it answers here as where it was made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from appliance.errors import InferenceError, ManifestError
from appliance.inference import registry
from appliance.manifest import GOLDEN_NAME

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.domain import ModelRef
    from appliance.inference.backend import Backend, Session
    from appliance.manifest import ModelManifest

__all__ = [
    "Answering",
    "GoldenCheck",
    "Prediction",
    "Predictor",
    "check_golden",
    "check_parity",
    "load_predictor",
    "shares_of",
]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says of one image, before calibration.

    Parameters
    ----------
    logits
        float32 (outputs,), in the manifest's order.
    cam
        float32 (outputs, h, w) over the whole frame: the class activation map, whose mean plus a
        constant is the logit.
    """

    logits: NDArray[np.float32]
    cam: NDArray[np.float32]


def shares_of(prediction: Prediction, manifest: ModelManifest) -> dict[str, dict[str, float]]:
    """Return what a model of kinds says: group to output code to its share of the group (0 to 1).

    Within a group one answer is right: softmax over its logits. An output without a group is left
    out.
    """
    logits: dict[str, dict[str, float]] = {}
    for output, logit in zip(manifest.outputs, prediction.logits, strict=True):
        if output.group is not None:
            logits.setdefault(output.group, {})[output.code] = float(logit)
    return {group: _softmax(answers) for group, answers in logits.items()}


def _softmax(logits: dict[str, float]) -> dict[str, float]:
    most = max(logits.values())
    powers = {code: math.exp(logit - most) for code, logit in logits.items()}
    total = sum(powers.values())
    return {code: power / total for code, power in powers.items()}


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """How far this engine's logits are from the package's golden ones."""

    ok: bool
    max_abs_difference: float
    tolerance: float


class Answering(Protocol):
    """A model that answers, on whichever engine."""

    @property
    def ref(self) -> ModelRef:
        """What a result names: the model, and the engine of this thread's last answer."""
        ...

    def predict(self, batch: NDArray[np.float32]) -> Prediction:
        """Read one image; see `Predictor.predict`."""
        ...


class Predictor:
    """One model on one engine.

    Parameters
    ----------
    session
        The loaded graph, whose outputs are logits (n, outputs) and maps (n, outputs, h, w).
    ref
        What a result names.
    outputs
        How many outputs the manifest lists.
    """

    def __init__(self, session: Session, ref: ModelRef, *, outputs: int) -> None:
        self._session = session
        self._outputs = outputs
        self.ref = ref

    def predict(self, batch: NDArray[np.float32]) -> Prediction:
        """Read one image.

        Parameters
        ----------
        batch
            float32 (1, 1, side, side) as `appliance.preprocess.prepare` makes it.

        Raises
        ------
        InferenceError
            If the engine fails, or answers with another shape or with a number that is none.
        """
        answer = self._session.run(batch)
        if len(answer) != 2 or answer[0].shape != (1, self._outputs) or answer[1].ndim != 4:
            raise InferenceError(
                f"Model {self.ref.id} answered in another shape than its manifest says: install "
                "the model package again."
            )
        logits, cam = answer[0][0], answer[1][0]
        if not (np.isfinite(logits).all() and np.isfinite(cam).all()):
            raise InferenceError(f"Model {self.ref.id} gave a number that is none on this image.")
        return Prediction(logits=logits, cam=cam)


def load_predictor(
    manifest: ModelManifest, *, threads: int, backend: Backend | None = None
) -> Predictor:
    """Load a verified package on the best engine that can run here.

    Parameters
    ----------
    threads
        CPU threads that one run may use, at least 1.
    backend
        The engine to use instead of the registry's first that is available.

    Raises
    ------
    BackendUnavailableError
        If no engine can run here or it does not take the graph.
    """
    engine = backend if backend is not None else registry.choose()
    session = engine.load(manifest.path(engine.graph), threads)
    return Predictor(session, manifest.ref(engine.name), outputs=len(manifest.outputs))


def check_golden(predictor: Answering, manifest: ModelManifest) -> GoldenCheck:
    """Compare this engine's logits with the package's golden ones.

    ``golden.npz`` holds ``inputs`` uint8 (n, side, side), drawn phantoms as the network would get
    them before normalization, and ``logits`` float32 (n, outputs).

    Raises
    ------
    ManifestError
        If ``golden.npz`` is not what the manifest says.
    InferenceError
        If the engine fails.
    """
    inputs, expected = _golden(manifest)
    answers = _logits(predictor, inputs, manifest)
    return _compare(answers, expected, manifest.golden.cpu_tolerance)


def check_parity(
    predictor: Answering, reference: Answering, manifest: ModelManifest
) -> GoldenCheck:
    """Compare two engines that run the same graph, on the golden inputs.

    The golden logits are the CPU graph's; another graph of the same network rounds elsewhere, so
    its engine is held against an exact run of its own graph. The reference itself is trusted
    because the same library passed the golden vectors before.

    Raises
    ------
    ManifestError
        If ``golden.npz`` is not what the manifest says.
    InferenceError
        If an engine fails.
    """
    inputs, _ = _golden(manifest)
    golden = manifest.golden
    tolerance = golden.tensorrt_tolerance
    return _compare(
        _logits(predictor, inputs, manifest),
        _logits(reference, inputs, manifest),
        golden.cpu_tolerance if tolerance is None else tolerance,
    )


def _compare(
    answers: NDArray[np.float32], expected: NDArray[np.float32], tolerance: float
) -> GoldenCheck:
    worst = float(np.abs(answers - expected).max())
    return GoldenCheck(ok=worst <= tolerance, max_abs_difference=worst, tolerance=tolerance)


def _logits(
    predictor: Answering, inputs: NDArray[np.uint8], manifest: ModelManifest
) -> NDArray[np.float32]:
    spec = manifest.input
    answers = []
    for image in inputs:
        batch = (image.astype(np.float32) / np.float32(255) - spec.mean) / spec.std
        answer = predictor.predict(batch.astype(np.float32)[np.newaxis, np.newaxis])
        answers.append(answer.logits)
    return np.stack(answers)


def _golden(manifest: ModelManifest) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    path = manifest.path(GOLDEN_NAME)
    try:
        with np.load(path, allow_pickle=False) as vectors:
            inputs, logits = vectors["inputs"], vectors["logits"]
    except (OSError, KeyError, ValueError) as error:
        raise ManifestError(
            f"{path} cannot be read ({error}): install the model package again."
        ) from error
    side, n = manifest.input.side_px, manifest.golden.n
    if inputs.shape != (n, side, side) or logits.shape != (n, len(manifest.outputs)):
        raise ManifestError(
            f"{path} does not hold what its manifest says: install the model package again."
        )
    return np.asarray(inputs, dtype=np.uint8), np.asarray(logits, dtype=np.float32)
