"""A client that ends the process waits longer each time, and others do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.errors import Unavailable
from projections.sql.penalties import FIRST_SECONDS, FORGOTTEN_SECONDS, MAX_SECONDS, Penalties


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_end_is_free_and_each_further_one_costs_more() -> None:
    penalties = Penalties(Clock())
    waits = []
    for _ in range(3):
        penalties.add("ann")
        waits.append(penalties.seconds("ann"))
        penalties.check("bob")
    assert waits[0] == 0
    assert waits[1] == pytest.approx(FIRST_SECONDS, abs=0.1)
    assert waits[2] == pytest.approx(4 * FIRST_SECONDS, rel=0.01)


def test_a_wait_has_an_end_however_often_a_client_ends_the_process() -> None:
    penalties = Penalties(Clock())
    for _ in range(50):
        penalties.add("ann")
    assert penalties.seconds("ann") <= MAX_SECONDS


def test_ends_are_forgotten() -> None:
    clock = Clock()
    penalties = Penalties(clock)
    penalties.add("ann")
    clock.now += FORGOTTEN_SECONDS
    penalties.add("ann")
    penalties.check("ann")
    penalties.add("ann")
    with pytest.raises(Unavailable, match=r"try again in 5 s"):
        penalties.check("ann")


def test_a_share_of_an_end_counts_as_much() -> None:
    penalties = Penalties(Clock())
    for _ in range(2):
        penalties.add("ann", 0.5)
        penalties.check("ann")
    penalties.add("ann", 0.5)
    with pytest.raises(Unavailable):
        penalties.check("ann")


@given(st.lists(st.floats(0, 2000), max_size=20))
def test_a_client_that_goes_on_ends_the_process_once_in_a_wait(pauses: list[float]) -> None:
    clock = Clock()
    penalties = Penalties(clock)
    ends = 0
    started = clock.now
    for pause in pauses:
        clock.now += pause
        try:
            penalties.check("ann")
        except Unavailable:
            continue
        penalties.add("ann")
        ends += 1
    assert ends <= 5 + 2 * (clock.now - started) / FORGOTTEN_SECONDS
