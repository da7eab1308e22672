from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.signing import Entry, Head, sign, troubles

KEY = b"k" * 32


@pytest.fixture
def record():
    entries: list[Entry] = []
    head = None
    for number in range(4):
        entry, head = sign(KEY, {"threshold": number / 10, "by": "Ada"}, entries)
        entries.append(entry)
    return entries, head


def test_a_whole_record_verifies(record):
    entries, head = record
    assert troubles(KEY, entries, head) == []
    assert troubles(KEY, [], None) != []  # a key was made, so something was signed
    assert troubles(None, [], None) == []


def test_an_edited_entry_is_found(record):
    entries, head = record
    entries[1] = replace(entries[1], body=entries[1].body.replace("Ada", "Eve"))
    assert troubles(KEY, entries, head) == ["Entry 2: it was edited."]


@pytest.mark.parametrize("gone", range(4))
def test_a_deleted_entry_is_found_wherever_it_stood(record, gone):
    entries, head = record
    assert troubles(KEY, entries[:gone] + entries[gone + 1 :], head)


def test_entries_that_changed_places_are_found(record):
    entries, head = record
    entries[0], entries[1] = entries[1], entries[0]
    assert troubles(KEY, entries, head)


def test_the_end_cannot_be_taken_away_with_another_head(record):
    entries, head = record
    assert troubles(KEY, entries[:3], Head(3, head.mac))
    assert troubles(KEY, entries[:3], None)
    assert troubles(KEY, [], None)


def test_another_key_signs_nothing(record):
    entries, head = record
    assert len(troubles(b"x" * 32, entries, head)) == 5
    assert "gone" in troubles(None, entries, head)[0]
