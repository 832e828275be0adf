"""Connections without a request are closed in time, and never many of them at once."""

import pytest

from eventhub.gateway import newcomers
from eventhub.gateway.newcomers import CHECK_SECONDS, CLOSED_AT_ONCE, NEXT_SECONDS, Newcomers


class Connection:
    """One that has sent nothing; it notes why it was closed."""

    def __init__(self, of: Newcomers) -> None:
        self._of = of
        self.closed = ""

    def abort(self, reason: str) -> None:
        self.closed = reason
        self._of.on_first_byte(self, None)


async def test_those_that_are_late_are_closed_a_few_at_once_and_the_oldest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Newcomers()
    late = [Connection(made) for _ in range(2 * CLOSED_AT_ONCE + 1)]
    for each in late:
        made.add(each)
    assert made.close_late(1) == CHECK_SECONDS
    assert not any(each.closed for each in late)
    monkeypatch.setattr(newcomers, "FIRST_BYTE_SECONDS", 0.0)
    for rounds, pause in ((1, NEXT_SECONDS), (2, NEXT_SECONDS), (3, CHECK_SECONDS)):
        assert made.close_late(1) == pause
        count = min(rounds * CLOSED_AT_ONCE, len(late))
        assert [each.closed for each in late] == ["silent"] * count + [""] * (len(late) - count)


async def test_a_hurry_divides_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Newcomers()
    connection = Connection(made)
    made.add(connection)
    monkeypatch.setattr(newcomers, "FIRST_BYTE_SECONDS", 1e-3)
    made.close_late(1_000_000)
    assert connection.closed == "silent"


async def test_one_that_has_sent_something_is_no_longer_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Newcomers()
    connection = Connection(made)
    made.add(connection)
    made.on_first_byte(connection, None)
    monkeypatch.setattr(newcomers, "FIRST_BYTE_SECONDS", 0.0)
    made.close_late(1)
    assert connection.closed == ""
