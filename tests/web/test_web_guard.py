from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from caseload import Caseload

from appliance.errors import StorageError
from web.app import create_app

if TYPE_CHECKING:
    from flask.testing import FlaskClient

FORM = {"act": "confirm", "actor": "Ada"}


@pytest.mark.parametrize("path", ["/", "/study/1", "/system", "/nothing", "/api/worklist"])
def test_every_answer_is_guarded(client: FlaskClient, cases: dict[str, int], path: str) -> None:
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/study/1", "/study/4", "/upload", "/system", "/help"])
def test_no_inline_script_or_style(client: FlaskClient, cases: dict[str, int], path: str) -> None:
    page = client.get(path).get_data(as_text=True)
    assert "style=" not in page
    assert "<style" not in page
    assert " onclick" not in page
    assert page.count("<script") == page.count("<script src=") + page.count("<script type=")
    assert "//" not in page.replace("<!doctype", "").split("<body")[0]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_foreign_page_cannot_write(
    client: FlaskClient, cases: dict[str, int], headers: dict[str, str]
) -> None:
    answer = client.post(f"/study/{cases['urgent']}/review", data=FORM, headers=headers)
    assert answer.status_code == 403
    assert client.get(f"/api/study/{cases['urgent']}").get_json()["reviews"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        {},
    ],
)
def test_the_own_page_and_programs_can_write(
    client: FlaskClient, cases: dict[str, int], headers: dict[str, str]
) -> None:
    answer = client.post(f"/study/{cases['urgent']}/review", data=FORM, headers=headers)
    assert answer.status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::1", ""])
def test_a_foreign_host_name_is_refused(client: FlaskClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:1", "[::1]:8080", "127.1.2.3"])
def test_loopback_is_answered(client: FlaskClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


def test_what_we_did_not_foresee_is_told_plainly(
    client: FlaskClient, load: Caseload, cases: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(self: object, key: str) -> bytes:
        raise StorageError("A kept file is damaged on the disk. Check the disk of the box.")

    monkeypatch.setattr(type(load.files), "read", damaged)
    answer = client.get(f"/study/{cases['urgent']}/film.png")
    assert answer.status_code == 503
    assert "Check the disk of the box." in answer.get_data(as_text=True)


def test_a_fault_of_ours_shows_no_inside(load: Caseload) -> None:
    app = create_app(load.services())

    @app.get("/broken")
    def _broken() -> str:
        raise KeyError("secret")

    app.logger.disabled = True
    answer = app.test_client().get("/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.get_data(as_text=True)
    assert "Nothing is lost." in answer.get_data(as_text=True)
