"""Where a run writes down how far it is, so that an interrupted one goes on: numbers as safetensors, words as JSON."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Protocol

import msgspec
import safetensors
import safetensors.torch
from torch import Tensor

from stream.errors import SettingsError

State = dict[str, Tensor]


class Keeping(Protocol):
    """Named states, and one page of words."""

    def load(self, name: str) -> State | None: ...

    def save(self, name: str, state: State) -> None: ...

    def read(self) -> dict[str, Any]: ...

    def write(self, words: dict[str, Any]) -> None: ...

    def clear_states(self) -> None: ...


class Nowhere:
    """Of a run that is not kept."""

    def load(self, name: str) -> State | None:
        return None

    def save(self, name: str, state: State) -> None:
        pass

    def read(self) -> dict[str, Any]:
        return {}

    def write(self, words: dict[str, Any]) -> None:
        pass

    def clear_states(self) -> None:
        pass


class Folder:
    """Files of a folder, each replaced whole: a power cut leaves the former one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, name: str) -> State | None:
        file = self._path / f"{name}.safetensors"
        try:
            return safetensors.torch.load(file.read_bytes()) if file.exists() else None
        except safetensors.SafetensorError as error:
            raise SettingsError(
                f"{file}: expected what an interrupted run left, got something else ({error})"
            ) from None

    def save(self, name: str, state: State) -> None:
        self._replace(f"{name}.safetensors", safetensors.torch.save(state))

    def read(self) -> dict[str, Any]:
        file = self._path / "run.json"
        try:
            return msgspec.json.decode(file.read_bytes(), type=dict[str, Any]) if file.exists() else {}
        except msgspec.DecodeError as error:
            raise SettingsError(
                f"{file}: expected what an interrupted run left, got something else ({error})"
            ) from None

    def write(self, words: dict[str, Any]) -> None:
        self._replace("run.json", msgspec.json.encode(words))

    def clear_states(self) -> None:
        for file in (*self._path.glob("*.safetensors"), *self._path.glob("*.new")):
            file.unlink(missing_ok=True)

    def clear(self) -> None:
        """The run is over. The page goes first: what is left without it is nobody's."""
        (self._path / "run.json").unlink(missing_ok=True)
        self.clear_states()
        with contextlib.suppress(OSError):  # there is none, or something of somebody else's is in it
            self._path.rmdir()

    def _replace(self, name: str, content: bytes) -> None:
        new = self._path / f"{name}.new"
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path / name)
        except OSError as error:
            raise SettingsError(f"{self._path}: expected room and the right to write there: {error.strerror}") from None
