"""Content-addressed, immutable files: written beside their place, fsynced, renamed, fsynced."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from typing import TYPE_CHECKING

from appliance.errors import DiskFullError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PART = ".part"


class FileStore:
    """Files by the SHA-256 of their bytes: ``ab/ab12…``.

    Parameters
    ----------
    root
        The folder; made when it is not there.
    fsync
        Makes a file or folder durable, fsync(2); tests give one that fails.
    """

    def __init__(self, root: Path, *, fsync: Callable[[int], None] = os.fsync) -> None:
        self._root = root
        self._fsync = fsync
        root.mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes) -> str:
        """Keep `content` durably and return its key.

        When this returns, the bytes and the name survive a power cut (POSIX rename(2); the folder
        is synced too). The same bytes twice are one file.

        Raises
        ------
        DiskFullError
            No space; nothing is left behind.
        StorageError
            The file could not be written for another reason.
        """
        key = hashlib.sha256(content).hexdigest()
        path = self.path(key)
        try:
            self._write(path, content)
        except OSError as error:
            raise _as_storage_error(error) from error
        return key

    def _write(self, path: Path, content: bytes) -> None:
        if not path.parent.exists():
            path.parent.mkdir(exist_ok=True)
            self._sync_folder(self._root)
        if not path.exists():
            part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_PART}")
            try:
                self._write_synced(part, content)
                part.rename(path)
            except OSError:
                part.unlink(missing_ok=True)
                raise
        self._sync_folder(path.parent)

    def _write_synced(self, path: Path, content: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            self._fsync(descriptor)
        finally:
            os.close(descriptor)

    def _sync_folder(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._fsync(descriptor)
        finally:
            os.close(descriptor)

    def path(self, key: str) -> Path:
        """Return where the file of `key` lies, whether it is there or not."""
        if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
            raise StorageError("A storage key is 64 hexadecimal digits.")
        return self._root / key[:2] / key

    def read(self, key: str) -> bytes:
        """Return the bytes kept under `key`.

        Raises
        ------
        StorageError
            The file is not there or its bytes are no longer what was kept.
        """
        try:
            content = self.path(key).read_bytes()
        except OSError as error:
            raise StorageError("A kept file cannot be read. Check the disk of the box.") from error
        if hashlib.sha256(content).hexdigest() != key:
            raise StorageError("A kept file is damaged on the disk. Check the disk of the box.")
        return content

    def remove_leftovers(self, older_than_s: float, now: float) -> int:
        """Remove temporary files that a power cut left, and return their number."""
        removed = 0
        for part in self._root.glob(f"*/.*{_PART}"):
            if now - part.stat().st_mtime >= older_than_s:
                part.unlink(missing_ok=True)
                removed += 1
        return removed


def _as_storage_error(error: OSError) -> StorageError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError("The disk is full. Free space on the box, then send again.")
    return StorageError(f"The file could not be kept ({error.strerror}). Check the disk.")
