"""A model on disk: what is written is read, and what does not fit is refused in clear words."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import safetensors.torch
import torch

from stream import model_file
from stream.errors import SettingsError
from stream.model import Cell, Sizes, horizon_name
from stream.model_file import LoadedModel
from tests.shop import NORMAL, STATISTICS, small_model

MADE = {"command": "train --seed 1", "seed": 1, "reached": {"auc": 0.75}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A saved small model."""
    path = tmp_path / "mine.safetensors"
    model_file.save(small_model(), path, statistics=STATISTICS, normal=NORMAL, made=MADE)
    return path


def _change_card(path: Path, **fields: Any) -> None:
    card = path.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_bytes()) | fields))


def _replace_weights(path: Path, weights: bytes) -> None:
    """Other bytes, and a card that vouches for them."""
    path.write_bytes(weights)
    _change_card(path, weights_sha256=hashlib.sha256(weights).hexdigest())


def _traffic(**changes: dict[str, Any]) -> dict[str, Any]:
    """A card's normal traffic with other fields in its distributions."""
    traffic: dict[str, Any] = msgspec.to_builtins(NORMAL)
    return traffic | {name: traffic[name] | fields for name, fields in changes.items()}


def _refused(wanted: Path | str) -> str:
    with pytest.raises(SettingsError) as refused:
        model_file.load(str(wanted))
    assert str(refused.value).startswith("model ")
    return str(refused.value)


def test_a_name_with_a_point_in_it_is_kept_whole(tmp_path: Path) -> None:
    model_file.save(small_model(), tmp_path / "shop.v2", statistics=STATISTICS, normal=NORMAL, made=MADE)
    assert model_file.load(str(tmp_path / "shop.v2.safetensors")).name == "shop.v2"


def test_what_cannot_be_written_leaves_the_former_model_whole(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(TypeError):
        model_file.save(small_model(1), path, statistics=STATISTICS, normal=NORMAL, made={"by": object()})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"hidden": 0}, "1 or more"),
        ({"hidden": -1}, "1 or more"),
        ({"layers": 0}, "1 or more"),
        ({"horizons_secs": [], "session": False}, "one horizon at least"),
        ({"item_numbers": -1}, "1 or more"),
        ({"cell": "transformer"}, "$.sizes.cell"),
        ({"actions": 5}, "expected sizes for its 13 actions, got 5"),
        ({"horizons_secs": [0, 1800]}, "1 or more"),
        ({"horizons_secs": [1800, 1800]}, "horizons that differ"),
    ],
)
def test_sizes_that_make_no_model_are_refused(path: Path, sizes: dict[str, Any], words: str) -> None:
    card = json.loads(path.with_suffix(".json").read_bytes())
    _change_card(path, sizes=card["sizes"] | sizes)
    assert words in _refused(path)


def test_statistics_that_would_divide_by_nothing_are_refused(path: Path) -> None:
    _change_card(path, statistics=[3.0, 0.0, 3.0, 1.0])
    assert "standard deviations above 0" in _refused(path)


def test_weights_that_are_no_numbers_are_refused(path: Path) -> None:
    tensors = safetensors.torch.load(path.read_bytes())
    tensors["intent.bias"][0] = float("nan")
    _replace_weights(path, safetensors.torch.save(tensors))
    assert "expected finite weights, got NaN or infinity in intent.bias" in _refused(path)


def test_horizons_are_named_and_the_session_is_the_last() -> None:
    assert Sizes(hidden=8).horizons == ("30m", "24h", "session")
    assert Sizes(hidden=8, session=False).horizons == ("30m", "24h")
    assert Sizes(hidden=8, horizons_secs=()).horizons == ("session",)


@pytest.mark.parametrize(
    ("secs", "name"),
    [
        (1, "1s"),
        (90, "90s"),
        (60, "1m"),
        (1800, "30m"),
        (5400, "90m"),
        (3600, "1h"),
        (86_400, "24h"),
        (604_800, "168h"),
    ],
)
def test_a_horizon_is_called_by_its_largest_whole_unit(secs: int, name: str) -> None:
    assert horizon_name(secs) == name


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("fraud", [False, True])
def test_a_saved_model_is_loaded_bit_for_bit(tmp_path: Path, layers: int, cell: Cell, fraud: bool) -> None:
    model, path = small_model(3, hidden=5, layers=layers, cell=cell, fraud=fraud), tmp_path / "mine.safetensors"
    card = model_file.save(model, path, statistics=STATISTICS, normal=NORMAL, made=MADE)
    loaded = model_file.load(str(path))
    assert loaded.card == card
    assert (card.sizes, card.statistics, card.normal_traffic, card.made) == (model.sizes, STATISTICS, NORMAL, MADE)
    assert loaded.name == "mine"
    weights = loaded.model.state_dict()
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], w) for name, w in model.state_dict().items())


