"""A model package: ``models/<id>/<version>/`` with ``manifest.toml``, read and verified.

The manifest says everything about a model and pins every other file of its folder by sha256. What
is unknown, missing or different is an error with a sentence for the installer; nothing is guessed.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping  # noqa: TC003 - the hints are read at run time
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from appliance.domain import ModelRef
from appliance.errors import ManifestError
from appliance.tables import TableError, Trouble, from_table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "MANIFEST_NAME",
    "Abstention",
    "Calibration",
    "Exposure",
    "FrameRule",
    "Golden",
    "InputSpec",
    "IntendedUse",
    "Interval",
    "ModelManifest",
    "OperatingPointSpec",
    "OutputSpec",
    "Quantization",
    "SiteResult",
    "Split",
    "Task",
    "TrainingData",
    "load_manifest",
]

MANIFEST_NAME = "manifest.toml"
SCHEMA = 1
CPU_GRAPH = "model.cpu.onnx"
TENSORRT_GRAPH = "model.trt.onnx"
GOLDEN_NAME = "golden.npz"
_CHUNK_BYTES = 1 << 20
_MOST_MARGIN = 0.5


class Task(str, Enum):
    """What kind of answer a model gives."""

    CLASSIFICATION = "classification"
    SEGMENTATION = "segmentation"
    KIND = "kind"


class Polarity(str, Enum):
    """Which end of the grey scale is bone."""

    BONE_BRIGHT = "bone_bright"


class Resize(str, Enum):
    """How a frame becomes the network's square."""

    SQUEEZE = "squeeze"


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Exposure:
    """Percentiles (0 to 100) of the resized frame that become black and white."""

    low_percentile: float
    high_percentile: float


