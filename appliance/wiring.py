"""The composition root: the only module that knows every concrete class.

It reads the configuration, builds the parts, and gives each process plain values. What only one
process needs is imported where that process is built, so that the pages carry no inference
engine and the receiver no pages.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance import health
from appliance.config import FILE_NAME, Config, is_ae_title, load_config
from appliance.domain import ModelSummary, SystemReport
from appliance.errors import ConfigError, InstallError, ManifestError
from appliance.logs import set_up_logging
from appliance.manifest import MANIFEST_NAME, ModelManifest, load_manifest
from appliance.review import Review
from appliance.store.database import Store
from appliance.store.files import FileStore
from appliance.supervisor import Role, Supervisor
from appliance.worklist import Worklist

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from appliance.decoder import Decoder
    from appliance.domain import Admission, Check, Reading
    from appliance.ingest.admit import Admitter
    from appliance.ingest.upload import Uploads
    from appliance.pipeline import Pipeline, Reader

_UPLOAD_BYTES = 512 * 1024 * 1024
_UPLOAD_ENTRIES = 2000
_LEFTOVER_AGE_S = 3600.0
_BEAT_S = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line may override of the configuration.

    Parameters
    ----------
    data
        The data folder, or None for the default one.
    web, dicom
        ``HOST:PORT``; port 0 takes a free one.
    """

    data: Path | None = None
    config: Path | None = None
    web: str | None = None
    dicom: str | None = None
    ae_title: str | None = None


@dataclass(frozen=True, slots=True)
class WebServices:
    """All that the pages may use.

    Parameters
    ----------
    system
        Makes the system report anew at each call (some checks take tens of milliseconds).
    model_card
        Model id and version to the text of its card (Markdown), or None.
    """

    station_name: str
    software_version: str
    worklist: Worklist
    review: Review
    uploads: Uploads
    system: Callable[[], SystemReport]
    model_card: Callable[[str, str], str | None]
    upload_bytes: int


# --- configuration -------------------------------------------------------------------------


def software_version() -> str:
    """Return the version of the installed appliance."""
    try:
        return version("waypost")
    except PackageNotFoundError:
        return "0+source"


def data_folder(options: Options) -> Path:
    """Return the data folder: the given one, ``$WAYPOST_HOME``, the box's, or the user's own."""
    if options.data is not None:
        return options.data
    if home := os.environ.get("WAYPOST_HOME"):
        return Path(home)
    box = Path("/var/lib/waypost")
    if os.access(box, os.W_OK):
        return box
    share = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(share) / "waypost"


def load(options: Options) -> Config:
    """Return the configuration with the command line's overrides.

    Raises
    ------
    ConfigError
        The file or an override does not say what it must.
    """
    config = load_config(options.config or data_folder(options) / FILE_NAME)
    station = config.station
    if options.dicom is not None:
        host, port = parse_address(options.dicom)
        station = replace(station, dicom_host=host, dicom_port=port)
    if options.web is not None:
        host, port = parse_address(options.web)
        station = replace(station, web_host=host, web_port=port)
    if options.ae_title is not None:
        if not is_ae_title(options.ae_title):
            raise ConfigError("An AE title has 1 to 16 characters and no backslash.")
        station = replace(station, ae_title=options.ae_title)
    return replace(config, station=station)


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT`` (``[::1]:PORT`` for IPv6).

    Raises
    ------
    ConfigError
        It is not of that form.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"Write the address as HOST:PORT, not {text!r}.")
    return host.strip("[]"), int(port)


# --- parts ---------------------------------------------------------------------------------


def open_store(data: Path) -> tuple[Store, FileStore]:
    """Open (or make) the store in the data folder."""
    try:
        return Store(data / "waypost.db"), FileStore(data / "files")
    except OSError as error:
        raise InstallError(f"The data folder {data} cannot be used: {error.strerror}.") from error


def build_decoder(config: Config) -> Decoder:
    """Return the limited child process that decodes."""
    from appliance.decoder import Decoder

    limits = config.limits
    return Decoder(
        memory_bytes=limits.decode_memory_bytes,
        seconds=limits.decode_seconds,
        pixel_bytes=limits.pixel_bytes,
    )


