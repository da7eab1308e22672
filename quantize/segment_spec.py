"""What a segmentation recipe says, read from TOML into frozen values."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.manifest import Exposure, InputSpec, IntendedUse, OutputSpec, Polarity, Resize
from quantize.spec import Int8Spec, Phase, RecipeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class OutlinedSite:
    """A data set with drawn regions: its folder, the column that names the masks, its origin."""

    name: str
    column: str
    title: str
    licence: str
    source: str


@dataclass(frozen=True, slots=True)
class OutlineTraining:
    """The training part of a recipe.

    Parameters
    ----------
    learning_rate, decoder_learning_rate
        Peaks of the one-cycle schedule for the pre-trained encoder and the fresh decoder.
    average_decay
        Of the exponential moving average of the weights, which is what is shipped.
    """

    seed: int
    batch: int
    phases: tuple[Phase, ...]
    learning_rate: float
    decoder_learning_rate: float
    weight_decay: float
    average_decay: float
    checkpoint_steps: int

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def side_px(self, step: int) -> int:
        """Size of the images at `step`."""
        for phase in self.phases:
            if step < phase.steps:
                return phase.side_px
            step -= phase.steps
        return self.phases[-1].side_px


@dataclass(frozen=True, slots=True)
class OutlineRecipe:
    """Everything that decides what comes out, except the data's content."""

    id: str
    version: str
    title: str
    licence: str
    output: OutputSpec
    input: InputSpec
    sites: tuple[OutlinedSite, ...]
    train: OutlineTraining
    int8: Int8Spec
    intended_use: IntendedUse
    path: Path

    @property
    def steps(self) -> int:
        """Steps of training."""
        return self.train.steps


def read_outline_recipe(path: Path) -> OutlineRecipe:
    """Read a segmentation recipe.

    Raises
    ------
    RecipeError
        If it is not valid TOML or lacks a key or has one too many.
    """
    try:
        return _recipe(tomllib.loads(path.read_text(encoding="utf-8")), path)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise RecipeError(f"{path}: {type(error).__name__}: {error}") from error


def _recipe(table: dict[str, Any], path: Path) -> OutlineRecipe:
    train = table["train"]
    return OutlineRecipe(
        id=table["id"],
        version=table["version"],
        title=table["title"],
        licence=table["licence"],
        output=OutputSpec(**table["output"]),
        input=grey_input(table["input"]),
        sites=tuple(OutlinedSite(**entry) for entry in table["sites"]),
        train=OutlineTraining(**(train | {"phases": tuple(Phase(**p) for p in train["phases"])})),
        int8=Int8Spec(**table["int8"]),
        intended_use=intended_use(table["intended_use"]),
        path=path,
    )


def grey_input(table: dict[str, Any]) -> InputSpec:
    """Read an ``[input]`` table: a grey frame squeezed to a square."""
    exposure = table.get("exposure")
    return InputSpec(
        side_px=table["side_px"],
        channels=1,
        polarity=Polarity.BONE_BRIGHT,
        resize=Resize.SQUEEZE,
        mean=table["mean"],
        std=table["std"],
        exposure=Exposure(**exposure) if exposure else None,
    )


def intended_use(table: dict[str, Any]) -> IntendedUse:
    """Read an ``[intended_use]`` table."""
    return IntendedUse(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()})
