"""Whatever connections want at once, each is served in order; none waits for all of another."""

from collections import deque
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub.gateway.turns import (
    ALLOWANCE_OF_ALL_SECONDS,
    ALLOWANCE_SECONDS,
    SHARE_OF_ALL,
    IsOver,
    Turns,
)

UNIT_SECONDS = 0.0002
"""Of work on one message, by the clock of these tests."""


class Timer:
    """A call at a time, which can be cancelled."""

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call = call

    def cancel(self) -> None:
        self.call = lambda: None


class Loop:
    """An event loop whose time passes only with work, and between turns."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: deque[Callable[[], None]] = deque()
        self.timers: list[Timer] = []
        self.turn = 0

    def clock(self) -> float:
        return self.now

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        timer = Timer(self.now + delay, call)
        self.timers.append(timer)
        return timer

    def run_once(self) -> bool:
        """Run what is due now; tell whether there was anything, or will be."""
        self.turn += 1
        due = [timer for timer in self.timers if timer.when <= self.now]
        self.timers = [timer for timer in self.timers if timer.when > self.now]
        calls = [timer.call for timer in due] + [*self.soon]
        self.soon.clear()
        for call in calls:
            call()
        if not self.soon and self.timers:
            self.now = max(self.now, min(timer.when for timer in self.timers))
        return bool(self.soon or self.timers)


class Client:
    """A connection with messages, each a number and whether it leads to nothing."""

    def __init__(self, loop: Loop, turns: Turns, done: list[tuple["Client", int]]) -> None:
        self._loop = loop
        self._done = done
        self.waiting: deque[tuple[int, bool]] = deque()
        self.turn = turns.turn(self.work)

    def work(self, is_over: IsOver) -> bool:
        while self.waiting:
            if is_over():
                return True
            number, is_waste = self.waiting.popleft()
            self._loop.now += UNIT_SECONDS
            self._done.append((self, number))
            if is_waste:
                self.turn.charge(UNIT_SECONDS)
        return False


def world(count: int) -> tuple[Loop, list[Client], list[tuple[Client, int]]]:
    loop: Any = Loop()
    turns = Turns(loop, loop.clock)
    done: list[tuple[Client, int]] = []
    return loop, [Client(loop, turns, done) for _ in range(count)], done


ARRIVALS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 300), st.booleans()), max_size=20)


@given(ARRIVALS)
def test_every_message_is_handled_once_and_in_the_order_of_its_connection(
    arrivals: list[tuple[int, int, bool]],
) -> None:
    loop, clients, done = world(5)
    sent: dict[Client, list[int]] = {client: [] for client in clients}
    for at, count, is_waste in arrivals:
        client = clients[at]
        numbers = range(len(sent[client]), len(sent[client]) + count)
        sent[client] += numbers
        client.waiting.extend((number, is_waste) for number in numbers)
        client.turn.request()
        loop.run_once()
    while loop.run_once():
        pass
    for client in clients:
        assert [number for who, number in done if who is client] == sent[client]


@given(st.integers(1, 40), st.booleans())
def test_a_connection_that_was_idle_is_served_within_two_turns(others: int, is_waste: bool) -> None:
    loop, clients, done = world(others + 1)
    *busy, last = clients
    for client in busy:
        client.waiting.extend((number, is_waste) for number in range(1000))
        client.turn.request()
    while len({who for who, _ in done}) < others or len(done) < 2 * others:
        loop.run_once()
    before = len(done)
    last.waiting.append((0, False))
    last.turn.request()
    while (last, 0) not in done:
        assert loop.run_once()
    assert done.index((last, 0)) - before < 50  # two turns of the loop, of 20 messages each


def test_a_connection_that_is_paused_while_it_is_queued_does_no_work_until_the_pause_ends() -> None:
    loop: Any = Loop()
    turns, worked = Turns(loop, loop.clock), list[float]()
    busy = Client(loop, turns, [])
    busy.waiting.extend((number, False) for number in range(1000))
    busy.turn.request()

    def work(_: IsOver) -> bool:
        worked.append(loop.now)
        return False

    turn = turns.turn(work)
    turn.request()
    assert turn.is_waiting
    turn.charge(1.0)
    while turn.is_paused:
        assert loop.run_once()
        assert not (worked and turn.is_paused)
    while loop.run_once():
        pass
    assert len(worked) == 1


@settings(max_examples=10)
@given(st.integers(1, 10))
def test_no_connection_starves_while_new_ones_keep_coming(others: int) -> None:
    loop, clients, done = world(others + 200)
    busy, newcomers = clients[:others], clients[others:]
    for client in busy:
        client.waiting.extend((number, False) for number in range(100))
        client.turn.request()
    for at in range(4000):
        newcomer = newcomers[at % len(newcomers)]
        newcomer.waiting.append((at, False))
        newcomer.turn.request()
        if at % 4 == 0:
            loop.run_once()
    for client in busy:
        assert sum(1 for who, _ in done if who is client) == 100


@settings(max_examples=8)
@given(st.integers(1, 100))
def test_charged_work_is_a_small_share_of_the_time(count: int) -> None:
    loop, clients, done = world(count)
    for client in clients:
        client.waiting.extend((number, True) for number in range(2000))
        client.turn.request()
    while loop.now < 20 and loop.run_once():
        pass
    free = ALLOWANCE_OF_ALL_SECONDS + count * (ALLOWANCE_SECONDS + UNIT_SECONDS)
    assert len(done) * UNIT_SECONDS < free + 1.2 * SHARE_OF_ALL * loop.now


def test_a_connection_that_left_is_not_served() -> None:
    loop, (client, other), done = world(2)
    for each in (client, other):
        each.waiting.extend((number, True) for number in range(500))
        each.turn.request()
    client.turn.end()
    before = sum(1 for who, _ in done if who is client)
    while loop.run_once():
        pass
    assert sum(1 for who, _ in done if who is client) == before
    assert sum(1 for who, _ in done if who is other) == 500


def test_work_wasted_while_a_connection_waits_is_charged() -> None:
    """An array is worked off by a task, whether its connection is held or not."""
    loop, (client,), done = world(1)
    for _ in range(1000):
        client.turn.charge(UNIT_SECONDS)
    client.waiting.append((0, False))
    client.turn.request()
    while not done:
        loop.run_once()
    assert loop.now > (1000 * UNIT_SECONDS - ALLOWANCE_SECONDS) / SHARE_OF_ALL
