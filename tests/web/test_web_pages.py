from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from caseload import MODEL, UPLOAD_BYTES, Caseload, film_png, read, unread

from appliance.domain import Explanation, Frame, InstanceState, ReadingState, Region
from appliance.store import instances

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from appliance.domain import Reading

UNANSWERED = ("abstained", "refused", "failed", "quarantined", "arrived")


def text(client: FlaskClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return answer.get_data(as_text=True)


@pytest.mark.parametrize("path", ["/", "/?show=reviewed", "/upload", "/system", "/help"])
def test_every_page_says_what_it_is_not(client: FlaskClient, path: str) -> None:
    page = text(client, path)
    assert "Does not rule a disease out. Not a certified medical device." in page
    assert page.count("<h1") == 1


def test_an_empty_box_says_how_to_begin(client: FlaskClient) -> None:
    assert "No open case." in text(client, "/")
    assert "Nobody has reviewed a case yet." in text(client, "/?show=reviewed")


def test_the_list_is_urgent_first_and_hides_none(
    client: FlaskClient, cases: dict[str, int]
) -> None:
    page = text(client, "/")
    order = [int(number) for number in re.findall(r'id="case-(\d+)"', page)]
    assert order[0] == cases["urgent"]
    assert set(order) == set(cases.values()) - {cases["reviewed"]}
    assert "signs of pneumonia: <b>likely</b> (82 in 100)" in page
    assert "This is not a chest film. Send a chest film." in page
    assert f'id="case-{cases["reviewed"]}"' in text(client, "/?show=reviewed")


def test_pages_of_the_list(client: FlaskClient, load: Caseload) -> None:
    for _ in range(30):
        load.arrive()
    first, last = text(client, "/"), text(client, "/?page=99")
    assert first.count('class="case ') == 25
    assert "Page 1 of 2" in first
    assert last.count('class="case ') == 5
    assert text(client, "/?page=-3").count('class="case ') == 25
    assert text(client, "/?page=x").count('class="case ') == 25


def test_a_read_case_shows_bar_model_and_heat(client: FlaskClient, cases: dict[str, int]) -> None:
    page = text(client, f"/study/{cases['urgent']}")
    assert "likely" in page
    assert "(82 in 100)" in page
    assert "operating point “screening” (41 in 100, shipped)" in page
    assert "Chest films (AP, PA) of children" in page
    assert "/models/cxr-pneumonia/1.0.0" in page
    assert "The lung tops are cut." in page
    assert "The age is unknown." in page
    film = client.get(f"/study/{cases['urgent']}/film.png")
    assert film.data.startswith(b"\x89PNG")
    assert film.headers["Cache-Control"] == "no-store"
    assert client.get(f"/study/{cases['urgent']}/heat.png").data.startswith(b"\x89PNG")
    assert client.get(f"/study/{cases['urgent']}/thumb.png").data.startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", UNANSWERED)
def test_no_number_without_an_answer(client: FlaskClient, cases: dict[str, int], kind: str) -> None:
    page = text(client, f"/study/{cases[kind]}")
    assert "in 100" not in page
    assert 'class="bar' not in page
    assert "heat.png" not in page
    assert "0.73" not in page
    assert client.get(f"/study/{cases[kind]}/heat.png").status_code == 404
    case = client.get(f"/api/study/{cases[kind]}").get_json()
    assert case["findings"] == case["measurements"] == []
    assert "0.73" not in client.get(f"/api/study/{cases[kind]}").get_data(as_text=True)
    listed = client.get("/api/worklist").get_json()["cases"]
    assert next(c for c in listed if c["id"] == cases[kind])["findings"] == []


def test_the_part_that_the_model_was_shown_is_named(client: FlaskClient, load: Caseload) -> None:
    heat = np.zeros((6, 6), np.uint8)
    framed = Explanation("pneumonia", heat, Frame(30, 40, 500, 600))
    whole = Explanation("pneumonia", heat)
    cases = [load.case(replace(read(), explanation=item)) for item in (framed, whole, None)]
    found = [client.get(f"/api/study/{case}").get_json()["frame"] for case in cases]
    assert found == [{"left": 30, "top": 40, "right": 500, "bottom": 600}, None, None]
    with load.store.transaction() as db:
        instances.set_state(db, cases[0], InstanceState.READING)
    assert client.get(f"/api/study/{cases[0]}").get_json()["frame"] is None


def test_the_reason_is_said_large(client: FlaskClient, cases: dict[str, int]) -> None:
    assert "Not sure: a person should read this first" in text(
        client, f"/study/{cases['abstained']}"
    )
    page = text(client, f"/study/{cases['quarantined']}")
    assert '<p class="large-reason">Another film has this number.' in page


def test_an_earlier_number_is_gone_while_a_case_is_read_anew(
    client: FlaskClient, load: Caseload
) -> None:
    case = load.case(read(0.91))
    with load.store.transaction() as db:
        instances.set_state(db, case, InstanceState.READING)
    assert "in 100" not in text(client, f"/study/{case}")
    assert "in 100" not in text(client, "/")
    assert client.get(f"/api/study/{case}").get_json()["findings"] == []
    assert client.get(f"/study/{case}/heat.png").status_code == 404


def test_a_name_is_text_and_never_markup(client: FlaskClient, load: Caseload) -> None:
    evil = '<script>alert(1)</script>"onload="x'
    case = load.case(unread(ReadingState.REFUSED, evil), evil, patient_id=evil)
    for path in ("/", f"/study/{case}", "/worklist/rows"):
        page = text(client, path)
        assert "<script>alert" not in page
        assert '"onload=' not in page


@pytest.mark.parametrize(
    "path",
    [
        "/study/999",
        "/study/99999999999999999999999",
        "/study/-1",
        "/study/1/../../etc/passwd",
        "/study/1%2f..%2f..",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/models/../1.0.0",
        "/models/cxr-pneumonia/..%2f..",
        "/models/cxr-pneumonia/9.9.9",
        "/api/study/999",
    ],
)
def test_nothing_stands_at_other_paths(
    client: FlaskClient, cases: dict[str, int], path: str
) -> None:
    assert client.get(path).status_code == 404


def test_review_moves_the_case(client: FlaskClient, cases: dict[str, int]) -> None:
    case = cases["urgent"]
    form = {"act": "confirm", "actor": "Nurse Ada", "comment": ""}
    answer = client.post(f"/study/{case}/review", data=form)
    assert answer.status_code == 303
    assert f'id="case-{case}"' not in text(client, "/")
    assert f'id="case-{case}"' in text(client, "/?show=reviewed")
    assert "Nurse Ada" in text(client, f"/study/{case}")
    assert client.get(f"/api/study/{case}").get_json()["reviews"][0]["act"] == "confirm"


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"act": "confirm", "actor": " "}, "Write your name"),
        ({"act": "overrule", "actor": "Ada"}, "Write what you see"),
        ({"act": "erase", "actor": "Ada", "comment": "kept <b>"}, "Choose confirm"),
    ],
)
def test_a_review_that_lacks_something_keeps_what_was_typed(
    client: FlaskClient, cases: dict[str, int], form: dict[str, str], says: str
) -> None:
    answer = client.post(f"/study/{cases['urgent']}/review", data=form)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert says in page
    assert 'value="Ada"' in page or form["actor"] == " "
    assert "kept <b>" not in page


