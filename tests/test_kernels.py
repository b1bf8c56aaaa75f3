"""Which functions do the work: those that are asked for, or, where they cannot, the reference or a line of why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from unittest import mock

import pytest

import stream
from stream import kernels
from stream.errors import SettingsError
from stream.kernels import REFERENCE


@pytest.fixture
def _no_numba(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where it is not installed, and nothing that needs it was imported before."""
    monkeypatch.delattr(stream, "compiled", raising=False)
    with mock.patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.startswith("stream.compiled")]:
            del sys.modules[name]
        sys.modules["numba"] = None  # type: ignore[assignment]  # what makes its import fail
        yield


def test_the_reference_is_what_it_is_asked_for() -> None:
    assert kernels.pick("reference") is REFERENCE
    assert REFERENCE.name == "reference"


def test_with_numba_every_function_is_a_compiled_one() -> None:
    picked = kernels.pick("compiled")
    assert picked.name == "compiled"
    assert kernels.pick("auto") == picked
    for name, function in picked._asdict().items():
        if name != "name":
            assert function.__module__.startswith("stream.compiled."), name
            assert function is not getattr(REFERENCE, name)


@pytest.mark.usefixtures("_no_numba")
def test_without_numba_the_reference_does_the_work_where_that_is_left_open() -> None:
    assert kernels.pick("auto") is REFERENCE
    assert kernels.pick("reference") is REFERENCE


@pytest.mark.usefixtures("_no_numba")
def test_without_numba_compiled_ones_cannot_be_asked_for() -> None:
    with pytest.raises(
        SettingsError, match=r"kernels: expected Numba, found none \(.*numba.*\); `auto` goes on without"
    ):
        kernels.pick("compiled")


def test_what_is_gone_for_a_test_is_there_again() -> None:
    assert kernels.pick("compiled").name == "compiled"
