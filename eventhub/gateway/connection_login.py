"""Connection login: who the client of an open connection is, until when, and with which token next.

A client of a WebSocket with a subprotocol goes on with another token that it sends in a frame
of its own: `{"_auth": TOKEN}`. Event streams are warned, and connect again.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Self

from eventhub.delivery import frames as protocol
from eventhub.delivery.frames import Form
from eventhub.errors import Changed, EventHubError, Rejected
from eventhub.gateway.connection import nothing
from eventhub.gateway.route import Route, Shared, Visit
from eventhub.gateway.sse import SseConnection
from eventhub.gateway.websocket import WebSocketConnection
from eventhub.handler import User
from eventhub.identity.audit import note_token_refusal
from eventhub.identity.authenticator import Login
from eventhub.identity.bearer import MAX_BYTES
from eventhub.identity.expiry import Expiry

AUTH: Final = "_auth"
RENEWAL_SECONDS: Final = 5e-4
"""Price of a frame with a token, whether it is accepted or not: checking a signature and asking the
rules takes about as long. Fixed, to be the same on any machine."""
_KEYS: Final = frozenset((AUTH, "_ref"))


class TokenFrame(NamedTuple):
    """A frame with which a client logs in."""

    token: str
    ref: Any
    """Comes back in the answer."""

    @classmethod
    def parse(cls, message: dict[str, Any]) -> Self:
        """Read a message that `has_token`.

        Raises:
            Rejected: `bad_control`.
        """
        for name in message:
            if name not in _KEYS:
                text = f"a frame with {AUTH} has nothing else but _ref: send the message after it"
                raise Rejected("bad_control", text, column=AUTH)
        token = message[AUTH]
        if not isinstance(token, str) or not 0 < len(token) <= MAX_BYTES:
            text = f"{AUTH} must be a token: text of 1 to {MAX_BYTES:,} characters"
            raise Rejected("bad_control", text, column=AUTH)
        return cls(token, message.get("_ref"))


def has_token(messages: list[Any]) -> bool:
    """Return whether a frame is one with which a client logs in."""
    return len(messages) == 1 and isinstance(messages[0], dict) and AUTH in messages[0]


Readmit = Callable[[Login], Awaitable[Visit]]
"""Admits the client of an open connection with another login; errors as `Route.renew`."""


class NotAdmittedError(Exception):
    """With its new login a client may not go on; `error` says why, and ends its connection."""

    def __init__(self, error: EventHubError) -> None:
        super().__init__(error.message)
        self.error = error


class ConnectionLogin:
    """The login of one open connection. Its owner releases it when the connection ends."""

    __slots__ = ("_connection", "_end", "_expiry", "address", "on_renewed", "visit")

    def __init__(
        self, visit: Visit, connection: WebSocketConnection | SseConnection, address: str
    ) -> None:
        """Get ready; `watch` starts.

        Args:
            visit: the client as it was admitted.
            connection: gets the warning.
            address: of the client, for the log.
        """
        self.visit = visit
        """The client as it is now: what it may see, and as whom it writes."""
        self.on_renewed: Callable[[], None] = nothing
        """Called when the client goes on with another token, perhaps as another user."""
        self._connection = connection
        self.address = address
        self._end: Callable[[Rejected], None] = _nothing
        self._expiry: Expiry | None = None

    def watch(self, end: Callable[[Rejected], None]) -> None:
        """Warn the client before its login ends, and call `end` with the reason when it does."""
        self._end = end
        self._watch()

    def release(self) -> None:
        """Watch no more; idempotent."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    async def renew(self, route: Route, token: str) -> dict[str, Any]:
        """Go on with another token; return the answer.

        Args:
            route: the endpoint as it is now.
            token: of the same user, if there was one; otherwise the client becomes its user.

        Raises:
            Rejected: `unauthorized`: the token is not valid, or another user's. Nothing changes.
            Unavailable: the token cannot be checked now. Nothing changes.
            NotAdmittedError: the connection has to end: with this login the client may not enter,
                or sees something else, which only another replay can show.
        """

        async def readmit(login: Login) -> Visit:
            visit = await route.renew(self.visit, login)
            if sees_else(route, visit, self.visit, self._connection.form):
                raise Changed(is_first=self.visit.handler.current_user is None)
            return visit

        return await self.renew_by(readmit, route.shared, route.endpoint.name, token)

    async def renew_by(
        self, readmit: Readmit, shared: Shared, name: str, token: str
    ) -> dict[str, Any]:
        """Go on with another token; return the answer.

        Args:
            readmit: admits the client again.
            shared: has the authenticator.
            name: of the endpoint, for the log.
            token: as for `renew`, and errors as there.
        """
        before = self.visit.handler.current_user
        try:
            login = await shared.authenticator.login_of_token(token)
            _check_user(login.user, before)
        except Rejected as error:
            self.note(shared, name, error)
            raise
        try:
            visit = await readmit(login)
        except EventHubError as error:
            self.note(shared, name, error)
            raise NotAdmittedError(error) from None
        return self._go_on(visit, is_first=before is None)

    def _go_on(self, visit: Visit, *, is_first: bool) -> dict[str, Any]:
        self.visit = visit
        self.on_renewed()
        if visit.handler.current_user is not None:
            self._connection.note_user(visit.handler.current_user.id)
        if not self._connection.is_lost:
            self._watch()
        return protocol.logged_in(self._expires_at, is_first=is_first)

    def note(self, shared: Shared, name: str, error: EventHubError) -> None:
        """Log that a token was refused, or does not admit the client to an endpoint."""
        note_token_refusal(self.address, error, name, shared.trail)

    def _watch(self) -> None:
        self.release()
        if (validity := self.visit.validity) is not None:
            self._expiry = Expiry(validity, self._warn, self._end)

    @property
    def _expires_at(self) -> float | None:
        validity = self.visit.validity
        return None if validity is None else validity.expires_at

    def _warn(self) -> None:
        at = self._expires_at
        if at is not None and self._connection.form is not Form.BARE:
            self._connection.send(protocol.expiring(at))


def _nothing(_: Rejected) -> None:
    """Do nothing: nobody watches yet."""


def _check_user(user: User | None, before: User | None) -> None:
    if before is not None and (user is None or user.id != before.id):
        text = "the token is another user's: connect again to change the user"
        raise Rejected("unauthorized", text)


def sees_else(route: Route, visit: Visit, before: Visit, form: Form) -> bool:
    """Return whether a client sees something else of an endpoint than it did before."""
    return _sight(route, visit, form) != _sight(route, before, form)


def _sight(route: Route, visit: Visit, form: Form) -> object:
    """Return what a client sees of an endpoint: equal if it sees the same."""
    return visit.args, visit.permission.sees, route.view(visit, form).key