def test_the_hashes_of_a_model_are_the_beginning_of_its_weights_sha256(path: Path) -> None:
    loaded, digest = model_file.load(str(path)), hashlib.sha256(path.read_bytes()).hexdigest()
    assert (loaded.hash, loaded.hash64) == (digest[:12], int(digest[:16], 16))


def test_saving_the_same_model_twice_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    model_file.save(small_model(), again, statistics=STATISTICS, normal=NORMAL, made=MADE)
    assert again.read_bytes() == path.read_bytes()
    assert again.with_suffix(".json").read_bytes() == path.with_suffix(".json").read_bytes()


def test_every_shipped_model_loads_by_its_name() -> None:
    assert "shoppers-h64" in model_file.shipped()
    for name in model_file.shipped():
        loaded: LoadedModel = model_file.load(name)
        assert loaded.name == name
        assert loaded.card.made  # it says how it was made


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.safetensors"
    assert _refused(path) == f"model {path}: cannot be read (No such file or directory)"


@pytest.mark.parametrize("name", ["shopers", "", "models/mine", "mine.pt", "../shoppers-h64"])
def test_an_unknown_name_is_told_the_shipped_ones(name: str) -> None:
    message = _refused(name)
    assert message.startswith(f"model {name}: expected one of ")
    assert all(shipped in message for shipped in model_file.shipped())


def test_a_missing_card_is_named(path: Path) -> None:
    path.with_suffix(".json").unlink()
    assert _refused(path) == f"model {path.with_suffix('.json')}: cannot be read (No such file or directory)"


@pytest.mark.parametrize(
    "text", [b"", b"weights", b"[]", b'"card"', b"null", b"\xff\xfe", b"{", b'{"format": "\xff"}', b'{"made": {}}']
)
def test_a_card_that_is_none_is_named(path: Path, text: bytes) -> None:
    path.with_suffix(".json").write_bytes(text)
    assert f"model card {path.with_suffix('.json')}: " in _refused(path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hiden": 8}, "hiden"),
        ({"sizes": {"hidden": 8, "wings": 2}}, "wings"),
        ({"sizes": {"hidden": "eight"}}, "$.sizes.hidden"),
        ({"statistics": [1.0, 2.0]}, "$.statistics"),
        ({"normal_traffic": _traffic(strain={"quantiles": [2.0, 1.0]})}, "ascending"),
        ({"normal_traffic": _traffic(strain={"tail_scale": 0.0})}, "tail scale"),
        ({"normal_traffic": _traffic(rarity={"wings": 2})}, "$.normal_traffic.rarity"),
        ({"normal_traffic": {"quantiles": [1.0, 2.0], "tail_scale": 1.0, "tail_shape": 0.2}}, "quantiles"),
    ],
)
def test_a_card_with_a_field_that_is_unknown_or_wrong_is_told_which(
    path: Path, fields: dict[str, Any], words: str
) -> None:
    _change_card(path, **fields)
    message = _refused(path)
    assert message.startswith(f"model card {path.with_suffix('.json')}: ")
    assert words in message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", "behaviour-stream-model/9"),
        ("features_format", 9),
        ("actions", ["none", "tap"]),
    ],
)
def test_a_card_made_for_other_features_is_refused_with_both_values(path: Path, field: str, value: Any) -> None:
    expected = json.loads(path.with_suffix(".json").read_bytes())[field]
    _change_card(path, **{field: value})
    message = _refused(path)
    assert f"expected {field} " in message
    assert message.endswith("another version made it")
    assert str(value[-1] if isinstance(value, list) else value) in message
    assert str(expected[-1] if isinstance(expected, list) else expected) in message


def test_a_card_of_the_first_format_is_told_so_and_not_of_a_field_that_is_unknown_today(
    path: Path,
) -> None:
    _change_card(path, format="behaviour-stream-model/1", features_format=1, gap_edges_secs=[1.0], sizes={"hidden": 64})
    assert _refused(path) == (
        f"model card {path.with_suffix('.json')}: expected format behaviour-stream-model/3, "
        "got behaviour-stream-model/1; another version made it"
    )


