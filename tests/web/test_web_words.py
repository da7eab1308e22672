from __future__ import annotations

from appliance.domain import Header, InstanceState, Measurement, Urgency
from web import words


def test_each_state_has_its_own_word_and_shape() -> None:
    assert len({state.word for state in words.STATES.values()}) == len(words.STATES)
    assert len({state.shape for state in words.STATES.values()}) == len(words.STATES)
    for state in InstanceState:
        assert words.state_word(state, Urgency.WAITING).word


def test_only_a_read_case_is_urgent_and_review_rules() -> None:
    assert words.state_word(InstanceState.READ, Urgency.URGENT).key == "urgent"
    assert words.state_word(InstanceState.FAILED, Urgency.URGENT).key == "failed"
    assert words.state_word(InstanceState.READ, Urgency.URGENT, reviewed=True).key == "reviewed"


def test_people() -> None:
    assert words.patient_name("MUKWEGE^Amani^^Dr") == "MUKWEGE, Amani Dr"
    assert words.patient_name("^Amani") == "Amani"
    assert words.patient_name("Yamada^Tarou=山田^太郎") == "Yamada, Tarou"
    assert words.patient_name("=山田^太郎") == "山田, 太郎"
    assert words.patient_name(None) == words.patient_name(" ^ ") == "no name"
    assert [words.age(value) for value in (None, 0.1, 1.0, 34.9)] == [
        "age unknown",
        "1 month",
        "12 months",
        "34 years",
    ]
    assert words.sex("F") == "female"
    assert words.sex(None) == "sex unknown"


def test_units() -> None:
    assert words.waiting(-5) == "just now"
    assert words.waiting(59 * 60) == "59 min"
    assert words.waiting(3660) == "1 h 01 min"
    assert words.waiting(3 * 86400) == "3 days"
    assert words.size(900) == "900 bytes"
    assert words.size(2_500_000_000) == "2.5 GB"
    assert words.measured(Measurement("a", "a", 171, "days")) == "24 weeks 3 days"
    assert words.measured(Measurement("a", "a", 0.471, "")) == "0.47"
    assert words.measured(Measurement("a", "a", 251.26, "mm")) == "251.3 mm"
    assert words.examination(Header(modality="US")) == "ultrasound"
