"""Budget: how many messages, bytes and connections each client may have, over all it has open.

A client is a user, or an address if there is no login. Each rate is a token bucket: whoever was
quiet may use up to `burst` seconds of it at once. A charge is never refused. It is due later, and
until then the client waits: a WebSocket is not read from, and a request is answered with 429. So a
message that is larger than the bucket passes, and costs what it costs (ADR-71).
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, TypeVar

from aiohttp import web

from eventhub import metrics
from eventhub.config import Limits
from eventhub.errors import Rejected
from eventhub.handler import User
from eventhub.identity.proxies import Proxies, source_of_client
from eventhub.logs import limited

T = TypeVar("T")


def client_of_limits(request: web.Request, user: User | None, proxies: Proxies) -> str:
    """Return whose limits apply to a request: its user's, or its address's without a login."""
    return f"user {user.id}" if user else f"address {source_of_client(request, proxies)}"


FEW_BUDGETS: Final = 10_000
"""Budgets that are kept without looking for those that can be forgotten."""


class Budget:
    """What one client has used: for each rate, when the bucket is full again."""

    __slots__ = ("_budgets", "_bytes_at", "_connects_at", "_messages_at", "client", "connections")

    def __init__(self, budgets: "Budgets", client: str) -> None:
        self._budgets = budgets
        self._messages_at = self._bytes_at = self._connects_at = 0.0
        self.client = client
        self.connections = 0
        """WebSockets, event streams and polls that are open."""

    def charge(self, messages: int, size: int) -> float:
        """Charge messages, and bytes; return the seconds that the client has to wait now."""
        budgets = self._budgets
        rates, now = budgets.rates, budgets.clock()
        if messages:
            at = self._messages_at
            self._messages_at = (at if at > now else now) + messages / rates.messages
        at = self._bytes_at
        self._bytes_at = (at if at > now else now) + size / rates.bytes
        later = self._messages_at if self._messages_at > self._bytes_at else self._bytes_at
        seconds = later - now - rates.burst
        if seconds <= 0:
            return 0.0
        self._note("messages" if later == self._messages_at else "bytes")
        return seconds

    def spend(self, size: int) -> None:
        """Charge the bytes of a stored event."""
        self.charge(0, size)

    async def paced(self, each: AsyncIterator[T]) -> AsyncIterator[T]:
        """Iterate, as slowly as the client has to wait for what each step stores."""
        async for one in each:
            yield one
            if (seconds := self._late(max(self._messages_at, self._bytes_at))) > 0:
                await asyncio.sleep(seconds)

    def check(self) -> None:
        """Check that the client need not wait.

        Raises:
            Rejected: `rate_limited`.
        """
        seconds = self._late(max(self._messages_at, self._bytes_at))
        if seconds > 0:
            limit = "messages" if self._messages_at >= self._bytes_at else "bytes"
            self._note(limit)
            raise _rate_limited(f"too many {limit} a second: wait before you send more", seconds)

    def connect(self) -> None:
        """Charge an opened connection.

        Raises:
            Rejected: `rate_limited`.
        """
        seconds = self._late(self._connects_at)
        if seconds > 0:
            self._note("connects")
            raise _rate_limited("connections are opened too often: wait before the next", seconds)
        now = self._budgets.clock()
        self._connects_at = max(self._connects_at, now) + 1 / self._budgets.rates.connects

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Count a connection of a user for the length of the block.

        Addresses are limited where connections are accepted (`arrivals`).

        Raises:
            Rejected: `too_many_connections`.
        """
        most = self._budgets.most_connections
        if self.connections >= most and self.client.startswith("user "):
            self._note("connections")
            text = f"this user has {most:,} connections open: close one before you open another"
            raise Rejected("too_many_connections", text)
        self.connections += 1
        try:
            yield
        finally:
            self.connections -= 1

    @property
    def is_unused(self) -> bool:
        """It can be forgotten: a new one would allow the same."""
        latest = max(self._messages_at, self._bytes_at, self._connects_at)
        return not self.connections and latest <= self._budgets.clock()

    def _late(self, at: float) -> float:
        return at - self._budgets.clock() - self._budgets.rates.burst

    def _note(self, limit: str) -> None:
        metrics.LIMITED.labels(limit).inc()
        limited.warning("client_limited", by=self.client, limit=limit)


def _rate_limited(text: str, seconds: float) -> Rejected:
    return Rejected("rate_limited", text, retry_after=math.ceil(seconds))


class Budgets:
    """The budgets of all clients of a gateway.

    Args:
        rates: of every client.
        most_connections: of one user.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        rates: Limits,
        most_connections: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rates = rates
        self.most_connections = most_connections
        self.clock = clock
        self._of: dict[str, Budget] = {}
        self._sweep_at = FEW_BUDGETS

    def of(self, client: str) -> Budget:
        """Return the budget of a client, a user or an address."""
        budget = self._of.get(client)
        if budget is None:
            if len(self._of) >= self._sweep_at:
                self._of = {name: each for name, each in self._of.items() if not each.is_unused}
                self._sweep_at = max(FEW_BUDGETS, 2 * len(self._of))
            budget = self._of[client] = Budget(self, client)
        return budget


class Share:
    """One WebSocket's share of its client's budget: it waits until what was charged to it is due.

    Args:
        budget: of the client, which counts the connection already.
        on_due: called after each wait.
    """

    __slots__ = ("_budget", "_counted", "_on_due", "_timer")

    def __init__(self, budget: Budget, on_due: Callable[[], None]) -> None:
        self._budget = budget
        self._on_due = on_due
        self._counted = ExitStack()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def client(self) -> str:
        """Whose budget it is."""
        return self._budget.client

    @property
    def is_waiting(self) -> bool:
        """The client has used what it may use for now."""
        return self._timer is not None

    def charge(self, messages: int, size: int) -> None:
        """Charge messages, and bytes."""
        seconds = self._budget.charge(messages, size)
        if seconds and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._end_wait)

    def spend(self, size: int) -> None:
        """Charge the bytes of a stored event."""
        self.charge(0, size)

    def paced(self, each: AsyncIterator[T]) -> AsyncIterator[T]:
        """See `Budget.paced`."""
        return self._budget.paced(each)

    def move(self, budget: Budget) -> None:
        """Charge another budget from now on: a frame has logged in the client.

        Raises:
            Rejected: `too_many_connections`.
        """
        if budget is not self._budget:
            self._counted.enter_context(budget.connection())
            self._budget = budget

    def release(self) -> None:
        """Count no more, and wait no more; idempotent."""
        self._counted.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_wait(self) -> None:
        self._timer = None
        self._on_due()
