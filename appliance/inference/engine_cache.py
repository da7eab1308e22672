"""TensorRT engines on the box's own disk: what was built is found again, what is wrong goes.

An engine belongs to one graph, one TensorRT version and one GPU. Beside ``<graph>.engine`` lies
``<graph>.json``: that key, the hash of the engine's bytes, which form it has and what was measured.
``<graph>.attempt.json`` is there while an engine is tried, and when the last try failed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

__all__ = ["EngineCache", "EngineKey", "KeptEngine"]

_STEM = 16  # hex digits of the graph's hash in a file name
_MOST_UNFINISHED = 3
_SUFFIXES = (".engine", ".json", ".attempt.json")


@dataclass(frozen=True, slots=True)
class EngineKey:
    """What an engine belongs to; with another of the three it is another engine."""

    graph_sha256: str
    tensorrt: str
    gpu: str


@dataclass(frozen=True, slots=True)
class KeptEngine:
    """A serialized engine.

    Parameters
    ----------
    variant
        Name of its form (`appliance.inference.tensorrt_gpu.VARIANTS`).
    latencies_ms
        Median of one run of each form that was tried on this box.
    """

    content: bytes
    variant: str
    latencies_ms: Mapping[str, float] = field(default_factory=dict)


class EngineCache:
    """The folder of engines.

    Parameters
    ----------
    folder
        Made when the first engine is kept; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def find(self, key: EngineKey) -> KeptEngine | None:
        """Return the engine of exactly this key; another one, or a damaged one, is removed."""
        told = self._read_json(key, ".json")
        content = self._read(key, ".engine")
        if told is None and content is None:
            return None
        if told is None or content is None or not _belongs(told, key, content):
            self.remove(key)
            return None
        return KeptEngine(content, str(told.get("variant")), dict(told.get("latencies_ms") or {}))

    def keep(self, key: EngineKey, engine: KeptEngine) -> None:
        """Keep an engine durably: its bytes first, then the word that they are whole.

        Raises
        ------
        OSError
            If the disk does not take it; what lay there before is gone.
        """
        self.remove(key)
        self._write(key, ".engine", engine.content)
        told = {
            "key": asdict(key),
            "sha256": hashlib.sha256(engine.content).hexdigest(),
            "variant": engine.variant,
            "latencies_ms": dict(engine.latencies_ms),
        }
        self._write(key, ".json", json.dumps(told, indent=1).encode())

    def remove(self, key: EngineKey) -> None:
        """Remove the engine of this graph, whoever it was made for."""
        for suffix in (".json", ".engine"):
            self._unlink(key, suffix)

    def begin(self, key: EngineKey) -> str | None:
        """Note that this engine is tried now; return why it must not be, or None.

        A try that ended the whole process leaves its note behind. After three such notes the box
        does not try again: reading on the CPU is worth more than a worker that dies at each start.
        """
        told = self._attempt(key)
        unfinished = int(told.get("unfinished", 0))
        if unfinished >= _MOST_UNFINISHED:
            return f"the last {unfinished} tries ended the process; it is not tried again"
        with contextlib.suppress(OSError):
            self._note(key, unfinished + 1, None)
        return None

    def end(self, key: EngineKey, failure: str | None) -> None:
        """Note how the try ended: None is success, or that it was given up in good order."""
        if failure is None:
            self._unlink(key, ".attempt.json")
        else:
            with contextlib.suppress(OSError):
                self._note(key, 0, failure)

    def failure(self, key: EngineKey) -> str | None:
        """Return why the last try with this key failed, or None."""
        told = self._attempt(key)
        if int(told.get("unfinished", 0)) >= _MOST_UNFINISHED:
            return "the last tries ended the process; it is not tried again"
        reason = told.get("failure")
        return None if reason is None else str(reason)

    def keep_only(self, graphs: Collection[str]) -> None:
        """Remove the engines of graphs that are no longer on this box.

        Parameters
        ----------
        graphs
            SHA-256 (hex) of each graph that is.
        """
        if self._folder is None or not self._folder.is_dir():
            return
        stems = {graph[:_STEM] for graph in graphs}
        for path in self._folder.iterdir():
            ours = path.name.endswith((*_SUFFIXES, ".part"))
            if ours and (path.name.split(".")[0] not in stems or path.suffix == ".part"):
                path.unlink(missing_ok=True)

    def _attempt(self, key: EngineKey) -> Mapping[str, Any]:
        told = self._read_json(key, ".attempt.json")
        return told if told is not None and told.get("key") == asdict(key) else {}

    def _note(self, key: EngineKey, unfinished: int, failure: str | None) -> None:
        told = {"key": asdict(key), "unfinished": unfinished, "failure": failure}
        self._write(key, ".attempt.json", json.dumps(told, indent=1).encode())

    def _read_json(self, key: EngineKey, suffix: str) -> dict[str, Any] | None:
        content = self._read(key, suffix)
        try:
            told = json.loads(content) if content is not None else None
        except ValueError:
            return None
        return told if isinstance(told, dict) else None

    def _read(self, key: EngineKey, suffix: str) -> bytes | None:
        if self._folder is None:
            return None
        try:
            return (self._folder / f"{key.graph_sha256[:_STEM]}{suffix}").read_bytes()
        except OSError:
            return None

    def _write(self, key: EngineKey, suffix: str, content: bytes) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{key.graph_sha256[:_STEM]}{suffix}"
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        try:
            with part.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        _sync(self._folder)

    def _unlink(self, key: EngineKey, suffix: str) -> None:
        if self._folder is not None:
            with contextlib.suppress(OSError):
                (self._folder / f"{key.graph_sha256[:_STEM]}{suffix}").unlink()


def _belongs(told: Mapping[str, Any], key: EngineKey, content: bytes) -> bool:
    whole = told.get("sha256") == hashlib.sha256(content).hexdigest()
    return whole and told.get("key") == asdict(key)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
