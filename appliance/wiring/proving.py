"""A paired run: a model version reads the stored images that another one has read here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance.calibrating import Paired, Subject
from appliance.domain import Channel, ModelUse
from appliance.errors import ConfigError, StorageError
from appliance.inference.predict import check_golden, load_predictor
from appliance.inference.registry import BACKENDS, choose
from appliance.manifest import Task
from appliance.pipeline import Pipeline, Reader
from appliance.scope import Policy
from appliance.store import scores
from appliance.threshold_mapping import map_threshold
from appliance.wiring.models import installed_models
from appliance.wiring.reading import load_models
from appliance.wiring.settings import Options, data_folder, load
from appliance.wiring.site import build_calibration
from appliance.wiring.storage import build_decoder, open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.domain import ChosenPoint
    from appliance.manifest import ModelManifest
    from appliance.store.database import Store
    from appliance.store.files import FileStore
    from appliance.store.scores import ImageScore

    Score = Callable[[bytes], float | None]


@dataclass(frozen=True, slots=True)
class Proof:
    """What is to be proved, and how.

    Parameters
    ----------
    against
        The version that it is held against, or None for the one that has read here before it.
    engine
        Name of the engine, or None for the one that reads here.
    most_loss
        Of the images that the old version called abnormal, at most this share may be missed.
    """

    model_id: str
    version: str
    channel: Channel
    against: str | None
    engine: str | None
    most_loss: float
    by: str
    reason: str


def prove_model(options: Options, proof: Proof) -> tuple[ChosenPoint, Paired]:
    """Read the stored images with a model version, map its threshold, and sign for it.

    Raises
    ------
    ConfigError
        The version is not on this box, cannot read here, or nothing has read here before it.
    RefusedError
        There are too few stored images, or a name or reason is missing.
    """
    data, config = data_folder(options), load(options)
    manifest = _manifest(data, proof)
    others = [r for r in load_models(config, data).readers if r.manifest.id != manifest.id]
    reader = _reader(manifest, proof.engine, config.reading.threads)
    store, files = open_store(data)
    try:
        with build_decoder(config) as decoder:
            pipeline = Pipeline(decoder.decode, [reader, *others], Policy())
            output = manifest.operating_points[0].output

            def score(content: bytes) -> float | None:
                reading, _ = pipeline.read(content, model_id=manifest.id)
                return reading.research.get(output)

            use = ModelUse(
                manifest.id, manifest.sha256, reader.predictor.ref.backend, proof.channel
            )
            paired = paired_run(store, files, use, output, proof, score)
        subject = _subject(manifest, proof.channel)
        site = build_calibration(store, data)
        return site.prove(subject, use.backend, paired, (proof.by, proof.reason)), paired
    finally:
        store.close()


def paired_run(
    store: Store, files: FileStore, use: ModelUse, output: str, proof: Proof, score: Score
) -> Paired:
    """Compare what a version says of the stored images with what another one said.

    Parameters
    ----------
    use
        What is to be proved.
    score
        Gives a file's bytes the new version's probability, or None where it does not read it.
    """
    old, version, threshold = _forerunner(store, use, output, proof.against)
    with store.read() as db:
        known = scores.of_images(db, old, output)
    pairs = [(image.probability, _score(files, image, score)) for image in known]
    both = np.array([(was, now) for was, now in pairs if now is not None], np.float64)
    both = both.reshape(-1, 2)
    mapped = map_threshold(both[:, 0], threshold, both[:, 1], proof.most_loss)
    return Paired(
        old_version=version,
        old_sha256=old.model_sha256,
        old_backend=old.backend,
        old_threshold=threshold,
        skipped=len(pairs) - len(both),
        most_loss=proof.most_loss,
        mapped=mapped,
    )


def _score(files: FileStore, image: ImageScore, score: Score) -> float | None:
    try:
        content = files.read(image.sha256)
    except StorageError:
        return None
    return score(content)


def _forerunner(
    store: Store, use: ModelUse, output: str, against: str | None
) -> tuple[ModelUse, str, float]:
    """Return the last other version or engine that answered here, its version and threshold."""
    with store.read() as db:
        for old in reversed(scores.uses(db)):
            same = (old.model_sha256, old.backend) == (use.model_sha256, use.backend)
            if same or (old.model_id, old.channel) != (use.model_id, use.channel):
                continue
            point = scores.last_point(db, old, output)
            if point is not None and against in {None, point[0]}:
                return old, *point
    which = f"version {against}" if against else "another version or engine"
    raise ConfigError(
        f"Nothing to hold it against: {which} of {use.model_id} has read no {use.channel} image "
        "here."
    )


def _manifest(data: Path, proof: Proof) -> ModelManifest:
    for model in installed_models(data):
        found = model.manifest
        if found is not None and (found.id, found.version) == (proof.model_id, proof.version):
            if found.task is not Task.CLASSIFICATION:
                raise ConfigError(f"{found.id} looks for no finding: it has no threshold to prove.")
            return found
    raise ConfigError(f"{proof.model_id} {proof.version} is not on this box, or is not whole.")


def _reader(manifest: ModelManifest, engine: str | None, threads: int) -> Reader:
    backend = choose()
    if engine is not None:
        known = {item.name: item for item in BACKENDS}
        if engine not in known:
            raise ConfigError(f"There is no engine {engine}. There is: {', '.join(known)}.")
        backend = known[engine]
    predictor = load_predictor(manifest, threads=threads, backend=backend)
    if engine is None and not check_golden(predictor, manifest).ok:
        raise ConfigError(
            f"{manifest.id} {manifest.version} does not pass its golden vectors here."
        )
    return Reader(manifest, predictor)


def _subject(manifest: ModelManifest, channel: Channel) -> Subject:
    point = manifest.operating_points[0]
    return Subject(
        manifest.id, manifest.version, manifest.sha256, point.output, channel, point.threshold
    )
