from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from caseload import Caseload, everything
from serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

CHROMIUM = Path("/usr/bin/chromium")
REPOSITORY = Path(__file__).parents[3]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM.exists():
                item.add_marker(pytest.mark.skip(reason="needs Debian's chromium"))


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    return {
        "executable_path": str(CHROMIUM),
        "args": ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
    }


@pytest.fixture(scope="session")
def base_url() -> None:
    """No base address; the plug-in's own fixture is of a form that pytest deprecates."""


@pytest.fixture
def clinic(load: Caseload, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, int]]]:
    """A running server with a case of each kind: its address, and the cases' ids."""
    monkeypatch.chdir(REPOSITORY)
    cases = everything(load)
    with serving(load.data) as address:
        yield f"http://{address}", cases


@pytest.fixture(autouse=True)
def _calm(page: Page, clinic: tuple[str, dict[str, int]]) -> Iterator[None]:
    """No page may complain on the console, fail, or ask another host for anything."""
    troubles: list[str] = []

    def heard(message: Any) -> None:
        if message.type in {"error", "warning"}:
            troubles.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda r: r.url.startswith((clinic[0], "data:")) or troubles.append(r.url))
    yield
    page.goto("about:blank")  # closes the stream before the server goes
    assert troubles == []


@pytest.fixture
def shots() -> Path:
    folder = REPOSITORY / "test-output" / os.environ.get("PYTEST_XDIST_WORKER", "main")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
