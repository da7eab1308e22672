"""A film that lies wrong is set right for the models, and what they say is brought back."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.domain import Explanation, Frame, Outline
from appliance.quality import Stance, as_stored, outline_as_stored, stance_of, upright

SIDES = ("upright", "turned_left", "upside_down", "turned_right")


def answers(kind: str = "frontal_chest", side: str = "upright", polarity: str = "bone_bright"):
    return {
        "kind": {"frontal_chest": 0.3, "other": 0.3, kind: 0.7},
        "orientation": {name: 0.9 if name == side else 0.03 for name in SIDES},
        "polarity": {"bone_bright": 0.4, "inverted": 0.4, polarity: 0.6},
    }


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_film_is_set_right(turns, inverted):
    film = np.arange(12, dtype=np.uint8).reshape(3, 4)
    stored = np.rot90(255 - film if inverted else film, turns)
    polarity = "inverted" if inverted else "bone_bright"
    stance = stance_of(answers(side=SIDES[turns], polarity=polarity))
    assert stance == Stance(turns, inverted)
    assert np.array_equal(upright(stored, stance), film)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_what_is_shown_lies_on_the_film_as_it_is_stored(turns):
    marked = np.zeros((30, 40), np.uint8)
    frame = Frame(left=5, top=3, right=17, bottom=10)
    marked[frame.top : frame.bottom, frame.left : frame.right] = 1
    stored = np.rot90(marked, turns)
    stance = Stance(turns)

    heat = np.arange(6, dtype=np.uint8).reshape(2, 3)
    told = as_stored(Explanation("pneumonia", heat, frame), stance, *stored.shape)
    place = told.frame
    assert place is not None
    assert stored[place.top : place.bottom, place.left : place.right].all()
    assert stored.sum() == place.width * place.height
    assert np.array_equal(np.rot90(told.heat, -turns), heat)

    mask = outline_as_stored(Outline("lungs", "Lungs", marked), stance).mask
    assert np.array_equal(mask, stored)


def test_the_whole_image_stays_the_whole_image():
    told = as_stored(Explanation("pneumonia", np.zeros((2, 3), np.uint8)), Stance(1), 30, 40)
    assert told.frame is None
    assert told.heat.shape == (3, 2)


def test_what_is_no_chest_film_and_what_nobody_looked_at_stay_as_they_are():
    assert stance_of(answers(kind="other", side="upside_down")) == Stance()
    assert stance_of(None) == Stance()
    film = np.zeros((2, 3), np.uint8)
    assert upright(film, Stance()) is film
