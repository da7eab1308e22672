"""What the gate's recipe says, read from TOML into frozen values."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.manifest import InputSpec, IntendedUse, OutputSpec
from quantize.segment_spec import grey_input, intended_use
from quantize.spec import Int8Spec, RecipeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class KindSite:
    """A data set of one kind of image.

    Parameters
    ----------
    kind
        Code of the output that is right for it; "other" for what is none of the kinds.
    use
        "train" (with its splits) or "measure" (all of it is test).
    """

    name: str
    kind: str
    use: str
    title: str
    licence: str
    source: str

    def __post_init__(self) -> None:
        if self.use not in ("train", "measure"):
            raise ValueError(f"{self.name}: use is train or measure, not {self.use!r}")


@dataclass(frozen=True, slots=True)
class KindTraining:
    """The training part of the recipe.

    Parameters
    ----------
    chest_share, other_share
        Shares of a batch that are chest films and other pictures; the remaining kinds share the
        rest evenly.
    """

    seed: int
    batch: int
    steps: int
    learning_rate: float
    head_learning_rate: float
    weight_decay: float
    dropout: float
    average_decay: float
    chest_share: float
    other_share: float


@dataclass(frozen=True, slots=True)
class KindRecipe:
    """Everything that decides what comes out, except the data's content.

    Parameters
    ----------
    outputs
        In groups (`OutputSpec.group`): the first group is the kind, the second which way up, the
        third the polarity. Within a group one answer is right.
    refused_share
        Share of the good validation films that the operating point may refuse.
    """

    id: str
    version: str
    title: str
    licence: str
    outputs: tuple[OutputSpec, ...]
    input: InputSpec
    sites: tuple[KindSite, ...]
    train: KindTraining
    int8: Int8Spec
    refused_share: float
    intended_use: IntendedUse
    path: Path

    @property
    def steps(self) -> int:
        """Steps of training."""
        return self.train.steps

    def group(self, name: str) -> slice:
        """Return where a group's logits lie."""
        places = [i for i, output in enumerate(self.outputs) if output.group == name]
        return slice(places[0], places[-1] + 1)

    def codes(self, name: str) -> list[str]:
        """Return a group's codes in order."""
        return [output.code for output in self.outputs if output.group == name]


def read_kind_recipe(path: Path) -> KindRecipe:
    """Read the gate's recipe.

    Raises
    ------
    RecipeError
        If it is not valid TOML or lacks a key or has one too many.
    """
    try:
        return _recipe(tomllib.loads(path.read_text(encoding="utf-8")), path)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise RecipeError(f"{path}: {type(error).__name__}: {error}") from error


def _recipe(table: dict[str, Any], path: Path) -> KindRecipe:
    return KindRecipe(
        id=table["id"],
        version=table["version"],
        title=table["title"],
        licence=table["licence"],
        outputs=tuple(OutputSpec(**entry) for entry in table["outputs"]),
        input=grey_input(table["input"]),
        sites=tuple(KindSite(**entry) for entry in table["sites"]),
        train=KindTraining(**table["train"]),
        int8=Int8Spec(**table["int8"]),
        refused_share=table["operating_point"]["refused_share"],
        intended_use=intended_use(table["intended_use"]),
        path=path,
    )
