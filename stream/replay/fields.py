"""Values of a file -> fields of an event, checked as decoding checks them: ids, amounts, counts and text."""

from __future__ import annotations

import re
from typing import Any

from stream.events import ID_MAX_LENGTH, PRICE_MAX
from stream.replay.rows import Unfit, shown

_AMOUNT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?\Z", re.ASCII)
# A price, or an id that was made a float (1234.0). Client ids of Google's cookies (1234567890.1700000000) are longer.
_DECIMAL = re.compile(r"\d+\.\d{1,2}\Z", re.ASCII)


class UnfitError(Exception):
    """Ends the making of one event; it is caught where the event is made, and becomes the value that it carries."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(error)
        self.unfit = Unfit(reason, error)


def text_of(field: str, value: Any) -> str:
    """Text or a whole number as text; "" for nothing."""
    if value is None:
        return ""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    raise UnfitError("bad_value", f"{field}: expected text or a number, got {shown(value)}")


def user_id(text: str | None, *, whole: bool = False) -> str:
    """`whole`: the ids of this format are whole numbers."""
    if not text:
        raise UnfitError("missing_user_id", "user_id: expected an id, got none")
    if "." in text and _DECIMAL.match(text):
        raise UnfitError("bad_user_id", f"user_id: expected an id, got {shown(text)}, a decimal: are columns swapped?")
    return checked_id("user_id", text, whole=whole)


def checked_id(field: str, text: str, *, whole: bool = False) -> str:
    """An id that goes out again; an empty one is none."""
    if len(text) > ID_MAX_LENGTH:
        raise UnfitError("id_too_long", f"{field}: expected at most {ID_MAX_LENGTH} characters, got {len(text)}")
    if whole and not (text.isascii() and text.isdigit()):
        raise UnfitError(f"bad_{field}", f"{field}: expected a whole number, got {shown(text)}: are columns swapped?")
    return text


def amount(field: str, text: str, *, signed: bool = False) -> str:
    """Money in the digits that it was written in; `signed`: a refund's, which shops write either way."""
    problem = _amount_problem(text, signed)
    if problem:
        raise UnfitError("bad_price", f"{field}: expected {problem}, got {shown(text)}")
    return text


def _amount_problem(text: str, signed: bool) -> str | None:
    if not _AMOUNT.match(text):
        return "an amount such as 19.90"
    # A float only to compare: what is sent is the text
    size = float(text)
    low = -PRICE_MAX if signed else 0.0
    return None if low <= size <= PRICE_MAX else f"an amount from {low:g} to {PRICE_MAX:g}"


def count(text: str) -> int | str:
    """A number where it is a whole one, else the text: the scorer does not read it."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else text
