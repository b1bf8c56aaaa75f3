"""How a model is to be: flags over a file over the model to go on from over defaults, and what is wrong by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream import model_file
from stream.errors import SettingsError
from stream.model import Sizes
from stream.training.how import HIDDEN, decide
from stream.training.recipe import Augmentation, Recipe


def written(path: Path, said: Any) -> Path:
    path.write_bytes(msgspec.json.encode(said))
    return path


def test_nothing_said_is_the_default() -> None:
    how = decide(None, {}, {})
    assert how.sizes == Sizes(hidden=HIDDEN)
    assert how.recipe == Recipe()


def test_flags_go_over_the_file_and_the_file_over_the_model_to_go_on_from(tmp_path: Path) -> None:
    file = written(tmp_path / "f", {"sizes": {"session": False}, "made": {"recipe": {"seed": 7, "lanes": 3}}})
    start = Sizes(hidden=12, horizons_secs=(60,))
    how = decide(file, {"horizons_secs": [120, 240]}, {"seed": 9}, start)
    assert how.sizes == Sizes(hidden=12, horizons_secs=(120, 240), session=False)
    assert how.recipe == Recipe(seed=9, lanes=3)


def test_of_augmentation_each_number_is_by_itself(tmp_path: Path) -> None:
    file = written(tmp_path / "f", {"made": {"recipe": {"augmentation": {"event_dropout": 0.1, "crop": 0.2}}}})
    how = decide(file, {}, {"augmentation": {"crop": 0.5}})
    assert how.recipe.augmentation == Augmentation(event_dropout=0.1, crop=0.5)


def test_a_card_is_such_a_file_and_so_is_what_is_written_of_it(tmp_path: Path) -> None:
    shipped = model_file.load("shoppers-h64").card
    how = decide(written(tmp_path / "card", shipped), {}, {})
    assert how.sizes == shipped.sizes
    assert how.recipe == msgspec.convert(shipped.made["recipe"], Recipe)
    again = tmp_path / "again"
    again.write_bytes(how.to_json())
    assert decide(again, {}, {}) == how


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected a model's card, or what `tune` wrote"),
        (b"\xff\xfe", "expected a model's card, or what `tune` wrote"),
        (b"[1]", "expected a model's card, or what `tune` wrote"),
        (b'{"made": {"recipe": {"learning_rate": -1}}}', "learning_rate"),
        (b'{"made": {"recipe": {"speed": 1}}}', "speed"),
        (b'{"made": {"recipe": 3}}', "Expected `object`"),
        (b'{"sizes": {"hidden": "many"}}', "hidden"),
        (b'{"sizes": [1]}', "sizes"),
        (b'{"made": {"recipe": {"drop": ["colour"]}}}', "drop: expected any of action, item"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.json"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=words):
        decide(file, {}, {})


def test_the_body_of_a_model_to_go_on_from_cannot_be_another() -> None:
    with pytest.raises(SettingsError, match="only its heads may differ"):
        decide(None, {"hidden": 9}, {}, Sizes(hidden=8))
    with pytest.raises(SettingsError, match="only its heads may differ"):
        decide(None, {"cell": "gru"}, {}, Sizes(hidden=8))
