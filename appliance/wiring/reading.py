"""What reads: models on their engine, the pipeline over them, and their self-tests."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance import health
from appliance.domain import Check, ModelUse, Reading, ReadingState, Reason
from appliance.errors import ConfigError, InferenceError, InstallError
from appliance.inference.predict import check_golden, load_predictor
from appliance.inference.registry import BACKENDS, choose
from appliance.inference.tensorrt_gpu import TensorRtGpu
from appliance.inference.upgrade import SwitchingPredictor, Upgrade
from appliance.ingest.media import files_of
from appliance.manifest import Task
from appliance.pipeline import Pipeline, Reader
from appliance.report.overlay import mask_png, outline_png, overlay_png
from appliance.scope import Policy, channel_of
from appliance.wiring.models import (
    SWITCHED_OFF,
    InstalledModel,
    current_models,
    installed_models,
    may_read,
    open_package,
    without_outliner,
)
from appliance.wiring.settings import Options, data_folder, load
from appliance.wiring.site import (
    check_chosen,
    chosen_points,
    kept_points,
    kept_uses,
    used_here,
)
from appliance.wiring.storage import build_decoder, open_store, reserve_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from appliance.config import Config
    from appliance.decoder.parent import Decoder
    from appliance.domain import ChosenPoint, DecodedImage, ReadAnyway
    from appliance.inference.backend import Accelerator
    from appliance.manifest import ModelManifest
    from appliance.store.database import Store
    from appliance.worker import Reads


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """The models that read here, and one check for each that is installed."""

    readers: tuple[Reader, ...]
    checks: tuple[Check, ...]

    @property
    def all_checks(self) -> tuple[Check, ...]:
        """The models' checks, and whether one of them tells kinds of images."""
        gate = next((r.manifest.id for r in self.readers if r.manifest.task is Task.KIND), None)
        return (*self.checks, health.check_kinds(gate))

    @property
    def reading_ids(self) -> list[str]:
        """The ids of those that give readings: all but the models of kinds."""
        manifests = (reader.manifest for reader in self.readers)
        return [manifest.id for manifest in manifests if manifest.task is not Task.KIND]


def load_models(config: Config, data: Path) -> LoadedModels:
    """Load the current models; one whose golden vectors do not agree here does not read.

    Nor does one whose frame is drawn by a model that does not, or one that is for research only
    where that is switched off. A model of kinds is among them: it reads nothing, and is asked what
    an image is and which way up.
    """
    research = config.models.research
    loaded = [
        _switched_off(model.manifest)
        if model.manifest is not None and not may_read(model.manifest, research=research)
        else load_model(config, model)
        for model in current_models(data, research=research)
    ]
    ready = [reader.manifest for reader, _ in loaded if reader is not None]
    readers, checks = [], []
    for reader, check in (_with_outliner(reader, check, ready) for reader, check in loaded):
        checks.append(check)
        if reader is not None:
            readers.append(reader)
    return LoadedModels(tuple(readers), tuple(checks))


def _switched_off(manifest: ModelManifest) -> tuple[None, Check]:
    """Say of a model for research only why it does not read; that is as it should be."""
    name = f"{manifest.id} {manifest.version}"
    return None, replace(health.check_model(name, None), text=SWITCHED_OFF)


def _with_outliner(
    reader: Reader | None, check: Check, ready: Sequence[ModelManifest]
) -> tuple[Reader | None, Check]:
    """Take back a model whose frame nothing draws here."""
    trouble = None if reader is None else without_outliner(reader.manifest, ready)
    return (reader, check) if trouble is None else (None, replace(check, ok=False, text=trouble))


def load_model(config: Config, model: InstalledModel) -> tuple[Reader | None, Check]:
    """Load one package; None and the reason when it must not read here."""
    name = f"{model.directory.parent.name} {model.directory.name}"
    if model.manifest is None:
        return None, health.check_model(name, model.trouble)
    try:
        predictor = load_predictor(model.manifest, threads=config.reading.threads)
        golden = check_golden(predictor, model.manifest)
    except (InstallError, InferenceError) as error:
        return None, health.check_model(name, error.text)
    if not golden.ok:
        trouble = (
            f"golden vectors differ by {golden.max_abs_difference:.3g} logits"
            f" (allowed {golden.tolerance:.3g}). It does not read here."
        )
        return None, health.check_model(name, trouble)
    return Reader(model.manifest, SwitchingPredictor(predictor)), health.check_model(name, None)


def build_pipeline(config: Config, decoder: Decoder, models: LoadedModels) -> Pipeline:
    """Return the straight way over the loaded models."""
    policy = Policy(refuse_unknown_age=config.reading.refuse_unknown_age)
    return Pipeline(decoder.decode, models.readers, policy)


def build_read(pipeline: Pipeline, store: Store, data: Path) -> Reads:
    """Return the straight way with the operating points that hold when an image is read."""
    uses = used_here(store)

    def read(
        content: bytes, *, anyway: ReadAnyway | None = None
    ) -> tuple[Reading, DecodedImage | None]:
        reading, image = pipeline.read(
            content, points=chosen_points(store, data), uses=uses, anyway=anyway
        )
        if image is not None and reading.model is not None and reading.research:
            ref = reading.model
            use = ModelUse(ref.id, ref.sha256, ref.backend, channel_of(image.header))
            if use not in uses:
                uses.append(use)
        return reading, image

    return read


