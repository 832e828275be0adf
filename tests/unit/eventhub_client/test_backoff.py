"""Pauses grow, stay bounded, and begin again after a success."""

from hypothesis import given
from hypothesis import strategies as st

from eventhub_client.backoff import FIRST_SECONDS, MOST_SECONDS, Backoff


@given(st.floats(0, 1), st.integers(1, 200))
def test_pauses_grow_up_to_a_bound_whatever_the_jitter(chance: float, tries: int) -> None:
    backoff = Backoff(lambda: chance)
    pauses = [backoff.pause() for _ in range(tries)]
    assert pauses == sorted(pauses)
    assert pauses[0] == FIRST_SECONDS * (0.5 + chance)
    assert pauses[-1] <= 1.5 * MOST_SECONDS


def test_a_success_begins_again_and_a_hub_that_asks_for_longer_gets_it() -> None:
    backoff = Backoff(lambda: 0.5)
    first = backoff.pause()
    assert backoff.pause() == 2 * first
    backoff.reset()
    assert backoff.pause() == first
    assert backoff.pause(retry_after=40) == 40