def test_a_dead_letter_is_sent_again(client: FlaskClient, cases: dict[str, int]) -> None:
    case = cases["dead"]
    page = text(client, f"/study/{case}")
    assert "0xA700" in page
    action = re.search(r'action="(/study/\d+/deliveries/\d+/again)"', page)
    assert action is not None
    other = action[1].replace(f"/study/{case}/", f"/study/{cases['urgent']}/")
    assert client.post(other).status_code == 404
    assert client.post(action[1]).status_code == 303
    assert client.post(action[1]).status_code == 404  # it waits already
    assert "waits for the link" in text(client, f"/study/{case}")


def test_system_page(client: FlaskClient, cases: dict[str, int]) -> None:
    page = text(client, "/system")
    for said in ("WAYPOST", "192.168.7.2:11112", "Set it on the box.", "there is no NVIDIA GPU"):
        assert said in page
    for said in ("XRAY1", "hospital", "readings", "silent", "41.0 GB free of 64.0 GB"):
        assert said in page
    assert "&#34;backend&#34;" not in page


def test_help_and_model_card(client: FlaskClient) -> None:
    page = text(client, "/help")
    for bound in ("0 to 19", "20 to 49", "50 to 89", "90 to 100"):
        assert bound in page
    card = text(client, "/models/cxr-pneumonia/1.0.0")
    assert '<td class="align-right">0.95</td>' in card
    assert "<li>one</li>" in card
    assert "style=" not in card
    assert "<script>alert" not in card
    assert "<img" not in card


