"""How a model is to be: sizes and recipe from a file, from flags, from a model to go on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stream.errors import SettingsError
from stream.model import Sizes
from stream.training.groups import expect_known
from stream.training.recipe import Recipe

HIDDEN = 64


class How(NamedTuple):
    """What is decided before a model is trained."""

    sizes: Sizes
    recipe: Recipe

    def to_json(self) -> bytes:
        """What `decide` reads."""
        said = _Said(msgspec.to_builtins(self.sizes), _Made(msgspec.to_builtins(self.recipe)))
        return msgspec.json.format(msgspec.json.encode(said), indent=1) + b"\n"


class _Made(msgspec.Struct, frozen=True):
    recipe: dict[str, Any] = {}


class _Said(msgspec.Struct, frozen=True):
    """The part of a card that says how; another card will do, and so will a file with no more than this."""

    sizes: dict[str, Any] = {}
    made: _Made = _Made()


def decide(file: Path | None, sizes: dict[str, Any], recipe: dict[str, Any], start: Sizes | None = None) -> How:
    """What flags say over what the file says over what the model to go on from has over defaults.

    The file is a model's card, or what `tune` wrote. Raises SettingsError naming what is wrong and where.
    """
    said = _read(file) if file else _Said()
    of_start = msgspec.to_builtins(start) if start else {"hidden": HIDDEN}
    try:
        of_file = msgspec.to_builtins(msgspec.convert(said.made.recipe, Recipe))
        augmentation = {**of_file["augmentation"], **recipe.get("augmentation", {})}
        decided = How(
            msgspec.convert({**of_start, **said.sizes, **sizes}, Sizes),
            msgspec.convert({**of_file, **recipe, "augmentation": augmentation}, Recipe),
        )
    except (msgspec.ValidationError, ValueError) as error:
        raise SettingsError(f"{file or 'train'}: {error}") from None
    if start is not None and _body(decided.sizes) != _body(start):
        raise SettingsError(
            f"expected the sizes of the model to go on from, {_body(start)}, got {_body(decided.sizes)}; "
            "only its heads may differ"
        )
    expect_known(decided.recipe.drop)
    return decided


def _read(file: Path) -> _Said:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: expected a model's card, or what `tune` wrote: {error}") from None


def _body(sizes: Sizes) -> dict[str, Any]:
    """All but the heads."""
    heads = {"horizons_secs", "session", "fraud"}
    return {name: value for name, value in msgspec.to_builtins(sizes).items() if name not in heads}
