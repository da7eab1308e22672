"""Finished work is kept: a stage whose inputs did not change is not done twice."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Stages:
    """The stages of one run, remembered in ``stages.json`` of its folder.

    A stage is reused when its key (what went into it) is the same and every file that it wrote
    still has its hash. The workbench's own code is not part of the key: after a change of code,
    delete the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "stages.json"
        self._done: dict[str, Any] = (
            json.loads(self._path.read_text()) if self._path.is_file() else {}
        )

    def run(
        self, name: str, inputs: object, files: tuple[str, ...], make: Callable[[], None]
    ) -> str:
        """Do a stage unless it is done; return a hash of what it wrote, for the next one's key."""
        key = digest(inputs)
        kept = self._done.get(name)
        if kept is None or kept["key"] != key or kept["files"] != self._hashes(files):
            make()
            kept = {"key": key, "files": self._hashes(files)}
            self._done[name] = kept
            self._path.write_text(json.dumps(self._done, indent=1))
        return digest(kept["files"])

    def finished(self, name: str) -> bool:
        """Whether a stage was done once and its files are as it left them."""
        kept = self._done.get(name)
        return kept is not None and kept["files"] == self._hashes(tuple(kept["files"]))

    def _hashes(self, files: tuple[str, ...]) -> dict[str, str]:
        return {f: file_sha256(self.folder / f) for f in files if (self.folder / f).is_file()}


def digest(value: object) -> str:
    """Hash anything whose ``repr`` says all of it (hex)."""
    return hashlib.sha256(repr(value).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Hash a file (hex)."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
