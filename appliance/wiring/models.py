"""The model packages on this box, verified; no inference engine is needed to look at them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.domain import ModelSummary
from appliance.errors import ManifestError
from appliance.manifest import MANIFEST_NAME, ModelManifest, load_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable

# What stands in place of a model that is for research only where it is switched off.
SWITCHED_OFF = (
    "for research only, and switched off. An administrator can let it read: [models] research = "
    "true in waypost.toml"
)


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model package found on this box, and why it cannot be used, or None."""

    directory: Path
    manifest: ModelManifest | None
    trouble: str | None


def model_folders(data: Path) -> list[Path]:
    """Return the folders that may hold model packages: the box's own, then the shipped ones."""
    shipped = Path(__file__).resolve().parents[2] / "models"
    if not shipped.is_dir():
        shipped = Path(sys.prefix) / "share" / "waypost" / "models"
    given = os.environ.get("WAYPOST_MODELS")
    return [data / "models", Path(given) if given else shipped]


def installed_models(data: Path) -> list[InstalledModel]:
    """Return every model package on this box, verified, the newest version of each id first."""
    found = [
        open_package(path.parent)
        for folder in model_folders(data)
        for path in sorted(folder.glob(f"*/*/{MANIFEST_NAME}"))
    ]
    return sorted(found, key=_by_id_and_version)


def open_package(directory: Path) -> InstalledModel:
    """Read and verify one model package."""
    try:
        return InstalledModel(directory, load_manifest(directory), None)
    except ManifestError as error:
        return InstalledModel(directory, None, error.text)


def _by_id_and_version(model: InstalledModel) -> tuple[str, list[int]]:
    name, version_text = model.directory.parent.name, model.directory.name
    numbers = [int(part) if part.isdecimal() else 0 for part in version_text.split(".")]
    return name, [-number for number in numbers]


def current_models(data: Path, *, research: bool = False) -> list[InstalledModel]:
    """Return the newest usable package of each id, or the newest other one where none is usable.

    Parameters
    ----------
    research
        Whether an administrator lets models that are for research only read; if not, such a package
        is not usable.
    """
    chosen: dict[str, InstalledModel] = {}
    for model in installed_models(data):
        name = model.directory.parent.name
        if name not in chosen or _worth(model, research=research) > _worth(
            chosen[name], research=research
        ):
            chosen[name] = model
    return list(chosen.values())


def _worth(model: InstalledModel, *, research: bool) -> int:
    """Return 2 for a package that may read, 1 for one that is switched off, 0 for a broken one."""
    if model.manifest is None:
        return 0
    return 2 if may_read(model.manifest, research=research) else 1


def may_read(manifest: ModelManifest, *, research: bool) -> bool:
    """Say whether a model may read where research models are switched on or off."""
    return research or not manifest.research_only


def without_outliner(manifest: ModelManifest, others: Iterable[ModelManifest]) -> str | None:
    """Return why a model cannot read here for want of the one that draws its frame, or None.

    Parameters
    ----------
    others
        The models that it could ask.
    """
    rule = manifest.input.frame
    if rule is None or any(other.draws_for(rule) for other in others):
        return None
    return (
        f"It is shown only what the model {rule.model} outlines, and that model does not read "
        f"here. Install the package {rule.model}."
    )


def model_summaries(data: Path, backend: str, *, research: bool = False) -> list[ModelSummary]:
    """Return what a person must be able to see of each current model.

    Parameters
    ----------
    backend
        The engine that runs them here.
    research
        Whether models that are for research only read here.
    """
    return [
        ModelSummary(
            id=model.manifest.id,
            version=model.manifest.version,
            sha256=model.manifest.sha256,
            backend=backend,
            title=model.manifest.title,
            intended_use=model.manifest.intended_use.text,
            limits=" ".join(model.manifest.intended_use.limits),
            research_only=model.manifest.research_only,
        )
        for model in current_models(data, research=research)
        if model.manifest is not None
    ]


def model_card(data: Path, name: str, number: str) -> str | None:
    """Return the card (Markdown) of a model version on this box, or None."""
    for model in installed_models(data):
        if (model.directory.parent.name, model.directory.name) == (name, number):
            card = model.directory / "card.md"
            return card.read_text("utf-8") if card.is_file() else None
    return None


def describe_models(data: Path) -> list[dict[str, str]]:
    """Return id, version, sha256, title, place and state of every package on this box."""
    found = installed_models(data)
    usable = [model.manifest for model in found if model.manifest]
    return [
        {
            "id": model.directory.parent.name,
            "version": model.directory.name,
            "sha256": model.manifest.sha256 if model.manifest else "",
            "title": model.manifest.title if model.manifest else "",
            "directory": str(model.directory),
            "state": _state(model, usable),
        }
        for model in found
    ]


def _state(model: InstalledModel, usable: list[ModelManifest]) -> str:
    if model.manifest is None:
        return model.trouble or "broken"
    return without_outliner(model.manifest, usable) or "whole"
