"""Attending: an open connection counts among those of its endpoint, and may ask for the others."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from eventhub.delivery.frames import Form
from eventhub.delivery.presence import Watcher
from eventhub.errors import Rejected
from eventhub.gateway.route import Route, Visit

CONTROL: Final = "_presence"
_USER: Final = "user"
"""The column that a reader has to see, because it names the users."""


def check_presence(route: Route, visit: Visit, form: Form) -> None:
    """Check that a client which asks who is connected may be told.

    Raises:
        Rejected: `bad_request`, `bad_filter` or `forbidden`.
    """
    if CONTROL not in visit.asked:
        return
    if visit.control(CONTROL) not in ("", "true", "1"):
        raise Rejected("bad_request", f"{CONTROL} takes no value", column=CONTROL)
    if not route.endpoint.config.presence:
        text = f"{CONTROL} has no effect here: `presence` of the endpoint is not true"
        raise Rejected("bad_filter", text, column=CONTROL)
    if not form.controlled:
        text = f"{CONTROL} needs a WebSocket with a subprotocol, or an event stream"
        raise Rejected("bad_filter", text, column=CONTROL)
    if _USER in visit.permission.columns.hidden:
        text = "the rules of this endpoint do not let you see who is connected"
        raise Rejected("forbidden", text, column=CONTROL)


class Attendee(Protocol):
    """Who is counted: the login of a connection, or a subscription."""

    visit: Visit
    on_renewed: Callable[[], None]
    """Called when it has another login."""


@contextmanager
def attending(route: Route, login: Attendee, reading: Watcher, socket: Hashable) -> Iterator[None]:
    """Count a reading while it is open, for the user that it has; tell its client, if it asked.

    Args:
        route: the endpoint.
        login: of the client.
        reading: the connection of the client, or its subscription.
        socket: the connection; several subscriptions on it count as one.
    """
    if not route.endpoint.config.presence:
        yield
        return
    presence = route.channel.presences.of(route.endpoint.name)
    visitor = presence.enter(_user_of(login.visit), socket)
    login.on_renewed = lambda: visitor.rename(_user_of(login.visit))
    try:
        if CONTROL in login.visit.asked:
            presence.watch(reading, login.visit.permission.sees)
        yield
    finally:
        presence.unwatch(reading)
        visitor.leave()


def _user_of(visit: Visit) -> str | None:
    user = visit.handler.current_user
    return None if user is None else user.id
