"""One TOML file becomes frozen dataclasses; an unknown key is an error.

The file is ``waypost.toml`` in the data folder; without it every value is the default. Nothing
that runs reads configuration: the composition root hands out plain values.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.errors import ConfigError
from appliance.tables import TableError, Trouble, from_table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "waypost.toml"


@dataclass(frozen=True, slots=True)
class Station:
    """How the box appears to its neighbours."""

    name: str = "Waypost"
    ae_title: str = "WAYPOST"
    dicom_host: str = "127.0.0.1"
    dicom_port: int = 11112
    web_host: str = "127.0.0.1"
    web_port: int = 8080


@dataclass(frozen=True, slots=True)
class Limits:
    """What the box accepts, and what a decoder may use."""

    instance_bytes: int = 256 * 1024 * 1024
    pixel_bytes: int = 200 * 1024 * 1024
    decode_memory_bytes: int = 1024 * 1024 * 1024
    decode_seconds: float = 20.0
    associations: int = 10
    free_disk_bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """How images are read."""

    threads: int = 2
    refuse_unknown_age: bool = False


@dataclass(frozen=True, slots=True)
class Models:
    """Which models may read.

    Parameters
    ----------
    research
        Lets models that are for research only read too; the words stand beside every result.
    """

    research: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """A far side that gets instances and results.

    Parameters
    ----------
    kind
        ``cstore`` (needs host, port, ae_title) or ``stow`` (needs url).
    """

    name: str
    kind: str
    host: str = ""
    port: int = 104
    ae_title: str = ""
    url: str = ""
    user: str = ""
    password_file: str = ""
    send_instances: bool = True
    send_results: bool = True
    timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file."""

    station: Station = field(default_factory=Station)
    limits: Limits = field(default_factory=Limits)
    reading: Reading = field(default_factory=Reading)
    models: Models = field(default_factory=Models)
    target: tuple[Target, ...] = ()


def load_config(path: Path) -> Config:
    """Read the file at `path`; a file that is not there means the defaults.

    Raises
    ------
    ConfigError
        The file is no TOML, has an unknown key or a value of the wrong type, or a target lacks
        what its kind needs. The text names the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}.") from error
    return parse_config(text, path.name)


def parse_config(text: str, name: str = FILE_NAME) -> Config:
    """Return the configuration that `text` (TOML) says; see `load_config` for what it raises."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not valid TOML: {error}.") from error
    try:
        config = from_table(Config, table)
    except TableError as error:
        raise ConfigError(_sentence(error, name)) from None
    _check(config, name)
    return config


def _sentence(error: TableError, name: str) -> str:
    """Say what is wrong with a key, and how to write it."""
    key, expected = _INDEX.sub("", error.path), error.expected
    repeated = f"{name}: write {key} as [[{key}]], once for each."
    if error.trouble is Trouble.NO_TABLE and _INDEX.search(error.key):
        return repeated
    known = ", ".join(expected) if isinstance(expected, list) else ""
    return {
        Trouble.UNKNOWN: f"{name}: unknown key {key}. Known here: {known}.",
        Trouble.MISSING: f"{name}: {key} is missing.",
        Trouble.NO_LIST: repeated,
        Trouble.NO_TABLE: f"{name}: write {key} as a section, [{key}].",
    }.get(error.trouble, f"{name}: {key} must be of type {expected}.")


_INDEX = re.compile(r"\[\d+\]")
_AE_TITLE = re.compile(r"^[^\\\x00-\x1f]{1,16}$")


def _check(config: Config, name: str) -> None:
    if not is_ae_title(config.station.ae_title):
        raise ConfigError(f"{name}: station.ae_title must be 1 to 16 characters (PS3.5 6.2, AE).")
    if config.reading.threads < 1:
        raise ConfigError(f"{name}: reading.threads must be at least 1.")
    names = [target.name for target in config.target]
    if len(set(names)) != len(names):
        raise ConfigError(f"{name}: two targets have the same name.")
    for target in config.target:
        _check_target(target, name)


def _check_target(target: Target, name: str) -> None:
    if target.kind not in {"cstore", "stow"}:
        raise ConfigError(f"{name}: target.kind of {target.name} must be cstore or stow.")
    if target.kind == "cstore" and not (target.host and is_ae_title(target.ae_title)):
        raise ConfigError(f"{name}: target {target.name} needs host, port and ae_title.")
    if target.kind == "stow" and not target.url.startswith(("http://", "https://")):
        raise ConfigError(f"{name}: target {target.name} needs a url, http:// or https://.")


def is_ae_title(text: str) -> bool:
    """Say whether `text` may be an AE title (PS3.5 6.2: 1 to 16 characters, not only spaces)."""
    return bool(_AE_TITLE.match(text)) and bool(text.strip())
