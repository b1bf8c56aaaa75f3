"""A visit: events of one account under one session id, in order, and their text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from stream.shop_event import Role, ShopEvent

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROLES: dict[str, Role] = {"search": "searches", "purchase": "purchases", "refund": "purchases"}


class Account(NamedTuple):
    """Whose events they are, and how the page that sends them writes numbers."""

    user_id: str
    key: bytes  # the user id
    as_text: bool  # decimals and times as strings


class Case(NamedTuple):
    """A case of fraud, as its label names it."""

    kind: str
    name: str


class Visit:
    """The events of a visit, and the time at which it is. `where` is JSON: device, address, country, place."""

    __slots__ = ("_account", "_case", "_rng", "_text", "events", "time_ms")

    def __init__(self, rng: Random, account: Account, where: str, time_ms: int, case: Case | None = None) -> None:
        self._rng, self._account, self._case = rng, account, case
        self._text = f'"user_id":"{account.user_id}","session_id":"{rng.getrandbits(64):016x}",{where}'
        self.time_ms = time_ms
        self.events: list[ShopEvent] = []

    def add(self, name: str, facts: str) -> None:
        """An event now; `facts` is JSON that begins with a comma, or empty."""
        self.events.append(event(self._rng, self._account, name, self.time_ms, self._text + facts, case=self._case))

    def all(self) -> list[ShopEvent]:
        """The events, the last one first: as they are taken from."""
        self.events.reverse()
        return self.events


def event(rng: Random, account: Account, name: str, time_ms: int, text: str, *, case: Case | None = None) -> ShopEvent:
    """One event of an account; `text` is the JSON of all that it has beside id, name and time."""
    event_id = rng.randbytes(16).hex()
    moment = f'"{rfc3339(time_ms)}"' if account.as_text else time_ms
    value = f'{{"event_id":"{event_id}","event_name":"{name}","event_time":{moment},{text}}}'
    label = None
    if case is not None:
        label = (
            f'{{"event_id":"{event_id}","event_time":{time_ms},"user_id":"{account.user_id}","fraud":"{case.kind}",'
            f'"case":"{case.name}"}}'
        ).encode()
    return ShopEvent(_ROLES.get(name, "clicks"), account.key, value.encode(), time_ms, label)


def rfc3339(time_ms: int) -> str:
    """With milliseconds, in UTC."""
    return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
