from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from caseload import Caseload, everything

from web.app import create_app, live_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Caseload]:
    load = Caseload(tmp_path)
    yield load
    load.close()


@pytest.fixture
def cases(load: Caseload) -> dict[str, int]:
    return everything(load)


@pytest.fixture
def app(load: Caseload) -> Iterator[Flask]:
    app = create_app(load.services())
    yield app
    live_of(app).stop()
    live_of(app).join(5)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