def test_upload_answers_for_each_file(client: FlaskClient, load: Caseload) -> None:
    files = [(io.BytesIO(film_png()), "../x/film.png"), (io.BytesIO(b"no image"), "note.txt")]
    answer = client.post("/upload", data={"files": files})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert ">film.png<" in page
    assert "Open the case" in page
    assert "kept aside" in page
    assert "This file is no image." in page
    assert [arrival.station for arrival in load.arrivals] == ["film.png", "note.txt"]


def test_upload_as_json_and_without_files(client: FlaskClient) -> None:
    headers = {"Accept": "application/json"}
    data = {"files": [(io.BytesIO(film_png()), "film.png")]}
    answers = client.post("/upload", data=data, headers=headers).get_json()["answers"]
    assert answers[0]["word"] == "kept, and waits to be read"
    nothing = client.post("/upload", data={})
    assert nothing.status_code == 400
    assert "Choose at least one file" in nothing.get_data(as_text=True)


def test_an_upload_that_is_too_large_is_refused_in_words(client: FlaskClient) -> None:
    data = {"files": [(io.BytesIO(film_png()), "film.png")]}
    length = {"CONTENT_LENGTH": str(UPLOAD_BYTES + 100_000)}
    answer = client.post("/upload", data=data, environ_overrides=length)
    assert answer.status_code == 413
    assert "This is larger than the box accepts" in answer.get_data(as_text=True)


def test_trouble_is_json_for_programs(client: FlaskClient) -> None:
    assert "nothing here" in client.get("/api/study/7").get_json()["text"]


@pytest.mark.parametrize("state", [ReadingState.READ, ReadingState.ABSTAINED])
def test_research_only_stands_beside_every_result(
    client: FlaskClient, load: Caseload, state: ReadingState
) -> None:
    plain = read() if state is ReadingState.READ else unread(state, "Not sure.")
    ref = replace(MODEL, research_only=True)
    case = load.case(replace(plain, model=ref))
    assert "Research only" in text(client, f"/study/{case}")
    assert "Research only" in text(client, "/")
    assert client.get(f"/api/study/{case}").json["model"]["research_only"] is True
    assert "Research only" not in text(client, f"/study/{load.case(plain)}")


def looked(state: ReadingState = ReadingState.READ) -> Reading:
    """Return a reading with a place that the box would name; whether it may is its state's."""
    plain = read(0.7321)
    (finding,) = plain.findings
    region = Region("left_lower", "left lower lung field")
    heat = np.full((4, 4), 200, np.uint8)
    return replace(
        plain,
        state=state,
        findings=(replace(finding, coverage=0.9),),
        explanation=Explanation("pneumonia", heat, region=region),
        research={"pneumonia": 0.7321},
    )


def test_the_study_says_where_and_how_sure(client: FlaskClient, load: Caseload) -> None:
    case = load.case(looked())
    page = text(client, f"/study/{case}")
    assert "strongest <b>in the left lower lung field</b>" in page
    assert "not where a disease is" in page
    assert "for 90 in 100" in page
    assert client.get(f"/api/study/{case}").json["region"] == {
        "code": "left_lower",
        "label": "left lower lung field",
    }


@pytest.mark.parametrize("state", [s for s in ReadingState if s is not ReadingState.READ])
def test_no_page_has_a_number_of_a_reading_that_cannot_answer(
    client: FlaskClient, load: Caseload, state: ReadingState
) -> None:
    case = load.case(looked(state))
    for path in (f"/study/{case}", "/", f"/api/study/{case}", "/api/worklist"):
        page = text(client, path)
        # The film's own technical values stand behind "For the technician" when it was read.
        for sign in ("0.73", "73.2", "73 in 100", "in 100", "left lower", "left_lower"):
            assert sign not in page, (path, sign)
    assert client.get(f"/study/{case}/heat.png").status_code == 404
