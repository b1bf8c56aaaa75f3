"""A model on disk: weights as safetensors, and beside them a JSON card. Nothing is ever unpickled.

shoppers-h64.safetensors    float32 weights
shoppers-h64.json           sizes, feature statistics, normal traffic, SHA-256 of the weights, how it was made
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
import torch

from stream.anomaly import NormalTraffic
from stream.errors import SettingsError
from stream.events import ACTIONS
from stream.features import FEATURES_FORMAT, Statistics
from stream.model import BehaviourModel, Sizes

CARD_FORMAT = "behaviour-stream-model/3"


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the weights alone do not say."""

    format: str = CARD_FORMAT
    features_format: int = FEATURES_FORMAT
    actions: tuple[str, ...] = ACTIONS
    sizes: Sizes
    statistics: Statistics
    normal_traffic: NormalTraffic
    weights_sha256: str
    made: dict[str, Any]  # the command, its seed, what it trained on and what it reached: for people


class _Stamp(msgspec.Struct, frozen=True):
    """What a card of any version says of the version that made it."""

    format: str = CARD_FORMAT
    features_format: int = FEATURES_FORMAT
    actions: tuple[str, ...] = ACTIONS


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model, ready to score."""

    name: str
    card: Card
    model: BehaviourModel

    @property
    def hash(self) -> str:
        """First 12 hex digits of the weights' SHA-256: enough to tell models apart, short enough for every record."""
        return self.card.weights_sha256[:12]

    @property
    def hash64(self) -> int:
        """First 8 bytes of it: how a row names the maker of its carry."""
        return int(self.card.weights_sha256[:16], 16)


def save(
    model: BehaviourModel, path: Path, *, statistics: Statistics, normal: NormalTraffic, made: dict[str, Any]
) -> Card:
    """Write PATH.safetensors and PATH.json; PATH may already end in `.safetensors`."""
    path = path.with_suffix("") if path.suffix == ".safetensors" else path
    weights = safetensors.torch.save({name: w.detach().cpu().contiguous() for name, w in model.state_dict().items()})
    card = Card(
        sizes=model.sizes,
        statistics=statistics,
        normal_traffic=normal,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        made=made,
    )
    text = (
        msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n"
    )  # first: what cannot be written leaves no half
    path.with_name(f"{path.name}.safetensors").write_bytes(weights)
    path.with_name(f"{path.name}.json").write_bytes(text)
    return card


def shipped() -> list[str]:
    """Names of the models that come with the package."""
    folder = resources.files("stream") / "models"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".safetensors"))


def path_of(wanted: str) -> Path:
    """The .safetensors file of a shipped model's name, or of a path. SettingsError where it is neither."""
    path = Path(wanted)
    if path.suffix == ".safetensors":
        return path
    if wanted not in shipped():
        raise SettingsError(f"model {wanted}: expected one of {', '.join(shipped())}, or a path to a .safetensors file")
    return Path(str(resources.files("stream") / "models" / f"{wanted}.safetensors"))


def read(path: Path) -> tuple[bytes, bytes]:
    """(weights, card) as they lie on disk. Raises SettingsError where one cannot be read."""
    return _read(path), _read(path.with_suffix(".json"))


def load(wanted: str) -> LoadedModel:
    """A shipped model by name, or one by the path of its .safetensors file.

    Raises SettingsError that says what is missing or does not fit.
    """
    path = path_of(wanted)
    weights, card = read(path)
    return parse(path.stem, weights, card, f"model {path}", f"model card {path.with_suffix('.json')}")


def parse(name: str, weights: bytes, card_text: bytes, where: str, card_where: str) -> LoadedModel:
    """A model from the bytes of its two files. Raises SettingsError that says what does not fit, and where."""
    card = _card(card_text, card_where)
    found = hashlib.sha256(weights).hexdigest()
    if found != card.weights_sha256:
        raise SettingsError(f"{where}: its card says SHA-256 {card.weights_sha256[:12]}, but the file has {found[:12]}")
    model = BehaviourModel(card.sizes)
    try:
        tensors = safetensors.torch.load(weights)
    except safetensors.SafetensorError as error:
        raise SettingsError(f"{where}: expected safetensors, got something else ({error})") from None
    _check_weights(where, model, tensors)
    model.load_state_dict(tensors)
    return LoadedModel(name, card, model)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"model {path}: cannot be read ({error.strerror})") from None


def _card(text: bytes, where: str) -> Card:
    try:
        _check_version(where, msgspec.json.decode(text, type=_Stamp))
        card = msgspec.json.decode(text, type=Card)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where}: {error}") from None
    if not min(card.statistics.gap_std, card.statistics.price_std) > 0:
        raise SettingsError(f"{where}: expected standard deviations above 0, got {card.statistics}")
    if card.sizes.actions != len(card.actions):
        raise SettingsError(f"{where}: expected sizes for its {len(card.actions)} actions, got {card.sizes.actions}")
    return card


def _check_version(where: str, found: _Stamp) -> None:
    """Before all else is read: what it holds may be named otherwise there."""
    for name, expected in msgspec.structs.asdict(_Stamp()).items():
        if getattr(found, name) != expected:
            raise SettingsError(
                f"{where}: expected {name} {expected}, got {getattr(found, name)}; another version made it"
            )


def _check_weights(where: str, model: BehaviourModel, tensors: dict[str, torch.Tensor]) -> None:
    expected = {name: (tuple(w.shape), w.dtype) for name, w in model.state_dict().items()}
    found = {name: (tuple(w.shape), w.dtype) for name, w in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise SettingsError(
                f"{where}: expected {name} as {expected.get(name, 'absent')}, got {found.get(name, 'nothing')}"
            )
    for name, weight in tensors.items():
        if not weight.isfinite().all():
            raise SettingsError(f"{where}: expected finite weights, got NaN or infinity in {name}")
