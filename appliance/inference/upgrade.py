"""From the engine that answers at once to the faster one that must be built on the box first."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING

from appliance.errors import BackendUnavailableError, InferenceError, InstallError
from appliance.inference.onnxruntime_cpu import OnnxRuntimeCpu
from appliance.inference.predict import Predictor, check_parity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from appliance.domain import ModelRef
    from appliance.inference.backend import Accelerator, Prove, Session
    from appliance.inference.predict import Answering, Prediction
    from appliance.manifest import ModelManifest

__all__ = ["SwitchingPredictor", "Upgrade"]

_LOG = logging.getLogger(__name__)


class SwitchingPredictor:
    """A model whose engine can be changed while images are read; see `predict.Answering`.

    Parameters
    ----------
    first
        Answers until another engine is proven, and again should that one fail.
    """

    def __init__(self, first: Answering) -> None:
        self._first = first
        self._live = first
        self._answered = threading.local()
        self.on_fall_back: Callable[[str], None] = _LOG.warning

    @property
    def ref(self) -> ModelRef:
        """What a result names: the engine that gave this thread's last answer."""
        answered: ModelRef = getattr(self._answered, "ref", self._live.ref)
        return answered

    @property
    def live(self) -> ModelRef:
        """Name the engine that the next image goes to."""
        return self._live.ref

    def predict(self, batch: NDArray[np.float32]) -> Prediction:
        """Read one image; an engine that fails is left for good, and the first one answers.

        Raises
        ------
        InferenceError
            If the first engine fails.
        """
        engine = self._live
        try:
            prediction = engine.predict(batch)
        except InferenceError as error:
            if engine is self._first:
                raise
            self._live = self._first
            self.on_fall_back(error.text)
            engine = self._first
            prediction = engine.predict(batch)
        self._answered.ref = engine.ref
        return prediction

    def switch(self, engine: Answering) -> None:
        """Let `engine` read from the next image on; one that is being read ends where it is."""
        self._live = engine


class Upgrade:
    """Brings each model to the faster engine, in a thread of its own, one after the other.

    Parameters
    ----------
    backend
        The engine that is built on the box.
    models
        What reads now. Each is switched when its new engine agrees with an exact run of its graph
        on the golden inputs.
    threads
        CPU threads that the exact run may use.
    reference
        Runs the faster engine's graph exactly.
    """

    def __init__(
        self,
        backend: Accelerator,
        models: Sequence[tuple[ModelManifest, SwitchingPredictor]],
        *,
        threads: int,
        reference: OnnxRuntimeCpu | None = None,
    ) -> None:
        self._backend = backend
        self._models = tuple(models)
        self._threads = threads
        self._reference = OnnxRuntimeCpu(exact=True) if reference is None else reference
        self._states = {_name(manifest): "waits" for manifest, _ in models}
        self._trouble: str | None = "the GPU is being looked for"
        self._on_change: Callable[[], None] = lambda: None
        self._trying: ModelManifest | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, name="upgrade", daemon=True)

    @property
    def backend_name(self) -> str:
        """Name of the engine that is built."""
        return self._backend.name

    @property
    def reads_with(self) -> str:
        """Name the engines that the next images go to."""
        names = (predictor.live.backend for _, predictor in self._models)
        return ", ".join(dict.fromkeys(names))

    @property
    def states(self) -> Mapping[str, str]:
        """What became of each model, as a sentence."""
        return dict(self._states)

    def summary(self) -> str:
        """Say in one line where the engine stands, for the pages and ``waypost status``."""
        if self._trouble is not None:
            return self._trouble
        return "; ".join(f"{name}: {state}" for name, state in self._states.items()) or "available"

    def start(self, on_change: Callable[[], None]) -> None:
        """Begin; `on_change` is called from another thread whenever `summary` changes."""
        self._on_change = on_change
        for manifest, predictor in self._models:
            predictor.on_fall_back = partial(self._fell_back, _name(manifest))
        self._thread.start()

    def close(self) -> None:
        """Do not begin another model; a try under way ends with the process, in good order."""
        self._stop.set()
        trying = self._trying
        if trying is not None:
            self._backend.give_up(trying.path(self._backend.graph))

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until all is done; False when it took longer."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def run(self) -> None:
        """Do the work, in this thread."""
        self._trouble = self._backend.is_available()
        self._on_change()
        if self._trouble is not None:
            return
        for manifest, predictor in self._models:
            if self._stop.is_set():
                return
            self._say(_name(manifest), "is being built; the CPU answers meanwhile")
            self._trying = manifest
            try:
                predictor.switch(self._proven(manifest))
            except (InstallError, InferenceError, OSError) as error:
                self._say(_name(manifest), f"not used: {error}")
            else:
                self._say(_name(manifest), "reads here")
            self._trying = None

    def _proven(self, manifest: ModelManifest) -> Predictor:
        """Return a predictor on the faster engine that agrees with the exact run."""
        if self._backend.graph not in manifest.files:
            raise BackendUnavailableError(f"the package has no {self._backend.graph}.")
        graph = manifest.path(self._backend.graph)
        exact = Predictor(
            self._reference.load(graph, self._threads),
            self._ref(manifest, self._reference.name),
            outputs=len(manifest.outputs),
        )
        session = self._backend.load(graph, self._threads, prove=self._prove(manifest, exact))
        return self._predictor(manifest, session)

    def _prove(self, manifest: ModelManifest, exact: Predictor) -> Prove:
        def why_not(session: Session) -> str | None:
            check = check_parity(self._predictor(manifest, session), exact, manifest)
            if check.ok:
                return None
            return (
                f"golden vectors differ by {check.max_abs_difference:.3g} logits"
                f" (allowed {check.tolerance:.3g})"
            )

        return why_not

    def _predictor(self, manifest: ModelManifest, session: Session) -> Predictor:
        ref = self._ref(manifest, self._backend.name)
        return Predictor(session, ref, outputs=len(manifest.outputs))

    @staticmethod
    def _ref(manifest: ModelManifest, backend: str) -> ModelRef:
        return manifest.ref(backend)

    def _fell_back(self, name: str, text: str) -> None:
        self._say(name, f"failed while it read, the CPU answers again: {text}")

    def _say(self, name: str, state: str) -> None:
        _LOG.info("%s on %s: %s", name, self._backend.name, state)
        self._states[name] = state
        self._on_change()


def _name(manifest: ModelManifest) -> str:
    return f"{manifest.id} {manifest.version}"
