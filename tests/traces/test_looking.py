"""Which records are a user's, however their producer writes the id."""

from __future__ import annotations

import pytest

from stream.traces.looking import _is_record_of
from tests.shop import FakeRecord

USER = "Jörg/7"


@pytest.mark.parametrize(
    "value", ['{"user_id":"Jörg/7"}', '{"user_id":"J\\u00f6rg\\/7"}', '{"a":"\\"","user_id":"J\\u00F6rg/7"}']
)
def test_a_record_of_another_key_is_theirs_if_it_says_so(value: str) -> None:
    wanted = _is_record_of(USER.encode(), USER)
    assert wanted(FakeRecord(b"other", value.encode(), 0, 0))
    assert not wanted(FakeRecord(b"other", value.replace("7", "8").encode(), 0, 0))
    assert wanted(FakeRecord(USER.encode(), None, 0, 0))
