"""What everybody in a simulated shop shares: its numbers, its rhythm, what it sells, and what is random."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

from stream.shop_event import ShopEvent
from stream.simulator.catalogue import Catalogue, Item, decimal
from stream.simulator.rhythm import Rhythm
from stream.simulator.scenario import Scenario
from stream.simulator.visit import Account

_USERS_PER_PUBLIC_DEVICE = 12
_USERS_PER_CARRIER_NETWORK = 20
# Ids are numbered through, then spread: 6,700,417 is a prime, so no two meet, and none tells how new an account is.
_IDS, _ID_STEP = 10_000_000, 6_700_417
_PAYMENTS, _PAYMENT_SHARES = ("card", "paypal", "invoice", "transfer"), (42, 30, 20, 8)

Lines = Sequence[tuple[Item, int]]


class Actor(Protocol):
    """Who makes events: a shopper, an offender, the shop itself."""

    next_ms: int | None  # when to act next, not before the last time; None: never again

    def act(self, time_ms: int) -> tuple[list[ShopEvent], Sequence[Actor]]:
        """The events of what begins now, the last one first, and who enters the shop by it."""
        ...


class Shop:
    """One simulated shop. `rng` is drawn from by all, in the order of what happens."""

    def __init__(self, rng: Random, scenario: Scenario, users: int) -> None:
        self.rng, self.scenario = rng, scenario
        self.rhythm = Rhythm(scenario.shop)
        self.catalogue = Catalogue(rng, scenario.catalogue)
        self.currency = f',"currency":"{scenario.shop.currency}"'
        self._countries = list(scenario.shop.countries)
        self._country_weights = list(scenario.shop.countries.values())
        public = 1 + int(users * scenario.shoppers.public_device_share / _USERS_PER_PUBLIC_DEVICE)
        self._public_devices = [self.token() for _ in range(public)]
        self._carrier_networks = [self.token() for _ in range(1 + users // _USERS_PER_CARRIER_NETWORK)]
        self._pickups = [self.token() for _ in range(scenario.shop.branches)]
        self._accounts = 0

    def new_account(self, as_text: bool = False) -> Account:
        """Of an id that nobody has."""
        self._accounts += 1
        user_id = f"user-{self._accounts * _ID_STEP % _IDS:07d}"
        return Account(user_id, user_id.encode(), as_text)

    def token(self) -> str:
        """A hash as shops make them of devices and addresses."""
        return self.rng.randbytes(8).hex()

    def public_device(self) -> str:
        """One that many use."""
        return self.rng.choice(self._public_devices)

    def carrier_network(self) -> str:
        """An address that a mobile carrier gives to one of its customers after the other."""
        return self.rng.choice(self._carrier_networks)

    def pickup_address(self) -> str:
        """A branch, where an order is fetched."""
        return self.rng.choice(self._pickups)

    def country(self) -> str:
        """By its share of the shop's customers."""
        return self.rng.choices(self._countries, self._country_weights)[0]

    def branch(self) -> str:
        """A place of the shop."""
        return f"branch-{self.rng.randrange(self.scenario.shop.branches):02d}"

    def payment(self) -> str:
        """A way to pay, as JSON."""
        kind = self.rng.choices(_PAYMENTS, _PAYMENT_SHARES)[0]
        return payment(kind, self.token())

    def item_facts(self, item: Item, quantity: int, account: Account) -> str:
        """JSON of an event about an item."""
        return f"{item.facts[account.as_text]}{quantity}{self.currency}"

    def order_facts(self, lines: Lines, account: Account, paid_with: str, address: str, coupon: str | None) -> str:
        """JSON of an order; it is worth its items."""
        items = ",".join(f"{item.line[account.as_text]}{quantity}}}" for item, quantity in lines)
        value = decimal(sum(item.cents * quantity for item, quantity in lines), account.as_text)
        with_coupon = f',"coupon":"{coupon}"' if coupon else ""
        return (
            f',"transaction_id":"T-{self.rng.getrandbits(48):012x}","value":{value}{self.currency},{paid_with}'
            f',"address_hash":"{address}"{with_coupon},"items":[{items}]'
        )


def payment(kind: str, token: str) -> str:
    """A way to pay, as JSON."""
    return f'"payment_type":"{kind}","payment_id":"{token}"'


def whereabouts(device: str, network: str, country: str, branch: str | None = None) -> str:
    """Device, network address and place, as JSON."""
    place = f',"location_id":"{branch}"' if branch else ""
    return f'"device_id":"{device}","ip_hash":"{network}","country":"{country}"{place}'