def build_upgrade(
    config: Config, data: Path, models: LoadedModels, backend: Accelerator | None = None
) -> Upgrade:
    """Return what brings the loaded models to the GPU while the CPU answers.

    Parameters
    ----------
    backend
        The engine that is built here; TensorRT where none is given.
    """
    if backend is None:
        tensorrt = TensorRtGpu(data / "engines")
        tensorrt.cache.keep_only(_graphs(data, tensorrt.graph))
        backend = tensorrt
    steps = [
        (reader.manifest, reader.predictor)
        for reader in models.readers
        if isinstance(reader.predictor, SwitchingPredictor)
    ]
    return Upgrade(backend, steps, threads=config.reading.threads)


def _graphs(data: Path, name: str) -> set[str]:
    """Return the hash of this graph in each package on the box."""
    manifests = (model.manifest for model in installed_models(data))
    return {manifest.files.get(name, "") for manifest in manifests if manifest is not None}


def backend_troubles(data: Path) -> dict[str, str | None]:
    """Return each inference backend with the reason why it does not run here, or None.

    An engine that could not be made on this box is a reason too.
    """
    troubles = {backend.name: backend.is_available() for backend in BACKENDS}
    tensorrt = TensorRtGpu(data / "engines")
    if troubles.get(tensorrt.name) is None:
        troubles[tensorrt.name] = _engine_failures(tensorrt, data)
    return troubles


def _engine_failures(backend: Accelerator, data: Path) -> str | None:
    manifests = (model.manifest for model in current_models(data, research=True))
    graphs = (m.path(backend.graph) for m in manifests if m and backend.graph in m.files)
    reasons = [reason for graph in graphs if (reason := backend.failure(graph)) is not None]
    return "; ".join(reasons) or None


def self_test(options: Options) -> tuple[list[Check], dict[str, str | None]]:
    """Run every self-test in this process: golden vectors, database, disk, clock, backends."""
    data, config = data_folder(options), load(options)
    store, _ = open_store(data)
    try:
        database = health.check_database(store)
        chosen = check_chosen(store, data)
    finally:
        store.close()
    troubles = backend_troubles(data)
    engine = choose().name
    checks = [
        health.check_disk(shutil.disk_usage(data).free, reserve_bytes(config, data)),
        health.check_clock(time.time()),
        database,
        chosen,
        *(
            health.check_backend(name, trouble, chosen=name == engine)
            for name, trouble in troubles.items()
        ),
    ]
    models = load_models(config, data)
    if not models.reading_ids:
        checks.append(
            Check("models", "Models", ok=False, text="no model reads here. Install a package.")
        )
    return [*checks, *models.all_checks], troubles


def read_files(
    options: Options, paths: Sequence[Path], model_id: str | None
) -> Iterator[tuple[Path, Reading, DecodedImage | None]]:
    """Read files without a store: the same pipeline as the worker's.

    Raises
    ------
    ConfigError
        There is no model `model_id` on this box.
    """
    data, config = data_folder(options), load(options)
    models = load_models(config, data)
    known = models.reading_ids
    if model_id is not None and model_id not in known:
        raise ConfigError(_no_such_model(model_id, known, models.checks))
    with build_decoder(config) as decoder:
        pipeline = build_pipeline(config, decoder, models)
        points, uses = kept_points(data), kept_uses(data)
        for path in files_of(paths):
            reading, image = _read_one(pipeline, path, model_id, points, uses)
            yield path, reading, image


def _no_such_model(model_id: str, known: Sequence[str], checks: Sequence[Check]) -> str:
    """Say what reads here, and why this model does not, where it is known."""
    told = [check.text for check in checks if check.code.startswith(f"model_{model_id} ")]
    there_is = f"There is: {', '.join(known)}." if known else "There is none."
    return " ".join([f"There is no model {model_id} here.", *told, there_is])


def _read_one(
    pipeline: Pipeline,
    path: Path,
    model_id: str | None,
    points: Sequence[ChosenPoint],
    uses: Sequence[ModelUse],
) -> tuple[Reading, DecodedImage | None]:
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = Reason("unreadable", f"The file cannot be read: {error.strerror}.")
        return Reading(ReadingState.FAILED, (reason,)), None
    return pipeline.read(content, model_id=model_id, points=points, uses=uses)


def verify_models(options: Options, package: Path | None) -> list[Check]:
    """Verify one package, or all on this box: every hash, then the golden vectors."""
    data, config = data_folder(options), load(options)
    packages = installed_models(data) if package is None else [open_package(package)]
    return [load_model(config, item)[1] for item in packages]


def write_overlay(folder: Path, source: Path, reading: Reading, image: DecodedImage) -> None:
    """Write what can be shown of a reading, or nothing where there is nothing to show.

    ``<stem>.overlay.png`` is the film with the heat map of its finding, or with the outlines that
    were drawn; ``<stem>.<code>.mask.png`` is an outline as a mask (0 or 255) of the film's size.
    """
    pictures = {
        f"{source.stem}.{drawn.code}.mask.png": mask_png(drawn) for drawn in reading.outlines
    }
    if reading.explanation is not None:
        pictures[f"{source.stem}.overlay.png"] = overlay_png(image.pixels, reading.explanation)
    elif reading.outlines:
        pictures[f"{source.stem}.overlay.png"] = outline_png(image.pixels, reading.outlines)
    for name, content in pictures.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