@dataclass(frozen=True, slots=True)
class FrameRule:
    """The model is shown only the rectangle around what another model outlines.

    Parameters
    ----------
    model
        Id of the outlining model, of whichever version the box has.
    margin
        Share of the rectangle's own width and height (0 to 0.5) that is added on each side.
    """

    model: str
    margin: float


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the network takes; `appliance.preprocess.prepare` makes it.

    Parameters
    ----------
    side_px, channels
        The square's side, and 1 for grey.
    polarity, resize
        Fixed rules by name, so that a package made for another rule is refused.
    mean, std
        Of the grey value divided by 255.
    exposure
        Percentile stretch after the resize, or None.
    frame
        Which part of the image the network is shown, or None: the whole image.
    """

    side_px: int
    channels: int
    polarity: Polarity
    resize: Resize
    mean: float
    std: float
    exposure: Exposure | None = None
    frame: FrameRule | None = None


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output channel: its place is its place in the manifest's list.

    Parameters
    ----------
    group
        Outputs of one group exclude each other; an output without a group stands alone.
    """

    code: str
    label: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Platt scaling of one output: ``probability = 1 / (1 + exp(-(slope * logit + intercept)))``.

    Parameters
    ----------
    prevalence
        Share of positives for which the probabilities are calibrated.
    fitted_on
        Which samples, in words.
    """

    output: str
    slope: float
    intercept: float
    prevalence: float
    fitted_on: str
    n: int


@dataclass(frozen=True, slots=True)
class OperatingPointSpec:
    """A threshold on the calibrated probability, with the evidence it was chosen by."""

    output: str
    name: str
    threshold: float
    target_sensitivity: float
    chosen_on: str
    n_positive: int
    n_negative: int
    sensitivity: Interval
    specificity: Interval


@dataclass(frozen=True, slots=True)
class Abstention:
    """Mondrian split conformal prediction: between the bounds both classes stay possible.

    Parameters
    ----------
    alpha
        Share of each class that may fall outside its own prediction set.
    lower, upper
        A probability strictly between them is not answered; equal bounds never abstain.
    n_positive, n_negative
        Samples of each class that the bounds were taken from.
    """

    output: str
    alpha: float
    lower: float
    upper: float
    n_positive: int
    n_negative: int


@dataclass(frozen=True, slots=True)
class IntendedUse:
    """Which images the model may read; DICOM words where DICOM has them.

    Parameters
    ----------
    modalities, body_parts, views
        Values of Modality (0008,0060), Body Part Examined (0018,0015), View Position (0018,5101).
    age_years
        Youngest and oldest patient.
    min_side_px
        Shorter side of the smallest frame.
    text, limits
        For people: what it is for, and what it is not.
    """

    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]
    views: tuple[str, ...]
    age_years: tuple[float, float]
    min_side_px: int
    text: str
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """One split of a data set: its size and the hash of its members and labels."""

    name: str
    n_positive: int
    n_negative: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TrainingData:
    """A data set that the model was trained or measured on."""

    name: str
    title: str
    licence: str
    source: str
    use: str
    splits: tuple[Split, ...]


@dataclass(frozen=True, slots=True)
class SiteResult:
    """What was measured on one split of one site with the shipped CPU graph.

    Sensitivity and specificity are at the (first) operating point, over all images, abstained or
    not; `answered_*` are the same over the images that were answered. A figure that a site cannot
    give (it has one class only) is None. `fp32_auroc` to `max_probability_change` compare with the
    FP32 network on the same images, the TensorRT figures the TensorRT graph (run by ONNX Runtime)
    with the CPU graph. The `dice` figures belong to segmentation (`n_positive` is the number of
    films). The last three belong to a model of kinds: the share of images whose kind was told, and
    the shares of films whose side up (all four ways) and polarity (both ways) were told when code
    turned and inverted them.
    """

    data_set: str
    split: str
    n_positive: int
    n_negative: int
    abstained: Interval
    auroc: Interval | None = None
    sensitivity: Interval | None = None
    specificity: Interval | None = None
    answered_sensitivity: Interval | None = None
    answered_specificity: Interval | None = None
    calibration_error: float | None = None
    fp32_auroc: Interval | None = None
    auroc_difference: Interval | None = None
    flips: Interval | None = None
    mean_probability_change: float | None = None
    max_probability_change: float | None = None
    tensorrt_flips: Interval | None = None
    tensorrt_mean_probability_change: float | None = None
    dice: Interval | None = None
    fp32_dice: Interval | None = None
    dice_difference: Interval | None = None
    tensorrt_dice_difference: Interval | None = None
    kind: Interval | None = None
    upright: Interval | None = None
    polarity: Interval | None = None


@dataclass(frozen=True, slots=True)
class Quantization:
    """How the two graphs were made from one network."""

    recipe: str
    tool: str
    range_calibration: str
    n_images: int
    fp32_nodes: tuple[str, ...]
    cpu: str
    tensorrt: str
    pruning: str


@dataclass(frozen=True, slots=True)
class Golden:
    """How near a backend must come before the model goes live on it, in logits.

    Parameters
    ----------
    cpu_tolerance
        To ``golden.npz``'s logits, on the CPU.
    n
        Golden vectors.
    tensorrt_tolerance
        Of a TensorRT engine to an exact run of the TensorRT graph; None: the same as on the CPU.
    """

    cpu_tolerance: float
    n: int
    tensorrt_tolerance: float | None = None


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """A verified model package.

    Parameters
    ----------
    directory
        Where the package lies.
    files
        File name to its sha256 (hex); every one was checked.
    research_only
        Not used for reading until an administrator switches research models on; old manifests do
        not have the key.
    """

    schema: int
    id: str
    version: str
    title: str
    task: Task
    licence: str
    files: Mapping[str, str]
    input: InputSpec
    outputs: tuple[OutputSpec, ...]
    calibration: tuple[Calibration, ...]
    operating_points: tuple[OperatingPointSpec, ...]
    abstention: tuple[Abstention, ...]
    intended_use: IntendedUse
    data: tuple[TrainingData, ...]
    results: tuple[SiteResult, ...]
    quantization: Quantization
    golden: Golden
    research_only: bool = False
    directory: Path = field(default=Path())

    def draws_for(self, rule: FrameRule) -> bool:
        """Whether this model draws the outline that a frame is taken from."""
        return self.id == rule.model and self.task is Task.SEGMENTATION

    @property
    def sha256(self) -> str:
        """The model's own hash (hex): that of its CPU graph."""
        return self.files[CPU_GRAPH]

    def ref(self, backend: str) -> ModelRef:
        """Return what a result of this model names, by the name of the engine."""
        return ModelRef(
            id=self.id,
            version=self.version,
            sha256=self.sha256,
            backend=backend,
            research_only=self.research_only,
        )

    def path(self, name: str) -> Path:
        """Where a file of the package lies."""
        return self.directory / name