def test_weights_that_changed_are_refused_with_both_hashes(path: Path) -> None:
    weights = bytearray(path.read_bytes())
    before = hashlib.sha256(weights).hexdigest()
    weights[-1] ^= 1  # one bit of one weight
    path.write_bytes(weights)
    after = hashlib.sha256(weights).hexdigest()
    assert _refused(path) == f"model {path}: its card says SHA-256 {before[:12]}, but the file has {after[:12]}"


@pytest.mark.parametrize("how", ["empty", "text", "cut"])
def test_what_is_no_safetensors_is_refused_even_if_its_card_vouches_for_it(path: Path, how: str) -> None:
    weights = path.read_bytes()
    _replace_weights(path, {"empty": b"", "text": b"weights, honestly" * 9, "cut": weights[:-8]}[how])
    assert _refused(path).startswith(f"model {path}: expected safetensors, got something else (")


def _with(change: Callable[[dict[str, torch.Tensor]], object]) -> bytes:
    weights = {name: w.clone() for name, w in small_model().state_dict().items()}
    change(weights)
    return safetensors.torch.save(weights)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.update({"intent.bias": torch.zeros(2)}), ["intent.bias", "(3,)", "(2,)"]),
        (lambda w: w.update({"intent.bias": w["intent.bias"].half()}), ["intent.bias", "float32", "float16"]),
        (lambda w: w.update({"intent.bias": w["intent.bias"].double()}), ["intent.bias", "float32", "float64"]),
        (lambda w: w.pop("next_event.weight"), ["next_event.weight", "got nothing"]),
        (lambda w: w.update({"fraud.weight": torch.zeros(1)}), ["fraud.weight", "expected fraud.weight as absent"]),
        (lambda w: w.update({"item.weight": torch.zeros(1)}), ["item.weight", "expected item.weight as absent"]),
    ],
)
def test_weights_of_another_shape_dtype_or_name_are_refused_with_both(
    path: Path, change: Callable[[dict[str, torch.Tensor]], object], words: list[str]
) -> None:
    _replace_weights(path, _with(change))
    message = _refused(path)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"hidden": 16}, ["(3, 16)", "(3, 8)"]),
        ({"hidden": 8, "session": False}, ["(2,)", "(3,)"]),
        ({"hidden": 8, "cell": "gru"}, ["recurrent.", "(24,)", "(32,)"]),
        ({"hidden": 8, "fraud": True}, ["fraud.", "got nothing"]),
        ({"hidden": 8, "category_numbers": 4}, ["category.weight", "(64, 4)", "got nothing"]),
    ],
)
def test_a_card_with_other_sizes_than_its_weights_is_refused(
    path: Path, sizes: dict[str, Any], words: list[str]
) -> None:
    _change_card(path, sizes=sizes)
    message = _refused(path)
    assert all(word in message for word in words), message


class _Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def _pickled(trap: _Trap, path: Path) -> None:
    path.write_bytes(pickle.dumps(trap))


def _torch_saved(trap: _Trap, path: Path) -> None:
    torch.save({"weight": torch.zeros(1), "trap": trap}, path)


def _torch_saved_as_before_1_6(trap: _Trap, path: Path) -> None:
    torch.save({"weight": torch.zeros(1), "trap": trap}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [_pickled, _torch_saved, _torch_saved_as_before_1_6])
def test_a_pickle_named_safetensors_is_refused_and_never_run(
    path: Path, tmp_path: Path, write: Callable[[_Trap, Path], None]
) -> None:
    trace, source = tmp_path / "trace", tmp_path / "model.pt"
    write(_Trap(trace), source)
    if write is _pickled:
        pickle.loads(source.read_bytes())
    else:
        torch.load(source, weights_only=False)
    assert trace.exists()  # the trap works: whoever unpickles it leaves a trace
    trace.unlink()

    _replace_weights(path, source.read_bytes())
    assert "expected safetensors" in _refused(path)
    assert not trace.exists()


def test_a_pickle_in_place_of_the_card_is_refused_and_never_run(path: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    _pickled(_Trap(trace), path.with_suffix(".json"))
    assert "model card" in _refused(path)
    assert not trace.exists()
