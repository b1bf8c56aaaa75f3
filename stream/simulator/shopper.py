"""A shopper: what lasts of them between visits, and what they need at present. About 2 kB each."""

from __future__ import annotations

import math
from typing import NamedTuple

from stream.simulator.catalogue import Item
from stream.simulator.need import Need
from stream.simulator.rhythm import DAY_MS
from stream.simulator.shop import Shop, payment, whereabouts

_FAVOURITES = 3
_PACE_SPREAD = 0.35
_ONE_TIME_SHARE = 0.2  # of shoppers whose wallet shows a new payment id each time
_SECOND_PAYMENT_SHARE = 0.3
_GIFT_SHARE, _PICKUP_SHARE = 0.06, 0.15  # of orders


class Home(NamedTuple):
    """What a household shares."""

    address: str
    network: str
    country: str
    branch: str
    device: str
    payment: str


def new_home(shop: Shop, country: str | None = None) -> Home:
    """Of a country, or of any by its share."""
    return Home(
        address=shop.token(),
        network=shop.token(),
        country=country or shop.country(),
        branch=shop.branch(),
        device=shop.token(),
        payment=shop.payment(),
    )


class Shopper:
    """Someone with an account. `home`: of the household they join; None: their own."""

    def __init__(self, shop: Shop, home: Home | None) -> None:
        rng, numbers = shop.rng, shop.scenario.shoppers
        self._shop = shop
        self.account = shop.new_account(as_text=rng.random() < numbers.text_share)
        a_day = numbers.sessions_per_day_median * math.exp(numbers.sessions_per_day_spread * rng.gauss(0, 1))
        self.visits_per_ms = min(a_day, numbers.sessions_per_day_max) / DAY_MS  # where the shop is at its busiest
        self.propensity = rng.gauss(0, numbers.propensity_spread)  # in standard deviations of readiness
        self.pace = _PACE_SPREAD * rng.gauss(0, 1)  # log of how long they stay at a page, in proportion to others
        self.favourites = [shop.catalogue.any_category(rng) for _ in range(_FAVOURITES)]
        self.price_level = rng.gauss(0, 1)
        self.business = rng.random() < numbers.business_share
        self.home = home or new_home(shop)
        self.german = self.home.country in shop.scenario.shop.german_speaking
        self._devices = [self.home.device if rng.random() < 0.5 else shop.token()]
        if rng.random() < numbers.second_device_share:
            self._devices.append(shop.token())
        if rng.random() < numbers.public_device_share:
            self._devices[0] = shop.public_device()
        self._payments = [self.home.payment if home is None or rng.random() < 0.5 else shop.payment()]
        if rng.random() < _SECOND_PAYMENT_SHARE:
            self._payments.append(shop.payment())
        self._one_time = rng.random() < _ONE_TIME_SHARE
        self.cart: dict[Item, int] = {}  # item -> quantity
        self.need: Need | None = None
        self.orders = 0
        self.visits = 0

    @property
    def device(self) -> str:
        """The one that they come with most."""
        return self._devices[0]

    def payment(self, other: bool) -> str:
        """What they pay with: the first of their cards, or another one, as after a refusal."""
        if self._one_time:
            return payment("card", self._shop.token())
        return self._payments[-1] if other else self._payments[0]

    def address(self) -> str:
        """Where an order goes to: home, to be fetched from a branch, or to whom it is a gift for."""
        place = self._shop.rng.random()
        if place < _GIFT_SHARE:
            return self._shop.token()
        return self._shop.pickup_address() if place < _GIFT_SHARE + _PICKUP_SHARE else self.home.address

    def coupon(self) -> str | None:
        """The code that an order carries."""
        rng, numbers = self._shop.rng, self._shop.scenario.sessions
        if self.orders == 0 and rng.random() < numbers.welcome_share:
            return "WELCOME10"
        return f"SAVE{rng.choice((5, 10, 15))}" if rng.random() < numbers.coupon_share else None

    def whereabouts(self) -> str:
        """Device, network and place of the visit that begins."""
        shop, rng, numbers = self._shop, self._shop.rng, self._shop.scenario.sessions
        if rng.random() < numbers.new_device_share:
            self._devices[-1] = shop.token()
        device = self._devices[-1 if rng.random() < 0.4 else 0]
        if rng.random() < numbers.away_share:
            return whereabouts(device, shop.token(), shop.country(), shop.branch())
        network = shop.carrier_network() if rng.random() < numbers.mobile_network_share else self.home.network
        return whereabouts(
            device, network, self.home.country, self.home.branch if rng.random() < numbers.branch_share else None
        )

    def any_category(self) -> int:
        """Of what they like, or of what all like."""
        rng = self._shop.rng
        return rng.choice(self.favourites) if rng.random() < 0.7 else self._shop.catalogue.any_category(rng)

    def new_need(self) -> Need:
        """Something that they now want."""
        rng, category = self._shop.rng, self.any_category()
        wanted = self._shop.catalogue.shelves[category].draw(rng)
        resolve = self._shop.scenario.needs.strength * (0.5 + rng.random())
        return Need(category, self.price_level + 0.4 * rng.gauss(0, 1), wanted.brand, resolve)
