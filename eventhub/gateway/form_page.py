"""Form page: a page with one form, which only people on this page and programs can send.

A form is taken only from a page of this hub, with the token of its session.
"""

import hmac
from abc import ABC, abstractmethod
from typing import ClassVar, Final, NamedTuple
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from eventhub.config import is_own_path
from eventhub.errors import Rejected
from eventhub.gateway.body import Bodies
from eventhub.gateway.login_page import LOGIN_HEADERS, TOKEN_FIELD
from eventhub.identity.origin import check_origin
from eventhub.identity.proxies import Proxies, source_of_client
from eventhub.identity.sessions import form_token, user_attributes

MAX_FORM: Final = 16 << 10
"""Bytes of a form."""
MAX_FIELDS: Final = 20
_STALE: Final = "Please try again: this page was too old, or the browser did not send its cookie."
_JSON: Final = "application/json"


class Form(NamedTuple):
    """What a client sent."""

    fields: dict[str, str]
    is_json: bool
    """Sent by a program: a form of another site cannot have this type."""


class FormPage(ABC):
    """A page that shows a form, and takes it.

    Args:
        bodies: limits what clients send.
        proxies: the proxies whose headers are trusted.
    """

    example: ClassVar[str]
    """Of JSON that a program sends."""

    def __init__(self, bodies: Bodies, proxies: Proxies) -> None:
        self._bodies = bodies
        self._proxies = proxies

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Show the form, or do what it asks for.

        Raises:
            Rejected: `forbidden`: sent by a page of another site; or `too_large`, `bad_type`,
                `bad_body`.
        """
        if request.method != "POST":
            return self._show(request)
        check_origin(request, [], self._proxies)
        form = await self._read(request)
        if not form.is_json and not _has_token(request, form):
            return self._show(request, wrong=_STALE, status=403)
        return await self._take(request, form)

    async def _read(self, request: web.Request) -> Form:
        with self._bodies.counted(source_of_client(request, self._proxies)) as reading:
            raw = await reading.raw(request)
            if request.content_type == _JSON:
                return Form(_json_fields(raw, self.example), is_json=True)
            if request.content_type != "application/x-www-form-urlencoded":
                raise Rejected("bad_type", f"send a form, or JSON such as {self.example}")
            return Form(_form_fields(raw), is_json=False)

    @abstractmethod
    def _show(self, request: web.Request, *, wrong: str = "", status: int = 200) -> web.Response:
        """Return the page with its form, and with what was wrong before."""

    @abstractmethod
    async def _take(self, request: web.Request, form: Form) -> web.StreamResponse:
        """Do what a form asks for; it is from this page, or from a program."""


def user_of(request: web.Request) -> str | None:
    """Return the id of the user who is logged in by the session."""
    attributes = user_attributes(request)
    return None if attributes is None else str(attributes.get("id"))


def next_of(request: web.Request, otherwise: str) -> str:
    """Return where to go on: a path of this site, whatever `?next=` says."""
    wanted = request.query.get("next", "")
    return wanted if is_own_path(wanted) else otherwise


def see(place: str) -> web.Response:
    """Return an answer that leads to another page."""
    return web.Response(status=303, headers={"Location": place, "Cache-Control": "no-store"})


def html(page: bytes, status: int = 200) -> web.Response:
    """Return a page of a login as an answer."""
    return web.Response(
        body=page, status=status, content_type="text/html", charset="utf-8", headers=LOGIN_HEADERS
    )


def _form_fields(raw: bytes) -> dict[str, str]:
    try:
        values = parse_qs(raw.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        text = f"the body is not a form in UTF-8 with at most {MAX_FIELDS} fields"
        raise Rejected("bad_body", text) from None
    return {name: given[-1] for name, given in values.items()}


def _json_fields(raw: bytes, example: str) -> dict[str, str]:
    try:
        given = msgspec.json.decode(raw or b"{}", type=dict[str, str | bool])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Rejected("bad_body", f"expected JSON such as {example}") from None
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in given.items()
    }


def _has_token(request: web.Request, form: Form) -> bool:
    sent = form.fields.get(TOKEN_FIELD, "").encode(errors="replace")
    return hmac.compare_digest(sent, form_token(request).encode())
