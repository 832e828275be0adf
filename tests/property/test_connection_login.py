"""Whatever a client sends, each message is its writer's of that moment, and the login ends in time.

The hub is compared with a model of some lines. Its clock is moved on by the test.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventhub.errors import Close
from eventhub.identity import bearer, expiry
from tests.tokens import AUTH, SECRET, subprotocols
from tests.unit.gateway.serving import V1, Client, Running, connected, running

UNIT_SECONDS = 100
"""Of lives and waits. Each token ends in the middle of a unit, away from any edge."""
WARNING_UNITS = 3
WRITER = "handler.current_user and handler.current_user.id + ' ' + handler.current_user.role"


@dataclass(frozen=True)
class Write:
    """A message."""


@dataclass(frozen=True)
class Token:
    """A token that the hub accepts, if its user fits."""

    user: str
    role: str
    units: int


@dataclass(frozen=True)
class BadToken:
    """A token that the hub refuses."""

    frame: dict[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Wait:
    """Time that passes, once everything is answered."""

    units: int


Step = Write | Token | BadToken | Wait
BAD: list[dict[str, Any]] = [
    {"_auth": "a.b.c"},
    {"_auth": jwt.encode({"sub": "ann", "exp": 1, "role": "x"}, SECRET, "HS256")},
    {"_auth": jwt.encode({"sub": "ann", "exp": 4_000_000_000, "role": "x"}, SECRET[::-1], "HS256")},
    {"_auth": {"sub": "ann"}},
    {"_auth": "a.b.c", "text": "x"},
]
TOKENS = st.builds(
    Token, st.sampled_from(["ann", "ann", "bob"]), st.sampled_from("pqr"), st.integers(0, 6)
)
STEPS = st.one_of(
    st.just(Write()),
    TOKENS,
    st.sampled_from(BAD).map(BadToken),
    st.integers(1, 3).map(Wait),
)


class Clock:
    """The clock of the hub."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def encode(self, token: Token) -> tuple[str, int]:
        """Return the text of a token, and the Unix time at which it ends."""
        ends = int(self()) + token.units * UNIT_SECONDS + UNIT_SECONDS // 2
        claims = {"sub": token.user, "role": token.role, "exp": ends}
        return jwt.encode(claims, SECRET, "HS256"), ends


@dataclass
class Model:
    """What is right."""

    clock: Callable[[], float]
    user: str | None = None
    role: str = ""
    ends: int | None = None
    rows: list[str | None] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """Of messages and tokens, in their order."""
    warnings: set[int] = field(default_factory=set)
    """The ends of which the client may be warned; that of a login that was renewed at once is not
    worth a word."""

    @property
    def has_ended(self) -> bool:
        return self.ends is not None and self.clock() >= self.ends

    def take(self, token: Token, ends: int) -> str:
        """Take a token; return the answer."""
        if self.user not in (None, token.user):
            return "refused"
        answer = "accepted" if self.user is None else "renewed"
        self.user, self.role, self.ends = token.user, token.role, ends
        self.look()
        return answer

    def write(self) -> str:
        self.rows.append(None if self.user is None else f"{self.user} {self.role}")
        return "stored"

    def look(self) -> None:
        """Warn, if it is time."""
        if self.ends is None or self.has_ended:
            return
        if self.ends - self.clock() <= WARNING_UNITS * UNIT_SECONDS:
            self.warnings.add(self.ends)

    @property
    def has_to_warn(self) -> bool:
        """The client must have been warned of the end of its login."""
        return self.ends in self.warnings


class Played:
    """One connection, and what it got."""

    def __init__(self, client: Client, model: Model, clock: Clock) -> None:
        self.client = client
        self.model = model
        self.clock = clock
        self.answers: list[str] = []
        self.warnings: list[int] = []

    async def play(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Write():
                    self.client.send({"_ref": 1})
                    self.model.answers.append(self.model.write())
                case Token():
                    text, ends = self.clock.encode(step)
                    self.client.send({"_auth": text})
                    self.model.answers.append(self.model.take(step, ends))
                case BadToken():
                    self.client.send(step.frame)
                    self.model.answers.append("refused")
                case Wait():
                    await self.receive()
                    self.clock.ahead += step.units * UNIT_SECONDS
                    self.model.look()
                    if self.model.has_ended:
                        return
        await self.receive()

    async def receive(self) -> None:
        """Read until all is answered, and the client is warned if it has to be."""
        while len(self.answers) < len(self.model.answers) or self.is_not_warned:
            self.note(await self.client.json())

    @property
    def is_not_warned(self) -> bool:
        return self.model.has_to_warn and self.model.ends not in self.warnings

    def note(self, frame: dict[str, Any]) -> None:
        if frame.get("_auth") == "expiring":
            self.warnings.append(int(datetime.fromisoformat(frame["expires"]).timestamp()))
        elif "_auth" in frame:
            assert frame["expires"] > datetime.now(UTC).isoformat()
            self.answers.append(frame["_auth"])
        elif "_ack" in frame:
            self.answers.append("stored")
        elif "_error" in frame:
            self.answers.append("refused")

    async def ends(self, hub: Running) -> None:
        """Check that nothing is taken any more, and that the connection is closed."""
        kind, payload = await self.client.frame()
        while kind == 1:
            kind, payload = await self.client.frame()
        assert (kind, int.from_bytes(payload[:2])) == (8, Close.EXPIRED)
        self.client.send({"_ref": 1})
        self.client.send({"_auth": self.clock.encode(Token("ann", "late", 9))[0]})
        self.client.send(payload[:2], 0x88)
        assert await self.client.rest() == b""
        assert [row["text"] for row in hub.rows()] == self.model.rows


@settings(
    max_examples=min(25, settings().max_examples),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(first=st.none() | TOKENS, steps=st.lists(STEPS, max_size=12))
async def test_a_connection_is_what_its_tokens_make_it(
    monkeypatch: pytest.MonkeyPatch, first: Token | None, steps: list[Step]
) -> None:
    clock = Clock()
    monkeypatch.setattr(expiry, "wall_clock", clock)
    monkeypatch.setattr(bearer, "wall_clock", clock)
    monkeypatch.setattr(expiry, "MAX_SECONDS", 0.005)  # so that the moved clock is noticed
    monkeypatch.setattr(expiry, "WARNING_SECONDS", WARNING_UNITS * UNIT_SECONDS)
    model = Model(clock)
    headers = V1
    if first is not None:
        text, ends = clock.encode(first)
        headers = subprotocols(text)
        model.take(first, ends)
    with TemporaryDirectory() as folder:
        default = {"POST": {"text": WRITER}}
        async with (
            running(Path(folder), users=AUTH, message_default=default) as hub,
            connected(hub.port) as client,
        ):
            await client.upgrade(headers)
            played = Played(client, model, clock)
            await played.play(steps)
            assert played.answers == model.answers
            assert set(played.warnings) <= model.warnings
            assert [row["text"] for row in hub.rows()] == model.rows
            assert {row["user"] for row in hub.rows()} <= {None, "ann", "bob"}
            if model.has_ended:
                await played.ends(hub)
