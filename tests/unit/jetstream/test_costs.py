"""Rounds are sent in the way that costs less, whatever that is for the servers."""

from collections.abc import Callable
from functools import partial
from operator import mul

import pytest

from eventhub.jetstream.costs import SINGLES, TRIED, Costs

Cost = Callable[[int], float]
"""Seconds of a round of so many writes."""


def sent(costs: Costs, count: int, rounds: int, batch: Cost, singles: Cost) -> int:
    """Send rounds that cost what these functions say; return how many went as batches."""
    batches = 0
    for _ in range(rounds):
        is_batch = costs.chooses_batch(count)
        batches += is_batch
        costs.note(count, is_batch=is_batch, seconds=(batch if is_batch else singles)(count))
    return batches


def fixed(count: int) -> float:
    """A batch whose folder costs most of the time."""
    return 0.004 + 0.00001 * count


@pytest.mark.parametrize("count", [2, 3, 4, 8, 40, TRIED])
def test_what_costs_less_is_done_nearly_always(count: int) -> None:
    for fsync in (0.00002, 0.01):
        costs = Costs()
        batches = sent(costs, count, 1000, fixed, partial(mul, fsync))
        is_better = fixed(count) < fsync * count
        assert costs.prefers_batch(count) is is_better
        assert (batches > 970) is is_better
        assert (batches < 30) is not is_better


def test_a_change_of_the_servers_is_noticed() -> None:
    costs = Costs()
    sent(costs, 8, 200, fixed, lambda count: 0.0004 * count)
    assert not costs.prefers_batch(8)
    sent(costs, 8, 200, fixed, lambda count: 0.01 * count)
    assert costs.prefers_batch(8)


def test_one_pause_of_the_disk_changes_nothing() -> None:
    costs = Costs()
    sent(costs, 8, 100, fixed, lambda count: 0.0001 * count)
    costs.note(8, is_batch=False, seconds=30.0)
    assert not costs.prefers_batch(8)


@pytest.mark.parametrize(("count", "expected"), [(1, False), (SINGLES, False), (SINGLES + 1, True)])
def test_without_measurements_a_few_are_sent_singly(count: int, expected: bool) -> None:
    costs = Costs()
    assert costs.prefers_batch(count) is expected
    assert costs.chooses_batch(count) is expected


def test_many_are_tried_singly_only_where_half_as_many_were_not_hopeless() -> None:
    hopeless, worth_it = Costs(), Costs()
    for count in (2 * TRIED, 4 * TRIED):
        assert sent(hopeless, count, 200, fixed, lambda count: 0.01 * count) == 200
    for count in (TRIED, 2 * TRIED):
        assert sent(worth_it, count, 200, fixed, lambda count: 0.00001 * count) < 20


def test_a_single_write_is_never_a_batch() -> None:
    costs = Costs()
    assert sent(costs, 1, 5000, fixed, lambda count: 1.0) == 0
