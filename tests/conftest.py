"""What many tests need: a store in a temporary folder, the shared data sets, a free clock."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.store.database import Store
from appliance.store.files import FileStore

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def waypost_data() -> Path:
    """The folder of the openly licensed data sets, or a skip that says why."""
    folder = Path(os.environ.get("WAYPOST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("the data sets are not here: set WAYPOST_DATA (docs/datasets.md)")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "waypost.db")
    yield opened
    opened.close()


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "files")


@dataclass
class Clock:
    """Seconds since the epoch that a test moves by hand."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()
