"""DuckDB and the broker get half of the cores, wherever the process may run."""

import os
from collections.abc import Iterator

import pytest

from eventhub.cores import half_of_cores


@pytest.fixture(autouse=True)
def _asked_again() -> Iterator[None]:
    half_of_cores.cache_clear()
    yield
    half_of_cores.cache_clear()


@pytest.mark.parametrize(("usable", "half"), [(1, 1), (2, 1), (3, 1), (8, 4)])
def test_half_of_the_cores_that_the_process_may_use_is_taken(
    monkeypatch: pytest.MonkeyPatch, usable: int, half: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(usable)))
    assert half_of_cores() == half


@pytest.mark.parametrize(("cores", "half"), [(6, 3), (None, 1)])
def test_where_the_system_does_not_tell_those_of_the_machine_count(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, half: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert half_of_cores() == half
