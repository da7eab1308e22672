"""What carries: a transport for each configured target, and the courier over them."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import ConfigError, PeerUnreachableError
from appliance.sync.courier import Courier
from appliance.sync.cstore import CStoreTransport
from appliance.sync.payload import Payloads
from appliance.sync.stow import StowTransport
from appliance.wiring.models import current_models
from appliance.wiring.settings import software_version

if TYPE_CHECKING:
    from appliance.config import Config, Target
    from appliance.store.database import Store
    from appliance.store.files import FileStore
    from appliance.sync.transport import Receipt, Transport

_LEASE_S = 600.0


class Blocked:
    """The way to a target that cannot be used as configured: everything for it waits.

    The others go on, and the reason stands at each of its items.
    """

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def send(self, content: bytes, object_uid: str) -> Receipt:  # noqa: ARG002 - the protocol's
        """Raise the reason as `PeerUnreachableError`: tried again, never lost."""
        raise PeerUnreachableError(self._reason, code="target_configuration")

    def close(self) -> None:
        """Do nothing: there is no connection."""


def build_transport(target: Target, calling_ae_title: str) -> Transport:
    """Return the way to one configured target; one that cannot be used blocks only itself."""
    try:
        return _transport(target, calling_ae_title)
    except ConfigError as error:
        return Blocked(error.text)


def _transport(target: Target, calling_ae_title: str) -> Transport:
    if target.kind == "cstore":
        return CStoreTransport(
            target.host,
            target.port,
            called_ae_title=target.ae_title,
            calling_ae_title=calling_ae_title,
            timeout_s=target.timeout_seconds,
        )
    return StowTransport(
        target.url,
        user=target.user,
        password=_password(target),
        timeout_s=target.timeout_seconds,
    )


def _password(target: Target) -> str:
    if not target.password_file:
        return ""
    try:
        return Path(target.password_file).read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"The password file of target {target.name} cannot be read: {error.strerror}."
        ) from error


def build_courier(config: Config, data: Path, store: Store, files: FileStore) -> Courier:
    """Return the courier over every configured target."""
    found = current_models(data, research=config.models.research)
    models = [model.manifest for model in found if model.manifest is not None]
    uses = {manifest.id: manifest.intended_use.text for manifest in models}
    payloads = Payloads(
        store,
        files,
        station_name=config.station.name,
        software_version=software_version(),
        intended_use_of=lambda model: uses.get(model, ""),
    )
    transports = {t.name: build_transport(t, config.station.ae_title) for t in config.target}
    return Courier(
        store,
        transports,
        payloads,
        owner=f"courier-{os.getpid()}",
        clock=time.time,
        random=random.random,
        lease_s=_LEASE_S,
    )
