"""SQL route: what one SQLHandler needs to answer requests; it decides which are admitted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from eventhub.config import SqlEndpoint
from eventhub.delivery.live_channel import LiveChannel
from eventhub.errors import EventHubError, Rejected
from eventhub.filters.arguments import Args
from eventhub.gateway.route import Shared
from eventhub.handler import Handler
from eventhub.identity.audit import audited, note_statement
from eventhub.identity.origin import check_origin, cors_headers
from eventhub.identity.proxies import source_of_client
from eventhub.identity.rule import Rule
from eventhub.identity.session_cookie import keep_session
from eventhub.queries import Answer, Queries, Question

ROWS_HEADER: Final = "EventHub-Rows"
TRUNCATED_HEADER: Final = "EventHub-Truncated"
_EXPOSE: Final = "Access-Control-Expose-Headers"


@dataclass(frozen=True, slots=True)
class SqlRoute:
    """One SQLHandler, ready to serve."""

    entry: SqlEndpoint
    rule: Rule
    queries: Queries
    channels: Mapping[str, LiveChannel]
    """Of its tables, in their order."""
    shared: Shared

    async def admit(self, request: web.Request, args: Args) -> Handler:
        """Admit a request: check origin, identity and rule; errors as `Route.admit`."""
        proxies = self.shared.authenticator.proxies
        with audited(request, self.entry.name, proxies):
            check_origin(request, self.entry.origins, proxies)
            if self.rule.may_read_session:
                keep_session(request)
            handler = await self.shared.authenticator.handler_of(request, args, self.entry.kwargs)
            await self.rule.check(handler)
        return handler

    async def ask(self, request: web.Request, question: Question, client: str) -> Answer:
        """Ask, and note the statement in the audit trail; arguments and errors as `Queries.ask`."""
        outcome, rows = "cancelled", None
        try:
            answer = await self.queries.ask(question, client)
            outcome, rows = "ok", answer.rows
        except EventHubError as error:
            outcome = error.code
            raise
        finally:
            self.note(request, question, outcome, rows)
        return answer

    def note(
        self, request: web.Request, question: Question, outcome: str, rows: int | None
    ) -> None:
        """Note in the audit trail what became of a statement."""
        given = json.dumps(dict(question.parameters), default=str)
        detail = {"sql": question.sql, "parameters": given, "rows": rows}
        proxies = self.shared.authenticator.proxies
        note_statement(request, self.entry.name, proxies, outcome=outcome, detail=detail)

    def client(self, request: web.Request, handler: Handler) -> str:
        """Return whose limits apply to a request."""
        user = handler.current_user
        if user is not None:
            return f"user {user.id}"
        return f"address {source_of_client(request, self.shared.authenticator.proxies)}"

    def headers(self, request: web.Request) -> dict[str, str]:
        """Return the headers of every answer."""
        cors = dict(cors_headers(request, self.entry.origins, self.shared.authenticator.proxies))
        if _EXPOSE in cors:
            cors[_EXPOSE] += f", {ROWS_HEADER}, {TRUNCATED_HEADER}"
        cors["Vary"] = ", ".join(["Accept, Accept-Encoding", *filter(None, [cors.get("Vary")])])
        return {"Cache-Control": "no-store", **self.entry.headers, **cors}


def arguments(args: Args, controls: tuple[str, ...], what: str) -> dict[str, str]:
    """Return the arguments of a URL: controls, and parameters of the statement.

    Args:
        args: of the URL.
        controls: those that have an effect.
        what: they have one on.

    Raises:
        Rejected: `bad_request`: a control has no effect, or an argument is repeated.
    """
    for name in args:
        if name.startswith("_") and name not in controls:
            raise Rejected("bad_request", f"{name} has no effect on {what}", column=name)
        if len(args[name]) > 1:
            raise Rejected("bad_request", f"{name} was given more than once", column=name)
    return {name: values[0] for name, values in args.items()}


def missing() -> Rejected:
    """Return the error for a request without a statement."""
    text = "sql is missing: write ?sql=SELECT … or POST a statement"
    return Rejected("bad_request", text, column="sql")
