from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.records import read

FINDING = read().findings[0]


@pytest.mark.parametrize(
    ("probability", "word", "number"),
    [
        (0.0, "unlikely", "under 1"),
        (0.194, "unlikely", "19"),
        (0.195, "possible", "20"),
        (0.494, "possible", "49"),
        (0.5, "likely", "50"),
        (0.82, "likely", "82"),
        (0.895, "very likely", "90"),
        (1.0, "very likely", "over 99"),
    ],
)
def test_word_and_number_of_a_probability(probability, word, number):
    finding = replace(FINDING, probability=probability)
    assert (finding.word, finding.number) == (word, number)


@given(st.floats(0, 1))
def test_no_probability_is_a_certainty(probability):
    assert replace(FINDING, probability=probability).number not in {"0", "100"}


@pytest.mark.parametrize(
    ("label", "signs"),
    [
        ("Pneumonia", "signs of pneumonia"),
        ("TB", "signs of TB"),
        ("signs of effusion", "signs of effusion"),
    ],
)
def test_the_box_speaks_of_signs(label, signs):
    assert replace(FINDING, label=label).signs == signs
