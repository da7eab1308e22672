"""The store in the data folder, and the one door to it."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from appliance.decoder.parent import Decoder
from appliance.domain import Source
from appliance.errors import InstallError
from appliance.ingest.admit import Admitter
from appliance.ingest.media import admit_paths
from appliance.store.database import Store
from appliance.store.files import FileStore
from appliance.wiring.settings import Options, data_folder, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from appliance.config import Config
    from appliance.domain import Admission


def open_store(data: Path) -> tuple[Store, FileStore]:
    """Open (or make) the store in the data folder."""
    try:
        return Store(data / "waypost.db"), FileStore(data / "files")
    except OSError as error:
        raise InstallError(f"The data folder {data} cannot be used: {error.strerror}.") from error


def build_decoder(config: Config) -> Decoder:
    """Return the limited child process that decodes."""
    limits = config.limits
    return Decoder(
        memory_bytes=limits.decode_memory_bytes,
        seconds=limits.decode_seconds,
        pixel_bytes=limits.pixel_bytes,
    )


def reserve_bytes(config: Config, data: Path) -> int:
    """Return the free space that is kept: as configured, but at most a twentieth of the disk."""
    return min(config.limits.free_disk_bytes, shutil.disk_usage(data).total // 20)


def build_admitter(
    config: Config, data: Path, parts: tuple[Store, FileStore], decoder: Decoder
) -> Admitter:
    """Return the one door.

    Parameters
    ----------
    decoder
        Compares contents; its child starts only when two of them claim one SOP Instance UID. The
        caller closes it.
    """
    store, files = parts
    return Admitter(
        store,
        files,
        clock=time.time,
        same_content=decoder.same_content,
        instance_bytes=config.limits.instance_bytes,
        free_disk_bytes=reserve_bytes(config, data),
        free_bytes=lambda: shutil.disk_usage(data).free,
    )


def admit_files(options: Options, paths: Sequence[Path]) -> Iterator[tuple[Path, Admission]]:
    """Take files in durably, through the same door as C-STORE."""
    data, config = data_folder(options), load(options)
    store, files = open_store(data)
    try:
        with build_decoder(config) as decoder:
            admitter = build_admitter(config, data, (store, files), decoder)
            yield from admit_paths(paths, admitter.admit, Source.SHELL)
    finally:
        store.close()
