"""Route: what one endpoint needs to answer requests; it decides which of them are admitted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
from aiohttp import web

from eventhub.background import Background
from eventhub.channel import Endpoint
from eventhub.columns import STAMP
from eventhub.config import MessageEndpoint, Server
from eventhub.delivery.frames import Form
from eventhub.delivery.live_channel import LiveChannel
from eventhub.delivery.view import View
from eventhub.errors import EventHubError, Rejected
from eventhub.filters.arguments import Args, parse_query_string
from eventhub.filters.conditions import Filter
from eventhub.filters.query import parse
from eventhub.filters.restriction import NAMING, RestrictionError, readable_names, restriction_of
from eventhub.filters.weight import check_filter
from eventhub.gateway.body import Bodies
from eventhub.gateway.budget import Budget, Budgets, client_of_limits
from eventhub.gateway.compression import Compression
from eventhub.gateway.controls import BIGINTS, REPLAYS, checked_choice
from eventhub.gateway.kept_files import KeptFiles
from eventhub.gateway.large import LargeMessages
from eventhub.gateway.one_thread import OneThread
from eventhub.gateway.turns import Turns
from eventhub.handler import Handler, Validity
from eventhub.hooks import Hooks
from eventhub.identity.audit import audited
from eventhub.identity.authenticator import Authenticator, Login
from eventhub.identity.bearer import QUERY
from eventhub.identity.column_rules import ColumnRules
from eventhub.identity.origin import check_origin, cors_headers
from eventhub.identity.row_rules import RowRules
from eventhub.identity.rule import Rule
from eventhub.identity.session_cookie import keep_session
from eventhub.identity.sessions import session_owner
from eventhub.ingest.command import Sender
from eventhub.ingest.permission import UNLIMITED, Permission
from eventhub.ingest.receipts import NOBODY, Owner
from eventhub.ingest.trail import Trail
from eventhub.ingest.writing import Ingest
from eventhub.logs import limited
from eventhub.snapshots import Recode

ROW_ID = "id"
"""The part of a path that names one row of the endpoint."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request or connection that was admitted."""

    handler: Handler
    args: Args
    """Arguments of the URL with the endpoint's defaults, as its `open` left them, without those
    that restrict."""
    asked: frozenset[str] = frozenset()
    """The keys that the client itself sent."""
    permission: Permission = UNLIMITED
    """What the endpoint's `open` and `rules` let the client see and do."""
    owner: Owner = NOBODY
    """Owner of the idempotency keys in its messages."""
    given: Args = field(default_factory=dict)
    """Arguments of the URL with the endpoint's defaults, before `open`."""

    def sender(self, spend: Callable[[int], object], client: str) -> Sender:
        """Return the client, as ingest knows it.

        Args:
            spend: called with the bytes of each event that was stored for it.
            client: whose limits apply.
        """
        return Sender(self.handler, self.owner, self.permission, spend, client)

    @property
    def validity(self) -> Validity | None:
        """How long the client's login holds; None without one."""
        return self.handler.validity

    def control(self, name: str) -> str | None:
        """Return the last value of a control argument such as `_since`."""
        values = self.args.get(name)
        return str(values[-1]) if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all endpoints of a gateway share: identities, and the limits of all clients together."""

    server: Server
    authenticator: Authenticator
    bodies: Bodies
    budgets: Budgets
    turns: Turns
    large: LargeMessages
    tasks: Background
    """Owns the tasks that work for connections."""
    recoders: Mapping[str, Recode]
    """By the value of `_format`, and `arrow_file`."""
    recoding: OneThread
    """In which they work, a piece of one client's file after a piece of another's."""
    kept: KeptFiles
    compression: Compression
    trail: Trail
    modules: int = 0
    """The generation of the modules that expressions use."""

    def identifies_like(self, other: "Shared") -> bool:
        """Return whether a client that came by another one would be the same user here."""
        mine, its = self.authenticator.auth, other.authenticator.auth
        return mine == its and self.server.hosts == other.server.hosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint, ready to serve."""

    endpoint: Endpoint
    rule: Rule
    row_rules: RowRules
    column_rules: ColumnRules
    hooks: Hooks
    ingest: Ingest
    channel: LiveChannel
    shared: Shared

    def admits_like(self, other: "Route") -> bool:
        """Return whether another route admits the same clients, and shows them the same."""
        mine, its, entry = self.shared, other.shared, self.endpoint.config
        is_code = entry.open is not None or entry.rules is not None or isinstance(entry.auth, dict)
        return (
            (mine.modules == its.modules or not is_code)
            and mine.identifies_like(its)
            and _admission(entry) == _admission(other.endpoint.config)
        )

    def awaits_token(self, login: Login) -> bool:
        """Return whether a client that has no login may still bring one."""
        return (
            login.user is None and self.rule.needs_login and self.shared.authenticator.takes_tokens
        )

    async def identify(self, request: web.Request) -> Login:
        """Check the origin of a handshake, and return who sent it; errors as `admit`."""
        with audited(request, self.endpoint.name, self.shared.authenticator.proxies):
            self._args(request, is_live=True)
            return await self.shared.authenticator.login_of(request)

    async def admit(
        self,
        request: web.Request,
        *,
        since: str | None = None,
        is_live: bool = False,
        login: Login | None = None,
    ) -> Visit:
        """Admit a request: check origin, identity and rule, and run `open` on its arguments.

        Args:
            request: any HTTP request.
            since: position in a header; it replaces `_since` of the URL.
            is_live: it is for an event stream.
            login: of the client, if it is known.

        Raises:
            Rejected: `forbidden`, `unauthorized`, `bad_filter`, `bad_request`.
            EventHubError: `internal`: `open` failed, or set a key that restricts nothing.
        """
        with audited(request, self.endpoint.name, self.shared.authenticator.proxies):
            args = self._args(request, is_live=is_live, has_login=login is not None)
            return await self._admit(request, args, since, login)

    def _args(self, request: web.Request, *, is_live: bool, has_login: bool = False) -> Args:
        """Check the origin; return the arguments of the URL, without the token, which is taken."""
        check_origin(request, self.endpoint.config.origins, self.shared.authenticator.proxies)
        args = parse_query_string(request.rel_url.raw_query_string)
        tokens = args.pop(QUERY, None)
        if tokens is not None and not has_login:
            self.shared.authenticator.take_query(request, tokens, is_live=is_live)
        return args

    async def _admit(
        self, request: web.Request, args: Args, since: str | None, login: Login | None
    ) -> Visit:
        entry = self.endpoint.config
        asked = frozenset(args)
        if row_id := request.match_info.get(ROW_ID):
            if ROW_ID in args:
                raise Rejected("bad_filter", "the path names the row: leave out id", column=ROW_ID)
            args[ROW_ID] = [row_id]
        if since:
            args["_since"] = [since]
        for name, values in entry.default.items():
            args.setdefault(name, list(values))
        of_rules = self.row_rules.may_read_session or self.column_rules.may_read_session
        if of_rules or self.hooks.may_read_session or self.rule.may_read_session:
            keep_session(request)
        handler = await self.shared.authenticator.handler_of(request, args, entry.kwargs, login)
        user = handler.current_user
        owner = session_owner(request) if user is None else Owner(user.id)
        return await self._visit(handler, asked, owner)

    async def renew(self, visit: Visit, login: Login) -> Visit:
        """Ask rule, `open` and row rules again, for a client with another login.

        Args:
            visit: the client as it was admitted to this endpoint.
            login: with a user.

        Raises:
            Rejected: `forbidden`, `bad_filter`, `bad_request`.
            EventHubError: as `admit`.
        """
        args = {name: list(values) for name, values in visit.given.items()}
        handler = replace(
            visit.handler, current_user=login.user, validity=login.validity, args=args
        )
        owner = visit.owner if login.user is None else Owner(login.user.id)
        return await self._visit(handler, visit.asked, owner)

    async def _visit(self, handler: Handler, asked: frozenset[str], owner: Owner) -> Visit:
        given = handler.args
        await self.rule.check(handler)
        chosen = await self.hooks.open(handler)
        columns = self.column_rules.access(handler)
        restriction, left = self._restricted(handler.args, chosen, columns.hidden)
        permission = self.row_rules.permission(handler, restriction, columns)
        return Visit(handler, left, asked, permission, owner, given)

    def _restricted(self, args: Args, chosen: Args, hidden: frozenset[str]) -> tuple[Filter, Args]:
        """Return the restriction that `open` chose, and the arguments that are none."""
        try:
            restriction, keys = restriction_of(chosen, self.endpoint.channel.columns, hidden)
            left = {name: values for name, values in args.items() if name not in keys}
            for control in NAMING & chosen.keys() if hidden else ():
                names = readable_names(control, chosen[control], hidden)
                left |= {control: names}
                if not names:
                    del left[control]
        except RestrictionError as error:
            facts = {"endpoint": self.endpoint.name, "key": error.key, "detail": str(error)}
            limited.warning("restriction_unknown", by=self.endpoint.name, **facts)
            raise EventHubError("internal error in open") from None
        return restriction, left

    @property
    def reads_decimals(self) -> bool:
        """A column keeps more digits of a number than a float does."""
        return bool(self.endpoint.channel.columns.spelling.decimals)

    def client(self, request: web.Request, visit: Visit) -> str:
        """Return whose limits apply to a request: its user's, or its address's without a login."""
        return client_of_limits(
            request, visit.handler.current_user, self.shared.authenticator.proxies
        )

    def budget(self, request: web.Request, visit: Visit) -> Budget:
        """Return what the client of a request may use."""
        return self.shared.budgets.of(self.client(request, visit))

    def cors(self, request: web.Request) -> dict[str, str]:
        """Return the headers that allow pages of other origins to read an answer, if any may."""
        return cors_headers(
            request, self.endpoint.config.origins, self.shared.authenticator.proxies
        )

    def view(self, visit: Visit, form: Form, number: int = 0) -> View:
        """Return the view that a client asked for, within its restriction; see `reading`.

        Raises:
            Rejected: `bad_filter` or `bad_request`.
        """
        hidden = visit.permission.columns.hidden
        columns = self.endpoint.channel.columns.without(hidden)
        query = parse(visit.args, columns, self.endpoint.config.unknown).hiding(hidden)
        query = query.within(visit.permission.sees)
        check_filter(query.filter)
        if checked_choice("_bigint", visit.control("_bigint"), BIGINTS) == "string":
            query = query.with_texts(columns)
        if "z" in self.endpoint.config.timestamps:
            query = replace(query, spelling=replace(query.spelling, stamp=STAMP))
        replay = checked_choice("_replay", visit.control("_replay"), REPLAYS)
        epoch = self.channel.stream.epoch
        return View(form, query, history=replay == "log", epoch=epoch, number=number)


_WITHOUT: Final[dict[str, Any]] = {"message_default": {}, "headers": {}, "send": False}
_WITHOUT.update(dict.fromkeys(("prepare", "modify", "alert", "quota")))
"""Keys of an endpoint that decide neither who is admitted nor what clients see, without a value."""


def _admission(entry: MessageEndpoint) -> MessageEndpoint:
    """Return an endpoint with only that which admits clients, and decides what they see."""
    kwargs = {key: value for key, value in entry.kwargs.items() if key not in _WITHOUT}
    return msgspec.structs.replace(entry, **_WITHOUT, kwargs=kwargs)
