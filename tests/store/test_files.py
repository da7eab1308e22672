from __future__ import annotations

import errno
import os

import pytest

from appliance.errors import DiskFullError, StorageError
from appliance.store.files import FileStore


def test_the_same_bytes_are_one_file(files, tmp_path):
    key = files.put(b"a film")
    assert files.put(b"a film") == key
    assert files.read(key) == b"a film"
    kept = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    assert [path.name for path in kept] == [key]
    assert kept[0].stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_is_not_handed_out(files):
    key = files.put(b"a film")
    files.path(key).chmod(0o600)
    files.path(key).write_bytes(b"another")
    with pytest.raises(StorageError, match="damaged"):
        files.read(key)


def test_a_missing_file_is_a_sentence(files):
    with pytest.raises(StorageError, match="cannot be read"):
        files.read("0" * 64)


@pytest.mark.parametrize("key", ["../../etc/passwd", "A" * 64, "", "0" * 63])
def test_a_key_is_never_a_path(files, key):
    with pytest.raises(StorageError):
        files.path(key)


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, DiskFullError), (errno.EIO, StorageError)]
)
def test_a_disk_that_fails_leaves_nothing_behind(tmp_path, number, error):
    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(error):
        FileStore(tmp_path / "files", fsync=fail).put(b"a film")
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []


def test_leftovers_of_a_power_cut_are_removed_but_not_what_is_being_written(files, tmp_path):
    key = files.put(b"a film")
    part = files.path(key).with_name(".x.part")
    part.write_bytes(b"half")
    os.utime(part, (1000.0, 1000.0))
    assert files.remove_leftovers(3600.0, now=2000.0) == 0
    assert files.remove_leftovers(3600.0, now=9000.0) == 1
    assert files.read(key) == b"a film"