def load_manifest(directory: Path) -> ModelManifest:
    """Read a model package and verify every file of it.

    Parameters
    ----------
    directory
        The folder that holds ``manifest.toml``.

    Raises
    ------
    ManifestError
        If the manifest cannot be read, has an unknown or lacks a key, or contradicts itself; if a
        file is missing, or its sha256 is another one.
    """
    path = directory / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{path} cannot be read ({error}): install the model package again."
        ) from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(
            f"{path} is not valid TOML ({error}): install the model package again."
        ) from error
    try:
        manifest = from_table(ModelManifest, table, directory=directory)
    except TableError as error:
        raise ManifestError(_sentence(error, path)) from None
    _check_sense(manifest, path)
    _check_files(manifest)
    return manifest


def _check_sense(manifest: ModelManifest, path: Path) -> None:
    """Raise where the manifest contradicts itself."""
    if manifest.schema != SCHEMA:
        raise ManifestError(
            f"{path} has schema {manifest.schema}, this appliance reads {SCHEMA}: install a model "
            "package made for this version of the appliance."
        )
    codes = {output.code for output in manifest.outputs}
    named = [entry.output for entry in manifest.calibration]
    named += [entry.output for entry in manifest.operating_points]
    named += [entry.output for entry in manifest.abstention]
    for code in named:
        if code not in codes:
            raise ManifestError(f"{path} speaks of output {code!r}, which it does not list.")
    for band in manifest.abstention:
        if not 0 <= band.lower <= band.upper <= 1:
            raise ManifestError(f"{path}: the abstention bounds of {band.output!r} cross.")
    for point in manifest.operating_points:
        if not 0 < point.threshold < 1:
            raise ManifestError(f"{path}: the threshold {point.name!r} is not between 0 and 1.")
    _check_frame(manifest, path)
    for name in (CPU_GRAPH, GOLDEN_NAME):
        if name not in manifest.files:
            raise ManifestError(f"{path} lists no {name}: install the model package again.")


def _check_frame(manifest: ModelManifest, path: Path) -> None:
    """Raise where a rule of the frame makes no sense; an outlining model needs the whole image."""
    rule = manifest.input.frame
    if rule is None:
        return
    if not 0 <= rule.margin <= _MOST_MARGIN:
        raise ManifestError(f"{path}: the margin of the frame is not between 0 and {_MOST_MARGIN}.")
    if manifest.task is not Task.CLASSIFICATION:
        raise ManifestError(
            f"{path}: only a model of the task {Task.CLASSIFICATION.value!r} may have a frame."
        )


def _check_files(manifest: ModelManifest) -> None:
    for name, expected in manifest.files.items():
        if Path(name).name != name:
            raise ManifestError(f"{manifest.id}: {name!r} is not a plain file name.")
        path = manifest.path(name)
        try:
            actual = _sha256(path)
        except OSError as error:
            raise ManifestError(
                f"{path} cannot be read ({error}): install the model package again."
            ) from error
        if actual != expected:
            raise ManifestError(
                f"{path} is not the file that its manifest names (sha256 {actual[:12]}..., "
                f"expected {expected[:12]}...): install the model package again."
            )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _sentence(error: TableError, path: Path) -> str:
    """Say what is wrong with a key, and what to do."""
    where = f"{path}: {error.place}" if error.place else str(path)
    if error.trouble is Trouble.UNKNOWN:
        return (
            f"{where} has the unknown key {error.key!r}: the package was made for another version "
            "of the appliance, or was edited by hand."
        )
    if error.trouble is Trouble.MISSING:
        return f"{where} lacks the key {error.key!r}: install the package again."
    what = {
        Trouble.NO_TABLE: "must be a table",
        Trouble.NO_LIST: "must be a list",
        Trouble.NO_TEXTS: "must be a table of texts",
        Trouble.COUNT: f"must have {error.expected} entries",
        Trouble.WORD: f"is {error.value!r}, this appliance knows {_quoted(error.expected)}",
    }.get(error.trouble, f"must be of type {error.expected}, not {type(error.value).__name__}")
    return f"{path}: {error.path} {what}."


def _quoted(words: object) -> str:
    return ", ".join(map(repr, words)) if isinstance(words, list) else repr(words)
