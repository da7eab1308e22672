"""What an inference engine is to the appliance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    # Says why a loaded network must not answer, or None.
    Prove: TypeAlias = Callable[["Session"], str | None]

__all__ = ["Accelerator", "Backend", "Session"]


class Session(Protocol):
    """A loaded network."""

    def run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run the network once.

        Parameters
        ----------
        batch
            float32, contiguous, (n, channels, side, side).

        Returns
        -------
        tuple[NDArray[np.float32], ...]
            The graph's outputs in the graph's order.

        Raises
        ------
        InferenceError
            If the engine fails.
        """
        ...


class Backend(Protocol):
    """An engine that can load a model package's graph."""

    @property
    def name(self) -> str:
        """What a result names as its backend."""
        ...

    @property
    def requires(self) -> str:
        """For people: what must be there for this engine to run."""
        ...

    @property
    def graph(self) -> str:
        """File name of the package's graph that this engine takes."""
        ...

    def is_available(self) -> str | None:
        """Return None where the engine can run, else the reason why not, as a sentence."""
        ...

    def load(self, model_path: Path, threads: int) -> Session:
        """Load a graph and run it once, so that the first patient does not wait for it.

        Parameters
        ----------
        threads
            CPU threads that one run may use, at least 1.

        Raises
        ------
        BackendUnavailableError
            If the engine cannot run here or does not take this graph.
        """
        ...


class Accelerator(Backend, Protocol):
    """An engine that is built on the box, which takes minutes: another one answers meanwhile."""

    def load(self, model_path: Path, threads: int, *, prove: Prove | None = None) -> Session:
        """Load or build a graph's engine.

        Parameters
        ----------
        prove
            Says why a loaded engine must not answer, or None; without it every engine may.

        Raises
        ------
        BackendUnavailableError
            If the engine cannot run here, does not take this graph, or does not prove itself.
        """
        ...

    def failure(self, model_path: Path) -> str | None:
        """Return why the last try to make this graph's engine failed, or None."""
        ...

    def give_up(self, model_path: Path) -> None:
        """Note that a try that is under way ends with the process, in good order."""
        ...
