"""Reference results come in: whole, or not at all, with each line's mistake."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from appliance.domain import ReferenceKind, ReferenceOutcome, ReferenceResult
from appliance.errors import RefusedError
from appliance.reference_csv import parse
from appliance.references import References
from appliance.store import instances, reference_results
from tests.records import new_instance

TODAY = date(2026, 11, 25)
HEAD = "accession_number,kind,result,date,clinic\n"


def refused(content: bytes | str) -> str:
    with pytest.raises(RefusedError) as error:
        parse(content.encode() if isinstance(content, str) else content, TODAY)
    assert error.value.code == "reference_rows"
    return error.value.text


def test_a_file_is_read_whatever_separates_its_cells():
    for separator in ",;\t":
        text = (HEAD + "A1,Molecular,POSITIVE,2026-11-01,north\n").replace(",", separator)
        (row,) = parse(b"\xef\xbb\xbf" + text.encode(), TODAY)
        assert (row.accession_number, row.study_instance_uid) == ("A1", "")
        assert row.kind is ReferenceKind.MOLECULAR
        assert row.outcome is ReferenceOutcome.POSITIVE
        assert row.local == {"clinic": "north"}
        assert row.line == 2


def test_quotes_and_empty_lines_do_not_shift_the_line_numbers():
    text = HEAD + '"A1",smear,negative,2026-11-01,"two\nlines"\n\nA2,smear,maybe,2026-11-01,x\n'
    assert "line 5: result is 'maybe'" in refused(text)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("A1,xray,positive,2026-11-01,x", "kind is 'xray'; write one of smear, culture"),
        ("A1,smear,+,2026-11-01,x", "result is '+'; write one of positive, negative, unknown"),
        ("A1,smear,positive,20261101,x", "date is '20261101'; write it as 2026-03-01"),
        ("A1,smear,positive,01.11.2026,x", "date is '01.11.2026'; write it as 2026-03-01"),
        ("A1,smear,positive,2026-12-24,x", "date is 2026-12-24, which is still to come"),
        (",smear,positive,2026-11-01,x", "neither a study instance UID nor an accession number"),
        ("A1,smear,positive,2026-11-01", "4 cells under 5 headings"),
        ("A1,smear,positive,2026-11-01," + "x" * 65, "clinic has more than 64 characters"),
    ],
)
def test_each_mistake_is_told_with_its_line(line, told):
    text = refused(HEAD + "A0,smear,negative,2026-11-01,x\n" + line + "\n")
    assert "Nothing was imported; 1 line needs mending:" in text
    assert f"line 3: {told}" in text


def test_many_mistakes_are_counted():
    text = refused(HEAD + "A1,smear,maybe,2026-11-01,x\n" * 30)
    assert "30 lines need mending" in text
    assert "and 10 more" in text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"kind,result,date\n", "no column study_instance_uid or accession_number"),
        (b"accession_number,kind,result\nA,smear,positive\n", "no column date"),
        (b"accession_number,kind,result,date,kind\n", "the column kind twice"),
        (b"accession_number,kind,result,date,\n", "a column without a name"),
        (HEAD.encode(), "no lines"),
        (HEAD.encode() + b"A1,smear,\xff,2026-11-01,x\n", "Line 2 is not UTF-8"),
        (HEAD.encode() + b'A1,"smear"x,positive,2026-11-01,x\n', "Line 2 is not CSV"),
    ],
)
def test_a_file_that_is_none_is_told(content, told):
    assert told in refused(content)


@pytest.fixture
def door(store, clock):
    with store.transaction() as db:
        for number in range(3):
            new = new_instance(f"1.2.{number}", accession_number=f"A{number % 2}")
            header = replace(new.header, study_instance_uid=f"9.{number}")
            instances.insert(db, replace(new, header=header), 1.0)
    return References(store, clock)


def kept(store) -> int:
    with store.read() as db:
        return len(reference_results.standing(db, list(ReferenceKind)))


def test_an_import_is_all_or_nothing(door, store):
    good = HEAD + "A1,smear,positive,2026-11-01,x\n"
    assert door.import_csv(good.encode(), "Ada", dry_run=True).by_outcome["positive"] == 1
    assert kept(store) == 0
    with pytest.raises(RefusedError, match="no study with accession number A7"):
        door.import_csv((good + "A7,smear,negative,2026-11-01,x\n").encode(), "Ada")
    assert kept(store) == 0
    assert door.import_csv(good.encode(), "Ada").kept
    assert kept(store) == 1
    with pytest.raises(RefusedError, match="who enters"):
        door.import_csv(good.encode(), "  ")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("A0,,smear,negative,2026-11-01", "2 studies have accession number A0"),
        (",9.7,smear,negative,2026-11-01", "there is no study 9.7"),
        ("A1,9.0,smear,negative,2026-11-01", "do not belong together"),
    ],
)
def test_a_study_that_is_not_here_or_not_clear_is_told(door, line, told):
    head = "accession_number,study_instance_uid,kind,result,date\n"
    with pytest.raises(RefusedError, match=told):
        door.import_csv((head + line + "\n").encode(), "Ada")


def test_the_same_test_twice_in_a_file_is_a_mistake_and_later_a_correction(door, store):
    line = "A1,smear,positive,2026-11-01,x\n"
    with pytest.raises(RefusedError, match="line 3: the same study, kind and date as in line 2"):
        door.import_csv((HEAD + line + line).encode(), "Ada")
    door.import_csv((HEAD + line).encode(), "Ada")
    door.import_csv((HEAD + line.replace("positive", "negative")).encode(), "Ben")
    with store.read() as db:
        (standing,) = reference_results.standing(db, [ReferenceKind.SMEAR])
        assert reference_results.standing(db, [ReferenceKind.CULTURE]) == []
    assert (standing.outcome, standing.entered_by) == (ReferenceOutcome.NEGATIVE, "Ben")
    assert [result.entered_by for result in door.results_of("9.1")] == ["Ada", "Ben"]


def test_a_person_enters_one_result_on_the_study(door):
    result = ReferenceResult(
        "9.1", ReferenceKind.CULTURE, ReferenceOutcome.NEGATIVE, "2026-11-01", "Ada"
    )
    door.enter(result)
    assert door.results_of("9.1") == [result]
    for changed, told in (
        ({"study_instance_uid": "9.8"}, "no such study"),
        ({"entered_by": " "}, "who enters"),
        ({"result_on": "soon"}, "2026-03-01"),
        ({"result_on": "2999-01-01"}, "still to come"),
    ):
        with pytest.raises(RefusedError, match=told):
            door.enter(replace(result, **changed))
