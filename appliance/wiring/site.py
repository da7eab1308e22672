"""A site's own figures: its reference results, chosen operating points, and the stations' watch."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from appliance import health
from appliance.calibrating import SiteCalibration, Subject
from appliance.domain import Channel, Check, ChosenPoint
from appliance.errors import ConfigError, InstallError
from appliance.manifest import ModelManifest, Task
from appliance.references import References
from appliance.signing import KEY_BYTES
from appliance.site_calibration import Costs
from appliance.store import scores
from appliance.watch import StationWatch
from appliance.wiring.models import current_models
from appliance.wiring.settings import Options, data_folder, load
from appliance.wiring.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.calibrating import Question, Report
    from appliance.domain import ModelUse
    from appliance.store.database import Store

KEY_NAME = "site.key"


def read_key(data: Path) -> bytes | None:
    """Return the box's signing key, or None where it was not made yet.

    Raises
    ------
    InstallError
        The file is there and cannot be read, or is no key.
    """
    try:
        key = (data / KEY_NAME).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InstallError(f"{KEY_NAME} cannot be read: {error.strerror}.") from error
    if len(key) != KEY_BYTES:
        raise InstallError(f"{KEY_NAME} is damaged: it must have {KEY_BYTES} bytes.")
    return key


def make_key(data: Path) -> bytes:
    """Make the box's signing key, once, readable by the box alone; return it.

    Raises
    ------
    InstallError
        It cannot be written.
    """
    key = os.urandom(KEY_BYTES)
    try:
        handle = os.open(data / KEY_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(data, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise InstallError(f"{KEY_NAME} cannot be written: {error.strerror}.") from error
    return key


def build_calibration(store: Store, data: Path) -> SiteCalibration:
    """Return a site's calibration over an open store, with the key as it is now."""
    return SiteCalibration(
        store, key=read_key(data), make_key=lambda: make_key(data), clock=time.time
    )


@contextmanager
def site_calibration(options: Options) -> Iterator[SiteCalibration]:
    """Lend a site's calibration."""
    data = data_folder(options)
    store, _ = open_store(data)
    try:
        yield build_calibration(store, data)
    finally:
        store.close()


@contextmanager
def references(options: Options) -> Iterator[References]:
    """Lend the door for reference results."""
    store, _ = open_store(data_folder(options))
    try:
        yield References(store, time.time)
    finally:
        store.close()


@contextmanager
def station_watch(options: Options) -> Iterator[StationWatch]:
    """Lend the watch over the sending stations."""
    store, _ = open_store(data_folder(options))
    try:
        yield StationWatch(store, time.time)
    finally:
        store.close()


def report_site(
    options: Options,
    subject: Subject,
    question: Question,
    costs: tuple[float | None, float | None],
) -> Report:
    """Return the site's figures, with costs (X-ray, test) where both are given.

    Raises
    ------
    ConfigError
        Only one of the costs is given.
    RefusedError
        The sample is too small.
    """
    xray, test = costs
    if (xray is None) is not (test is None):
        raise ConfigError("Give both costs, of the X-ray and of the test, or neither.")
    if xray is not None and test is not None:
        question = replace(question, costs=Costs(xray, test))
    with site_calibration(options) as site:
        return site.report(subject, question)


def weekly_summary(options: Options) -> str:
    """Return the last seven days of the stations as one line of JSON."""
    name = load(options).station.name
    with station_watch(options) as watch:
        return watch.summary(name)


def chosen_points(store: Store, data: Path) -> tuple[ChosenPoint, ...]:
    """Return what this site chose; nothing where the record or its key is not whole."""
    try:
        return build_calibration(store, data).points()
    except InstallError:
        return ()  # `check_chosen` says why


def kept_points(data: Path) -> tuple[ChosenPoint, ...]:
    """Return what this site chose, also where no store was opened; nothing where there is none."""
    if not (data / "waypost.db").is_file():
        return ()
    store, _ = open_store(data)
    try:
        return chosen_points(store, data)
    finally:
        store.close()


def used_here(store: Store) -> list[ModelUse]:
    """Return which versions and engines have read here, the first first."""
    with store.read() as db:
        return scores.uses(db)


def kept_uses(data: Path) -> list[ModelUse]:
    """Return the same where no store was opened; nothing where there is none."""
    if not (data / "waypost.db").is_file():
        return []
    store, _ = open_store(data)
    try:
        return used_here(store)
    finally:
        store.close()


def check_chosen(store: Store, data: Path) -> Check:
    """Test whether the record of chosen operating points is whole."""
    try:
        calibration = build_calibration(store, data)
        troubles = calibration.verify()[1]
    except InstallError as error:
        return health.check_operating_points(0, [error.text])
    return health.check_operating_points(len(calibration.points()), troubles)


def subject_of(options: Options, model_id: str | None, channel: str) -> Subject:
    """Return what is calibrated: the newest version here of a model that looks for a finding.

    Raises
    ------
    ConfigError
        There is no such model here, or a person has to say which.
    """
    manifests = [
        model.manifest
        for model in current_models(data_folder(options))
        if model.manifest is not None and model.manifest.task is Task.CLASSIFICATION
    ]
    fitting = [m for m in manifests if model_id in {None, m.id}]
    if len(fitting) != 1:
        known = ", ".join(manifest.id for manifest in manifests) or "none"
        raise ConfigError(f"Say which model, with --model. There is: {known}.")
    return _subject(fitting[0], Channel(channel))


def _subject(manifest: ModelManifest, channel: Channel) -> Subject:
    point = manifest.operating_points[0]
    return Subject(
        model_id=manifest.id,
        model_version=manifest.version,
        model_sha256=manifest.sha256,
        output=point.output,
        channel=channel,
        shipped=point.threshold,
    )
