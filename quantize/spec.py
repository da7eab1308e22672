"""What a recipe says, read from TOML into frozen values."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.manifest import (
    Exposure,
    FrameRule,
    InputSpec,
    IntendedUse,
    OutputSpec,
    Polarity,
    Resize,
)
from quantize.data import SiteSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path


class RecipeError(Exception):
    """The recipe does not say what it must; the text says where."""


@dataclass(frozen=True, slots=True)
class Site:
    """A data set of the recipe, with what the manifest says of it."""

    spec: SiteSpec
    title: str
    licence: str
    source: str


@dataclass(frozen=True, slots=True)
class Phase:
    """So many steps at one size; sizes grow from phase to phase."""

    side_px: int
    steps: int


@dataclass(frozen=True, slots=True)
class TrainSpec:
    """The training part of a recipe.

    Parameters
    ----------
    learning_rate, head_learning_rate
        Peaks of the one-cycle schedule for the pre-trained body and the new classifier.
    label_smoothing
        Targets become ``smoothing / 2`` and ``1 - smoothing / 2``.
    average_decay
        Of the exponential moving average of the weights, which is what is shipped.
    by_view
        Whether films are drawn evenly over their views within site and class.
    stray_weight
        Of the loss on activation outside the lungs; 0 reads no masks.
    mirror_weight
        Of the loss on a map that is not the mirrored film's map mirrored; 0 for none.
    plant
        Chance that a film without the disease gets an opacity drawn by code, and with it the label.
    unfreeze
        Step from which the deeper half of the blocks learns too, and step from which all do; before
        the first only the classifier does.
    outliner
        Model whose outlines stand in for drawn lung masks where a film has none; empty for the mean
        of the drawn ones.
    """

    seed: int
    batch: int
    phases: tuple[Phase, ...]
    learning_rate: float
    head_learning_rate: float
    weight_decay: float
    label_smoothing: float
    dropout: float
    average_decay: float
    checkpoint_steps: int
    by_view: bool = True
    stray_weight: float = 0.0
    mirror_weight: float = 0.0
    plant: float = 0.0
    outliner: str = ""
    unfreeze: tuple[int, int] = (0, 0)

    @property
    def needs_lungs(self) -> bool:
        """Whether the training has a use for lung masks."""
        return self.stray_weight > 0 or self.plant > 0

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
class PruneSpec:
    """The optional ``[prune]`` table: how much is cut, and how it heals.

    Parameters
    ----------
    ratio
        Share of the channels that goes, the same in every group of layers.
    rounds, recovery_steps
        In so many cuts, each with so many steps of distillation before the next.
    importance_batches
        Batches whose gradients say which channels matter least.
    steps, learning_rate
        Of the distillation after the last cut.
    teacher_weight
        Share of the target that the uncut network gives; the labels give the rest.
    """

    ratio: float
    rounds: int
    recovery_steps: int
    importance_batches: int
    steps: int
    learning_rate: float
    teacher_weight: float = 0.7

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1 or self.rounds < 1 or self.importance_batches < 1:
            raise ValueError("prune: ratio lies between 0 and 1, rounds and batches are 1 or more")


@dataclass(frozen=True, slots=True)
class AwareSpec:
    """The optional ``[aware]`` table: fine-tuning under rounding, where eight bits cost too much.

    Parameters
    ----------
    steps, learning_rate
        Of the fine-tuning.
    teacher_weight
        Share of the target that the network before any cut gives; the labels give the rest.
    """

    steps: int
    learning_rate: float
    teacher_weight: float = 0.7


@dataclass(frozen=True, slots=True)
class Int8Spec:
    """How the graph becomes eight bits.

    Parameters
    ----------
    range_images
        Training images, drawn evenly over sites and classes, whose activations give the ranges.
    fp32_convolutions
        So many convolutions from the input on stay in floating point.
    """

    range_images: int
    fp32_convolutions: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what comes out, except the data's content.

    Parameters
    ----------
    research
        Of ``[gates]``: the package says on its face that it is for research only. No gate is
        looser for it.
    """

    id: str
    version: str
    title: str
    licence: str
    output: OutputSpec
    input: InputSpec
    sites: tuple[Site, ...]
    train: TrainSpec
    prune: PruneSpec | None
    int8: Int8Spec
    operating_point_name: str
    target_sensitivity: float
    alpha: float
    intended_use: IntendedUse
    path: Path
    research: bool = False
    aware: AwareSpec | None = None

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the sites that are trained on."""
        return tuple(s.spec.name for s in self.sites if not s.spec.measure_only)

    @property
    def steps(self) -> int:
        """Steps of training and, where the recipe prunes, of distillation."""
        return self.train.steps + (self.prune.steps if self.prune else 0)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    RecipeError
        If it is not valid TOML or lacks a key or has one too many.
    """
    try:
        return _recipe(tomllib.loads(path.read_text(encoding="utf-8")), path)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise RecipeError(f"{path}: {type(error).__name__}: {error}") from error


def _recipe(table: dict[str, Any], path: Path) -> Recipe:
    research = _research(table)
    point, use, train = table["operating_point"], table["intended_use"], table["train"]
    return Recipe(
        id=table["id"],
        version=table["version"],
        title=f"Research only: {table['title']}" if research else table["title"],
        licence=table["licence"],
        output=OutputSpec(**table["output"]),
        input=_input(table["input"]),
        sites=tuple(_site(entry) for entry in table["sites"]),
        train=TrainSpec(**(train | {"phases": tuple(Phase(**p) for p in train["phases"])})),
        prune=PruneSpec(**table["prune"]) if "prune" in table else None,
        int8=Int8Spec(**table["int8"]),
        operating_point_name=point["name"],
        target_sensitivity=point["target_sensitivity"],
        alpha=table["abstention"]["alpha"],
        intended_use=IntendedUse(
            **{key: tuple(v) if isinstance(v, list) else v for key, v in use.items()}
        ),
        path=path,
        research=research,
        aware=AwareSpec(**table["aware"]) if "aware" in table else None,
    )


def _research(table: dict[str, Any]) -> bool:
    gates = table.get("gates", {})
    if not set(gates) <= {"research"}:
        raise ValueError("gates: the only key is research; no gate can be loosened or left out")
    research = bool(gates.get("research", False))
    if not research and any(site.get("patients_unknown") for site in table["sites"]):
        raise ValueError("sites: patients_unknown is for research only ([gates] research = true)")
    return research


def _input(table: dict[str, Any]) -> InputSpec:
    exposure, frame = table.get("exposure"), table.get("frame")
    return InputSpec(
        side_px=table["side_px"],
        channels=1,
        polarity=Polarity.BONE_BRIGHT,
        resize=Resize.SQUEEZE,
        mean=table["mean"],
        std=table["std"],
        exposure=Exposure(**exposure) if exposure else None,
        frame=FrameRule(**frame) if frame else None,
    )


def _site(table: dict[str, Any]) -> Site:
    spec = SiteSpec(
        name=table["name"],
        positive=tuple(table["positive"]),
        negative=tuple(table["negative"]),
        measure_only=table["measure_only"],
        patients_unknown=table.get("patients_unknown", False),
        least_age=table.get("least_age", 0.0),
    )
    return Site(spec, table["title"], table["licence"], table["source"])
