"""Route: everything that one endpoint needs to answer requests, and who gets in."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from eventhub.arguments import Args, parse_query_string
from eventhub.channel import Endpoint
from eventhub.command import Command
from eventhub.config import Server
from eventhub.errors import EventHubError, Rejected
from eventhub.filters import parse
from eventhub.gateway.audit import audited
from eventhub.gateway.auth import Authenticator, Rule
from eventhub.gateway.controls import REPLAYS, checked_choice
from eventhub.gateway.fanout import Fanout
from eventhub.gateway.origin import check_origin, cors_headers
from eventhub.gateway.protocol import Form
from eventhub.gateway.replay import Replays
from eventhub.gateway.view import View
from eventhub.hooks import Handler, Hooks
from eventhub.ingest import Done, Ingest
from eventhub.receipts import Receipt
from eventhub.snapshots import Snapshots
from eventhub.stream import EventStream


@dataclass(frozen=True, slots=True)
class Visit:
    """One request or connection that was let in."""

    handler: Handler
    args: Args
    """Of the URL, with the endpoint's defaults and what its `open` made of them."""
    asked: frozenset[str] = frozenset()
    """The keys that the client itself sent."""

    def control(self, name: str) -> str | None:
        """Return the last value of a control argument such as `_since`."""
        values = self.args.get(name)
        return str(values[-1]) if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint at work."""

    endpoint: Endpoint
    server: Server
    authenticator: Authenticator
    rule: Rule
    hooks: Hooks
    ingest: Ingest
    stream: EventStream
    fanout: Fanout
    snapshots: Snapshots
    replays: Replays

    async def admit(self, request: web.Request) -> Visit:
        """Let a request in: origin, identity, rule, default arguments, `open`.

        Raises:
            Rejected: `forbidden`, `unauthorized`, `bad_filter`, `bad_request`.
            EventHubError: `internal`: `open` failed.
        """
        with audited(request, self.endpoint.name, self.authenticator.proxies):
            return await self._admit(request)

    async def _admit(self, request: web.Request) -> Visit:
        entry = self.endpoint.config
        check_origin(request, entry.origins, self.authenticator.proxies)
        args = parse_query_string(request.url.raw_query_string)
        asked = frozenset(args)
        for name, values in entry.default.items():
            args.setdefault(name, list(values))
        handler = await self.authenticator.handler_of(request, args, entry.kwargs)
        await self.rule.check(handler)
        await self.hooks.open(handler)
        return Visit(handler, handler.args, asked)

    def cors(self, request: web.Request) -> dict[str, str]:
        """Return the headers that let pages of other origins read an answer, if any may."""
        return cors_headers(request, self.endpoint.config.origins, self.authenticator.proxies)

    def view(self, visit: Visit, form: Form) -> View:
        """Return what a visitor sees.

        Raises:
            Rejected: `bad_filter` or `bad_request`.
        """
        query = parse(visit.args, self.endpoint.channel.columns, self.endpoint.config.unknown)
        replay = checked_choice("_replay", visit.control("_replay"), REPLAYS)
        return View(form, query, history=replay == "log", epoch=self.stream.epoch)

    def write(
        self, messages: Iterable[Any], visit: Visit, method: str | None = None
    ) -> AsyncIterator[Receipt | EventHubError]:
        """Make decoded messages events, in order; as `Ingest.write`."""
        commands = (self._command(message, visit, method) for message in messages)
        return self.ingest.write(commands, visit.handler)

    def post(self, message: Any, visit: Visit, done: Done) -> bool:
        """Begin to store a decoded message, if that needs no waiting; as `Ingest.post`."""
        command = self._command(message, visit, None)
        return self.ingest.post(command, visit.handler, done)

    def _command(self, raw: Any, visit: Visit, method: str | None) -> Command | EventHubError:
        user = visit.handler.current_user
        try:
            return Command.parse(raw, method=method, user=None if user is None else user.id)
        except Rejected as error:
            return error


def answer(receipt: Receipt | EventHubError) -> Mapping[str, Any]:
    """Return what a writer is told in an HTTP body."""
    if isinstance(receipt, EventHubError):
        return {"_error": receipt.as_dict()}
    return receipt.as_dict()
