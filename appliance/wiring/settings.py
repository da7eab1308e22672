"""What a process is told: options of the command line over the configuration file."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from appliance.config import FILE_NAME, Config, is_ae_title, load_config
from appliance.errors import ConfigError


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


def join_address(host: str, port: int) -> str:
    """Return ``HOST:PORT`` (``[::1]:PORT`` for IPv6)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
