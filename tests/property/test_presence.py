"""However clients come and go, and processes start, die and miss signals: all see who is there."""

from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventhub.delivery.attendance import MAX_USERS, SILENCE_SECONDS, Present
from eventhub.delivery.presence import Presences, Visitor
from eventhub.filters.conditions import EVERYTHING
from eventhub.filters.query import parse
from eventhub.memory_signals import MemorySignals
from tests.builders import channel
from tests.subscribing import Frame, turns

USERS = ("ann", "bob", "eve", None)
PROCESSES = 3


@dataclass(eq=False)
class Client:
    """A client that applies the frames it gets, as docs/protocol.md says."""

    is_full: bool = False
    users: dict[str, int] = field(default_factory=dict)
    anonymous: int = 0
    states: int = 0

    def send(self, *frames: Frame) -> None:
        for frame in frames:
            told: dict[str, Any] = frame["_presence"]
            if "users" in told:
                self.users = {}
                self.states += 1
            for each in told.get("users", []) + told.get("join", []):
                assert each["user"] not in self.users
                self.users[each["user"]] = each["connections"]
            for each in told.get("change", []):
                assert self.users[each["user"]] != each["connections"]
                self.users[each["user"]] = each["connections"]
            for each in told.get("leave", []):
                assert each["connections"] == 0
                del self.users[each["user"]]
            self.anonymous = told.get("anonymous", self.anonymous)

    @property
    def sees(self) -> Present:
        return Present(self.users, self.anonymous)


class Process:
    """A gateway, whose turns the test takes."""

    def __init__(self, signals: MemorySignals, clock: Callable[[], float]) -> None:
        self._signals = signals
        self.presences = Presences(channel(), signals, clock)
        self.presence = self.presences.of("chat")
        self.client = Client()
        self.presence.watch(self.client, EVERYTHING)
        self.visitors: list[tuple[str | None, object, Visitor]] = []
        """With user and socket."""
        self._listening = AsyncExitStack()

    async def listen(self) -> None:
        presences, heard = self.presences, channel()
        hearing = self._signals.hear(heard, "presence", presences.hear, presences.ask)
        await self._listening.enter_async_context(hearing)
        presences.ask()

    async def deafen(self) -> None:
        await self._listening.aclose()

    def enter(self, user: str | None, socket: object) -> None:
        self.visitors.append((user, socket, self.presence.enter(user, socket)))

    async def tick(self) -> None:
        """Do what `Presences.run` does again and again."""
        await self.presences.say()
        await turns(2)
        await self.presences.show()


class Play:
    """Some gateways, and what happens to them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.signals = MemorySignals()
        self.processes: list[Process] = []

    async def start(self) -> Process:
        process = Process(self.signals, lambda: self.now)
        await process.listen()
        return process

    async def enter(self, number: int, user: str | None) -> None:
        self.processes[number].enter(user, object())

    async def share(self, number: int, user: str | None) -> None:
        """Open another reading on a socket that is open."""
        process = self.processes[number]
        if process.visitors:
            process.enter(user, process.visitors[-1][1])

    async def leave(self, number: int, _: str | None) -> None:
        if visitors := self.processes[number].visitors:
            visitor = visitors.pop()[2]
            visitor.leave()
            visitor.leave()

    async def rename(self, number: int, user: str | None) -> None:
        if visitors := self.processes[number].visitors:
            _, socket, visitor = visitors.pop(0)
            visitor.rename(user)
            visitors.append((user, socket, visitor))

    async def tick(self, number: int, _: str | None) -> None:
        await self.processes[number].tick()

    async def kill(self, number: int, _: str | None) -> None:
        """Kill a process, and start another one."""
        await self.processes[number].deafen()
        self.processes[number] = await self.start()

    async def deafen(self, number: int, _: str | None) -> None:
        """Cut a process off while the others go on."""
        await self.processes[number].deafen()
        for each in 2 * self.processes:
            await each.tick()
        await self.processes[number].listen()

    async def fill(self, number: int, _: str | None) -> None:
        """Fill the socket of a client, or empty it."""
        client = self.processes[number].client
        client.is_full = not client.is_full

    async def wait(self, _: int, __: str | None) -> None:
        self.now += 1.5

    async def end(self) -> None:
        """Let a while pass, in which nothing is missed."""
        self.now += SILENCE_SECONDS + 1  # those that were killed are forgotten
        for process in 3 * self.processes:
            process.client.is_full = False
            await process.tick()


OPERATIONS = ("enter", "share", "leave", "rename", "tick", "kill", "deafen", "fill", "wait")
STEP = st.tuples(st.sampled_from(OPERATIONS), st.integers(0, PROCESSES - 1), st.sampled_from(USERS))


@given(st.lists(STEP, max_size=40))
async def test_what_clients_see_is_in_the_end_the_set_of_open_connections(
    steps: list[tuple[str, int, str | None]],
) -> None:
    play = Play()
    play.processes = [await play.start() for _ in range(PROCESSES)]
    for what, number, user in steps:
        await getattr(play, what)(number, user)
    await play.end()
    readings = {each[:2] for process in play.processes for each in process.visitors}
    open_now = [user for user, _ in readings]
    users = Counter(user for user in open_now if user is not None)
    for process in play.processes:
        assert process.client.sees == Present(dict(users), open_now.count(None))
        await process.deafen()


async def test_a_client_sees_the_users_whose_rows_it_might_read() -> None:
    presence = Presences(channel(), MemorySignals()).of("chat")
    own = Client()
    presence.watch(own, parse({"user": ["ann"]}, channel().columns).filter)
    none = Client()
    presence.watch(none, parse({"text": ["mine"]}, channel().columns).filter)
    visitors = [presence.enter(user, object()) for user in ("ann", "bob", "ann", None)]
    await presence.show()
    assert own.sees == Present({"ann": 2}, 0)
    assert none.sees == Present()
    visitors[0].leave()
    await presence.show()
    assert own.sees == Present({"ann": 1}, 0)
    assert (own.states, none.states) == (1, 1)
    presence.unwatch(own)
    presence.unwatch(own)
    visitors[2].leave()
    await presence.show()
    assert own.sees == Present({"ann": 1}, 0)


async def test_users_beyond_the_most_are_counted_and_not_named() -> None:
    presence = Presences(channel(), MemorySignals()).of("chat")
    client = Client()
    presence.watch(client, EVERYTHING)
    for number in range(MAX_USERS + 3):
        presence.enter(f"u{number:05}", number)
    await presence.show()
    assert len(client.users) == MAX_USERS
    assert client.anonymous == 3