def build_admitter(config: Config, data: Path, store: Store, files: FileStore) -> Admitter:
    """Return the one door; its decoder starts only when two contents claim one UID."""
    from appliance.ingest.admit import Admitter

    decoder = build_decoder(config)
    return Admitter(
        store,
        files,
        clock=time.time,
        same_content=lambda one, other: decoder.fingerprint(one) == decoder.fingerprint(other),
        instance_bytes=config.limits.instance_bytes,
        free_disk_bytes=config.limits.free_disk_bytes,
        free_bytes=lambda: shutil.disk_usage(data).free,
    )


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model package found on this box, and why it cannot be used, or None."""

    directory: Path
    manifest: ModelManifest | None
    trouble: str | None


def model_folders(data: Path) -> list[Path]:
    """Return the folders that may hold model packages: the box's own, then the shipped ones."""
    shipped = Path(__file__).resolve().parent.parent / "models"
    if not shipped.is_dir():
        shipped = Path(sys.prefix) / "share" / "waypost" / "models"
    given = os.environ.get("WAYPOST_MODELS")
    return [data / "models", Path(given) if given else shipped]


def installed_models(data: Path) -> list[InstalledModel]:
    """Return every model package on this box, verified, the newest version of each id first."""
    found = []
    for folder in model_folders(data):
        for path in sorted(folder.glob(f"*/*/{MANIFEST_NAME}")):
            try:
                found.append(InstalledModel(path.parent, load_manifest(path.parent), None))
            except ManifestError as error:
                found.append(InstalledModel(path.parent, None, error.text))
    return sorted(found, key=_by_id_and_version)


def _by_id_and_version(model: InstalledModel) -> tuple[str, list[int]]:
    name, version_text = model.directory.parent.name, model.directory.name
    numbers = [int(part) if part.isdecimal() else 0 for part in version_text.split(".")]
    return name, [-number for number in numbers]


def current_models(data: Path) -> list[InstalledModel]:
    """Return the newest usable package of each id, or its broken one when there is no other."""
    chosen: dict[str, InstalledModel] = {}
    for model in installed_models(data):
        name = model.directory.parent.name
        if name not in chosen or (chosen[name].manifest is None and model.manifest is not None):
            chosen[name] = model
    return list(chosen.values())


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """The models that read here, and one check for each that is installed."""

    readers: tuple[Reader, ...]
    checks: tuple[Check, ...]


def load_models(config: Config, data: Path) -> LoadedModels:
    """Load the current models; one whose golden vectors do not agree here does not read."""
    from appliance.errors import InferenceError
    from appliance.inference.predict import check_golden, load_predictor
    from appliance.pipeline import Reader

    readers, checks = [], []
    for model in current_models(data):
        name = f"{model.directory.parent.name} {model.directory.name}"
        trouble = model.trouble
        if model.manifest is not None:
            try:
                predictor = load_predictor(model.manifest, threads=config.reading.threads)
                golden = check_golden(predictor, model.manifest)
                if golden.ok:
                    readers.append(Reader(model.manifest, predictor))
                else:
                    trouble = (
                        f"golden vectors differ by {golden.max_abs_difference:.3g} logits"
                        f" (allowed {golden.tolerance:.3g}). It does not read here."
                    )
            except (InstallError, InferenceError) as error:
                trouble = error.text
        checks.append(health.check_model(name, trouble))
    return LoadedModels(tuple(readers), tuple(checks))


def build_pipeline(config: Config, decoder: Decoder, models: LoadedModels) -> Pipeline:
    """Return the straight way over the loaded models."""
    from appliance.pipeline import Pipeline
    from appliance.scope import Policy

    policy = Policy(refuse_unknown_age=config.reading.refuse_unknown_age)
    return Pipeline(decoder.decode, models.readers, policy)


def backend_troubles() -> dict[str, str | None]:
    """Return each inference backend with the reason why it cannot run here, or None."""
    from appliance.inference.registry import BACKENDS

    return {backend.name: backend.is_available() for backend in BACKENDS}


# --- processes -----------------------------------------------------------------------------


def run_appliance(options: Options, started: Callable[[str, str], None]) -> None:
    """Run the whole appliance until SIGINT or SIGTERM.

    Parameters
    ----------
    started
        Called once, with the page's address and the DICOM address, when work is accepted.

    Raises
    ------
    InstallError
        Another appliance uses the data folder, or a process did not start.
    """
    set_up_logging("waypost")
    data = data_folder(options)
    config = load(options)
    with _data_lock(data):
        open_store(data)[0].close()
        supervisor = Supervisor(_roles(options, config, data))
        supervisor.stop_on_signals()
        try:
            addresses = supervisor.start()
            started(f"http://{addresses['web']}", addresses["receive"])
            supervisor.run()
        finally:
            supervisor.shut_down()


