"""The knobs: what they turn, and that the default is where they stand before anybody turns them."""

from __future__ import annotations

import msgspec
import pytest

from stream.errors import SettingsError
from stream.model import Sizes
from stream.training.how import How, decide
from stream.training.recipe import Augmentation, Recipe
from stream.tuning.space import KNOBS, chosen, differing, with_values

BASE = decide(None, {}, {})


@pytest.mark.parametrize("name", KNOBS)
def test_the_default_is_in_the_range_of_every_knob_and_turning_it_there_changes_nothing(name: str) -> None:
    knob = KNOBS[name]
    default = knob.default(BASE)
    assert knob.inside(default) == pytest.approx(default) if not isinstance(default, str) else knob.choices
    same = with_values(BASE, {name: default})
    assert msgspec.to_builtins(same) == msgspec.to_builtins(BASE)
    assert differing(same, BASE) == {}


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_turns_its_own_number_alone(name: str) -> None:
    knob = KNOBS[name]
    turned = with_values(
        BASE, {name: knob.choices[-1] if knob.choices else int(knob.high) if knob.whole else knob.high}
    )
    assert differing(turned, BASE).keys() == {name}


def test_a_default_outside_of_a_range_widens_it() -> None:
    wide = How(msgspec.structs.replace(BASE.sizes, hidden=512), BASE.recipe)
    assert KNOBS["hidden"].range(KNOBS["hidden"].default(wide)) == (16, 512)
    # There is no logarithm of 0: it is told to the search as the least that is searched
    none = How(BASE.sizes, Recipe(weight_decay=0.0))
    assert KNOBS["weight_decay"].inside(KNOBS["weight_decay"].default(none)) == KNOBS["weight_decay"].low


def test_an_average_is_searched_by_how_many_updates_it_remembers() -> None:
    knob = KNOBS["average"]
    assert knob.default(BASE) == pytest.approx(100)
    assert with_values(BASE, {"average": 50.0}).recipe.average == pytest.approx(0.98)


def test_a_part_of_the_range_of_an_augmentation_is_none_of_it() -> None:
    assert with_values(BASE, {"crop": -0.1, "time_stretch": 0.25}).recipe.augmentation == Augmentation(
        time_stretch=0.25
    )


def test_some_knobs_may_be_chosen_and_an_unknown_one_is_named() -> None:
    assert list(chosen(["steps", "hidden"])) == ["hidden", "steps"]
    assert chosen([]) == KNOBS
    with pytest.raises(SettingsError, match=r"--only: expected any of hidden, .*, got hiden"):
        chosen(["hiden"])


def test_all_that_may_be_drawn_is_a_recipe_that_train_takes() -> None:
    ends = [
        {
            name: (knob.choices[0] if knob.choices else knob.range(knob.default(BASE))[end])
            for name, knob in KNOBS.items()
        }
        for end in (0, 1)
    ]
    for values in ends:
        whole = {name: int(value) if KNOBS[name].whole else value for name, value in values.items()}
        how = with_values(BASE, whole)
        msgspec.convert(msgspec.to_builtins(how.recipe), Recipe)
        msgspec.convert(msgspec.to_builtins(how.sizes), Sizes)
