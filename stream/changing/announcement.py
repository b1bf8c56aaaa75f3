"""A model as a record of the models topic: its card and, where they fit, its weights; else where every worker has them.

    key    SHA-256 of the weights, in hex: compaction keeps the latest announcement of each model
    value  JSON: format, name, sha256, card, weights (base64) or file, announced_ms

Its offset + 1 is its version: the higher one counts.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from stream import model_file
from stream.errors import SettingsError
from stream.model_file import LoadedModel

FORMAT = "behaviour-stream-announcement/1"
# A record, below a broker's own limit of 1 MiB for a batch
VALUE_BYTES_MAX = 1_000_000


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """What a record says."""

    format: str = FORMAT
    name: str
    sha256: str  # of the weights
    card: msgspec.Raw
    weights: bytes | None = None  # safetensors
    file: str | None = None  # a path, the same on every worker's machine
    announced_ms: int

    def to_bytes(self) -> bytes:
        return msgspec.json.encode(self)

    def to_model(self, where: str) -> LoadedModel:
        """The model. Raises SettingsError that says what is missing or does not fit; `where` names the record."""
        weights, source = self.weights, where
        if weights is None:
            if self.file is None:
                raise SettingsError(f"{where}: expected weights or a file, got neither")
            source = f"{where}, {self.file}"
            try:
                weights = Path(self.file).read_bytes()
            except OSError as error:
                raise SettingsError(f"{source}: cannot be read ({error.strerror})") from None
        found = hashlib.sha256(weights).hexdigest()
        if found != self.sha256:
            raise SettingsError(f"{source}: expected weights of SHA-256 {self.sha256[:12]}, got {found[:12]}")
        return model_file.parse(self.name, weights, bytes(self.card), source, f"{where}, its card")


class _Stamp(msgspec.Struct, frozen=True):
    format: str = ""


def from_bytes(value: bytes | None, where: str) -> Announcement:
    """Raises SettingsError for what is no announcement, or one that a newer version wrote."""
    try:
        stamp = msgspec.json.decode(value or b"", type=_Stamp)
        if stamp.format != FORMAT:
            raise SettingsError(f"{where}: expected format {FORMAT}, got {stamp.format!r}; another version wrote it")
        return msgspec.json.decode(value or b"", type=Announcement)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where}: expected an announcement, got something else ({error})") from None


def of_file(wanted: str, now_ms: int) -> Announcement:
    """A shipped model's name, or a path to a .safetensors file, checked as a worker will.

    Raises SettingsError that says what does not fit.
    """
    path = model_file.path_of(wanted)
    weights, card = model_file.read(path)
    model_file.parse(path.stem, weights, card, f"model {path}", f"model card {path.with_suffix('.json')}")
    sha256 = hashlib.sha256(weights).hexdigest()
    whole = Announcement(name=path.stem, sha256=sha256, card=msgspec.Raw(card), weights=weights, announced_ms=now_ms)
    if len(whole.to_bytes()) <= VALUE_BYTES_MAX:
        return whole
    return msgspec.structs.replace(whole, weights=None, file=str(path.resolve()))


def again(former: Announcement, now_ms: int) -> Announcement:
    """The same model, announced anew."""
    return msgspec.structs.replace(former, announced_ms=now_ms)
