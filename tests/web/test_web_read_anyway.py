"""The page of a film that the quality check stopped: the way on is a person's act."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from caseload import Caseload, unread

from appliance.domain import ReadingState

if TYPE_CHECKING:
    from flask.testing import FlaskClient

BUTTON = "Read anyway</button>"


def text(client: FlaskClient, path: str) -> str:
    return client.get(path).get_data(as_text=True)


def stopped(load: Caseload) -> int:
    return load.case(unread(ReadingState.REFUSED, "This film is cut at the lung tops."))


def test_a_stopped_film_can_be_read_anyway_and_the_page_says_who_asked(
    client: FlaskClient, load: Caseload
) -> None:
    case = stopped(load)
    assert BUTTON in text(client, f"/study/{case}")
    form = {"actor": "Nurse <A>", "why": "The patient has left."}
    answer = client.post(f"/study/{case}/read-anyway", data=form)
    assert answer.status_code == 303
    page = text(client, f"/study/{case}")
    assert BUTTON not in page
    assert "Asked to read it anyway" in page
    assert "Nurse &lt;A&gt;" in page
    assert "The patient has left." in page
    assert client.post(f"/study/{case}/read-anyway", data=form).status_code == 400


def test_what_lacks_a_reason_keeps_what_was_typed(client: FlaskClient, load: Caseload) -> None:
    case = stopped(load)
    answer = client.post(f"/study/{case}/read-anyway", data={"actor": "Nurse A", "why": " "})
    assert answer.status_code == 400
    page = answer.get_data(as_text=True)
    assert "Write in a few words why it must be read as it is." in page
    assert 'value="Nurse A"' in page


def test_only_a_stopped_film_has_the_form(client: FlaskClient, load: Caseload) -> None:
    other = replace(unread(ReadingState.REFUSED, "A lateral film."), quality=None)
    for case in (load.case(other), load.case(unread(ReadingState.ABSTAINED, "Not sure."))):
        assert BUTTON not in text(client, f"/study/{case}")
        form = {"actor": "Nurse A", "why": "Why."}
        assert client.post(f"/study/{case}/read-anyway", data=form).status_code == 400
    assert client.post("/study/999/read-anyway", data={}).status_code == 404


def test_another_sites_page_cannot_ask(client: FlaskClient, load: Caseload) -> None:
    case = stopped(load)
    answer = client.post(
        f"/study/{case}/read-anyway",
        data={"actor": "Nurse A", "why": "Why."},
        headers={"Origin": "https://elsewhere.example"},
    )
    assert answer.status_code == 403
    assert BUTTON in text(client, f"/study/{case}")