def _roles(options: Options, config: Config, data: Path) -> list[Role]:
    common = ["--data", str(data)]
    if options.config is not None:
        common += ["--config", str(options.config)]
    station = config.station
    dicom = ["--dicom", _join(station.dicom_host, station.dicom_port)]
    dicom += ["--ae-title", station.ae_title]
    web = ["--web", _join(station.web_host, station.web_port)]
    python = [sys.executable, "-m"]
    return [
        Role("web", (*python, "web", *common, *web)),
        Role("receive", (*python, "appliance.cli", "role", "receive", *common, *dicom)),
        Role("worker", (*python, "appliance.cli", "role", "worker", *common)),
        Role("courier", (*python, "appliance.cli", "role", "courier", *common)),
    ]


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def _data_lock(data: Path) -> Iterator[None]:
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "run.lock").open("w")
    except OSError as error:
        raise InstallError(f"The data folder {data} cannot be used: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InstallError(
                f"Another appliance already runs on {data}. Stop it first, or give --data."
            ) from error
        yield


def run_role(name: str, options: Options, ready_fd: int | None) -> None:
    """Run one process of the appliance until SIGTERM."""
    set_up_logging(name)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    roles = {"receive": _receive, "worker": _work, "courier": _carry}
    data = data_folder(options)
    store, files = open_store(data)
    try:
        roles[name](load(options), data, (store, files), lambda text: _ready(ready_fd, text), stop)
    finally:
        store.close()


def _ready(ready_fd: int | None, text: str) -> None:
    if ready_fd is not None:
        os.write(ready_fd, f"{text}\n".encode())
        os.close(ready_fd)


_Parts = tuple[Store, FileStore]


def _receive(
    config: Config,
    data: Path,
    parts: _Parts,
    ready: Callable[[str], None],
    stop: threading.Event,
) -> None:
    from appliance.ingest.scp import Receiver

    store, files = parts
    files.remove_leftovers(_LEFTOVER_AGE_S, time.time())
    station = config.station
    receiver = Receiver(
        build_admitter(config, data, store, files).admit,
        ae_title=station.ae_title,
        host=station.dicom_host,
        port=station.dicom_port,
        associations=config.limits.associations,
    )
    host, port = receiver.start()
    ready(_join(host, port))
    try:
        while not stop.wait(_BEAT_S if _beat(store, "receive", _join(host, port)) else 1.0):
            pass
    finally:
        receiver.stop()


def _beat(store: Store, role: str, detail: str) -> bool:
    from appliance.errors import StorageError
    from appliance.store import heartbeats

    try:
        with store.transaction() as db:
            heartbeats.beat(db, role, detail, time.time())
    except StorageError:
        return False  # a full disk: the receiver answers A7xx and goes on
    return True


def _work(
    config: Config,
    data: Path,
    parts: _Parts,
    ready: Callable[[str], None],
    stop: threading.Event,
) -> None:
    from appliance.worker import Route, Worker

    store, files = parts
    models = load_models(config, data)
    detail = json.dumps([asdict(check) for check in models.checks])
    with build_decoder(config) as decoder:
        worker = Worker(
            store,
            files,
            build_pipeline(config, decoder, models).read,
            routes=[Route(t.name, t.send_instances, t.send_results) for t in config.target],
            owner=f"worker-{os.getpid()}",
            clock=time.time,
            detail=lambda: detail,
        )
        worker.take_over()
        ready("-")
        worker.run(stop)


def _carry(
    config: Config,
    data: Path,
    parts: _Parts,
    ready: Callable[[str], None],
    stop: threading.Event,
) -> None:
    import random

    from appliance.sync.courier import Courier
    from appliance.sync.payload import Payloads

    store, files = parts
    uses = {m.manifest.id: m.manifest for m in current_models(data) if m.manifest is not None}
    payloads = Payloads(
        store,
        files,
        station_name=config.station.name,
        software_version=software_version(),
        intended_use_of=lambda model: uses[model].intended_use.text if model in uses else "",
    )
    courier = Courier(
        store,
        {target.name: build_transport(target, config.station.ae_title) for target in config.target},
        payloads,
        owner=f"courier-{os.getpid()}",
        clock=time.time,
        random=random.random,
        lease_s=600.0,
    )
    ready("-")
    courier.run(stop)
