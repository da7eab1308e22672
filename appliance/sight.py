"""What the box sees of a film before any model reads it: which way up, and where the lungs are.

The gate and the model that outlines are each asked once an image; what they answer is a value that
the quality check, the frame and whoever judges the kind of an image share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance import preprocess
from appliance.inference.predict import shares_of
from appliance.manifest import Task
from appliance.measure import doubt_about_lungs, outline
from appliance.quality import UPRIGHT, Film, Stance, film_of, small_size, stance_of, upright

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from appliance.inference.predict import Answering
    from appliance.manifest import ModelManifest

__all__ = ["Eyes", "Reader", "Sight"]

_LUNGS = "lungs"
_FILMS = frozenset({"CR", "DX"})


@dataclass(frozen=True, slots=True)
class Reader:
    """A model that is ready on this box: what its package says, and the engine that runs it."""

    manifest: ModelManifest
    predictor: Answering


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of one image.

    Parameters
    ----------
    grey
        uint8 (rows, columns), set upright, bone bright: what the models are shown.
    stance
        How the image lies as it is stored.
    kinds
        The gate's answer: group to output code to share (0 to 1); None where no gate was asked.
    film
        The image as a chest film, for the quality check; None where it is not read as one, or
        nothing outlines lungs on this box.
    places
        float32 (h, w): the outlining model's logit of each place of `grey`; None where it was not
        asked.
    """

    grey: NDArray[np.uint8]
    stance: Stance = UPRIGHT
    kinds: Mapping[str, Mapping[str, float]] | None = None
    film: Film | None = None
    places: NDArray[np.float32] | None = None


class Eyes:
    """The two models that are asked before the one that reads, where they are on this box."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        kinds = (reader for reader in readers if reader.manifest.task is Task.KIND)
        lungs = (reader for reader in readers if _outlines_lungs(reader.manifest))
        self._gate = next(kinds, None)
        self._outliner = next(lungs, None)

    def kinds(self, grey: NDArray[np.uint8]) -> Mapping[str, Mapping[str, float]] | None:
        """Ask the gate what an image is; None where there is none on this box.

        Parameters
        ----------
        grey
            uint8 (rows, columns), as stored.

        Raises
        ------
        InferenceError
            The engine failed.
        """
        return None if self._gate is None else _kinds(self._gate, grey)

    def look(
        self,
        grey: NDArray[np.uint8],
        reader: Reader,
        kinds: Mapping[str, Mapping[str, float]] | None = None,
    ) -> Sight:
        """Look at an image that `reader` is to read.

        Parameters
        ----------
        grey
            uint8 (rows, columns), as stored.
        kinds
            What the gate has said of it already; None asks it.

        Raises
        ------
        InferenceError
            An engine failed.
        """
        if not _FILMS.intersection(reader.manifest.intended_use.modalities):
            return Sight(grey)
        kinds = self.kinds(grey) if kinds is None else kinds
        stance = stance_of(kinds)
        straight = upright(grey, stance)
        if self._outliner is None:
            return Sight(straight, stance, kinds)
        batch = preprocess.prepare_coarse(straight, self._outliner.manifest.input)
        places = self._outliner.predictor.predict(batch).cam[0]
        drawn = outline(places, *small_size(*straight.shape), _LUNGS, _LUNGS)
        mask = drawn.mask if doubt_about_lungs(drawn) is None else None
        return Sight(straight, stance, kinds, film_of(straight, mask), places)

    @property
    def gate(self) -> ModelManifest | None:
        """The model that tells kinds."""
        return None if self._gate is None else self._gate.manifest

    @property
    def outliner(self) -> ModelManifest | None:
        """The model whose answer `Sight.places` is."""
        return None if self._outliner is None else self._outliner.manifest


def _outlines_lungs(manifest: ModelManifest) -> bool:
    return manifest.task is Task.SEGMENTATION and manifest.outputs[0].code == _LUNGS


def _kinds(gate: Reader, grey: NDArray[np.uint8]) -> Mapping[str, Mapping[str, float]]:
    batch = preprocess.prepare(grey, gate.manifest.input)
    return shares_of(gate.predictor.predict(batch), gate.manifest)
