"""The models that a worker can score with: the one it was started with, and those announced that it can use.

The latest that it can use is the one that all partitions are to have. One that it cannot is refused, which is said and
counted, and the one before stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from stream.changing import announcement
from stream.changing.announcement import Announcement
from stream.cuts import ModelId
from stream.errors import SettingsError
from stream.model_file import LoadedModel

logger = logging.getLogger(__name__)

# So many announcements are kept, for partitions whose rows still name them; a few hundred kB each.
_KEPT = 16


class Announced(NamedTuple):
    """A record of the models topic."""

    version: int  # its offset + 1: 0 is the model that workers are started with
    value: bytes | None


class Offer(NamedTuple):
    """A model under its version."""

    id: ModelId
    model: LoadedModel


class Offered:
    """What was announced so far."""

    def __init__(
        self, first: LoadedModel, *, try_out: Callable[[LoadedModel], None], refused: Callable[[], None]
    ) -> None:
        """`try_out` raises where a model cannot score here; `refused` is told of each that was refused."""
        self._first = self.latest = Offer(ModelId(0, first.card.weights_sha256), first)
        self._try_out, self._refused = try_out, refused
        self._announced: dict[int, Announcement] = {}  # by version
        self.read_to = 0  # the highest version that was read

    def hear(self, announced: Iterable[Announced]) -> None:
        """Take note of announcements, in their order, and load the last that can be used: 50 ms."""
        news: list[int] = []
        for version, value in announced:
            if version <= self.read_to:
                logger.error("models: version %d after %d, so the topic was made anew", version, self.read_to)
                self._announced.clear()
                self.latest = self._first
            self.read_to = version
            try:
                self._announced[version] = announcement.from_bytes(value, _where(version))
                news.append(version)
            except SettingsError as error:
                self._refuse(error)
        for version in reversed(news):
            if (model := self._loaded(version)) is not None:
                self.latest = Offer(ModelId(version, model.card.weights_sha256), model)
                break
        for old in sorted(self._announced)[:-_KEPT]:
            del self._announced[old]

    def has(self, wanted: ModelId) -> bool:
        """Whether a model that a partition's row names is here, under whatever version."""
        known = (self.latest.id, self._first.id)
        of_record = any(announced.sha256 == wanted.sha256 for announced in self._announced.values())
        return of_record or any(model.sha256 == wanted.sha256 for model in known)

    def find(self, wanted: ModelId) -> LoadedModel | None:
        """It; None where it is not here, or turns out to be of no use: then it is not here from now on."""
        for offer in (self.latest, self._first):
            if offer.id.sha256 == wanted.sha256:
                return offer.model
        for version, announced in sorted(self._announced.items(), reverse=True):
            if announced.sha256 == wanted.sha256 and (model := self._loaded(version)) is not None:
                return model
        return None

    def _loaded(self, version: int) -> LoadedModel | None:
        try:
            model = self._announced[version].to_model(_where(version))
            self._try_out(model)
        except SettingsError as error:
            self._refuse(error)
        except Exception as error:  # whatever PyTorch raises of a model that does not run on this device
            self._refuse(SettingsError(f"{_where(version)}: cannot score here ({error!r})"))
        else:
            return model
        del self._announced[version]
        return None

    def _refuse(self, error: SettingsError) -> None:
        logger.error("%s. Refused; the model in use stays", error)
        self._refused()


def _where(version: int) -> str:
    return f"announced model, version {version}"
