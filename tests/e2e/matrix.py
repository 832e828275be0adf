"""Matrix: every way to read a table and to write to it, and every kind of client.

The ways are made from the hub's own tables, so a new format or suffix is one more way. What cannot
be made from them is compared with them in `test_matrix.py`.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import jwt

from eventhub.delivery.frames import Form
from eventhub.filters.arguments import parse_query_string
from eventhub.gateway import changes, history
from eventhub.gateway.controls import FORMATS, REPLAYS, Surface
from eventhub.gateway.file_answer import SUFFIXES
from tests.e2e.client import DEADLINE_SECONDS, Frame, connect, request, subscribe
from tests.e2e.surfaces import Headers, http, sse, websocket
from tests.e2e.surfaces import Surface as Reads

SECRET = "0123456789abcdef0123456789abcdef"
CHOOSING: Final = frozenset(
    (
        *("_replay", "_since", "_as_of", "_speed", "_history", "_id", "_format", "_schema"),
        "_presence",
    )
)
"""Controls that choose what is read: each is in the table for each surface that honours it."""
SHAPING: Final = frozenset(("_sort", "_limit", "_offset", "_c", "_bigint", "_csv", "_wait"))
"""Controls that shape, order or delay what is chosen by others."""
REVOKED: Final = "gone"
"""A user who was logged out everywhere."""
READING, WRITING, OTHER_METHODS = {"GET", "HEAD"}, {"POST", "PUT", "PATCH", "DELETE"}, {"OPTIONS"}
PAST = "_as_of"


class Way(NamedTuple):
    """A way to read."""

    surface: Surface
    form: Form | None
    """Of frames; None if it has no frames."""
    args: tuple[str, ...]
    """Of the URL; `_as_of` alone stands for the rows as they are now."""
    of_row: Callable[[str], Reads]
    """Returns the way to read one row; with "" the whole table."""
    needs_row: bool = False

    @property
    def name(self) -> str:
        """For messages."""
        form = "" if self.form is None else self.form.value
        return " ".join(filter(None, (self.surface.name, form, *self.args)))

    @property
    def controls(self) -> set[str]:
        """The names of its arguments."""
        return {name for arg in self.args for name in parse_query_string(arg) if name[0] == "_"}


def ways() -> Iterator[Way]:
    """Iterate over the ways to read."""
    for surface in Surface:
        yield from _OF_SURFACE[surface]()


def _given(args: tuple[str, ...]) -> tuple[list[str], bool]:
    """Return the arguments without that for the past, and whether it was among them."""
    return [arg for arg in args if arg != PAST], PAST in args


def _http_way(surface: Surface, form: str, *args: str, needs_row: bool = False) -> Way:
    others, past = _given(args)

    def of_row(row: str) -> Reads:
        return http("GET", form, *others, past=past, row=row)

    shown = f"_format={form}" if form[:1] not in (".", "") else form
    return Way(surface, None, (shown, *args), of_row, needs_row)


def _rows() -> Iterator[Way]:
    for form in FORMATS:
        yield _http_way(Surface.ROWS, form)
        yield _http_way(Surface.ROWS, form, PAST)
    yield _http_way(Surface.ROWS, "json", "_replay=rows")


def _files() -> Iterator[Way]:
    for suffix in SUFFIXES:
        yield _http_way(Surface.FILE, f".{suffix}")
        yield _http_way(Surface.FILE, f".{suffix}", PAST)
    yield _http_way(Surface.FILE, ".csv", "_replay=rows")


def _row() -> Iterator[Way]:
    yield _http_way(Surface.ROW, "", needs_row=True)
    yield _http_way(Surface.ROW, "", PAST, needs_row=True)


def _history() -> Iterator[Way]:
    for form in history.FORMATS:
        for id_arg in ("_history", "_history&_id"):
            yield _http_way(Surface.HISTORY, form, id_arg, needs_row=True)


def _history_files() -> Iterator[Way]:
    for suffix in SUFFIXES:
        for id_arg in ("_history", "_history&_id"):
            yield _http_way(Surface.HISTORY_FILE, f".{suffix}", id_arg, needs_row=True)


def _schema() -> Iterator[Way]:
    yield _http_way(Surface.SCHEMA, "", "_schema")


def _changes() -> Iterator[Way]:
    for form in changes.FORMATS:
        for replay in REPLAYS:
            args = ("_since=earliest", f"_replay={replay}")
            for needs_row in (False, True):
                way = _http_way(Surface.CHANGES, form, *args, needs_row=needs_row)
                yield way._replace(form=Form.POLL)


_LIVE_ARGS: Final = (
    (),
    ("_format=json",),
    ("_replay=log",),
    ("_since=earliest",),
    ("_since=-1000",),
    (PAST,),
    (PAST, "_speed=0"),
    ("_presence",),
)


def _live() -> Iterator[Way]:
    for form in (Form.BARE, Form.V1, Form.V2, Form.SSE):
        for args in _LIVE_ARGS:
            others, past = _given(args)
            if (past or "_presence" in args) and form is Form.BARE:
                continue  # it would never learn that it has everything, or who is connected
            yield Way(Surface.LIVE, form, args, _live_of(form, others, past=past))
            if form is Form.V2:
                of_row = _live_of(form, others, past=past, shared=True)
                yield Way(Surface.LIVE, form, ("/-/socket", *args), of_row)
    yield Way(Surface.LIVE, Form.V1, (), _live_of(Form.V1, [], past=False), needs_row=True)
    yield Way(Surface.LIVE, Form.SSE, (), _live_of(Form.SSE, [], past=False), needs_row=True)
    of_row = _live_of(Form.V2, [], past=False, shared=True)
    yield Way(Surface.LIVE, Form.V2, ("/-/socket",), of_row, needs_row=True)
    resumed = sse(more={"Last-Event-ID": "earliest"})
    yield Way(Surface.LIVE, Form.SSE, ("Last-Event-ID",), lambda _row: resumed)


def _live_of(
    form: Form, args: list[str], *, past: bool, shared: bool = False
) -> Callable[[str], Reads]:
    def of_row(row: str) -> Reads:
        if form is Form.SSE:
            return sse(*args, past=past, row=row)
        return websocket(*args, form=form, shared=shared, past=past, row=row)

    return of_row


_OF_SURFACE: Final[dict[Surface, Callable[[], Iterator[Way]]]] = {
    Surface.ROWS: _rows,
    Surface.FILE: _files,
    Surface.ROW: _row,
    Surface.HISTORY: _history,
    Surface.HISTORY_FILE: _history_files,
    Surface.SCHEMA: _schema,
    Surface.CHANGES: _changes,
    Surface.LIVE: _live,
}

# --- Ways to write ------------------------------------------------------------------------------

Write = Callable[[str, Headers, str, Frame], Any]
"""Called with a URL, headers, a method and a message; returns the code of an error, or ""."""


async def _by_method(url: str, headers: Headers, method: str, message: Frame) -> str:
    return _code((await request(method, url, headers=headers, json=message))[1])


async def _by_patch(url: str, headers: Headers, method: str, message: Frame) -> str:
    verb = "PATCH" if method == "PUT" else method
    return _code((await request(verb, url, headers=headers, json=message))[1])


async def _by_body(url: str, headers: Headers, method: str, message: Frame) -> str:
    sent = [{"_method": method, **message}]
    reply = (await request("POST", url, headers=headers, json=sent))[1]
    return _code(reply[0] if isinstance(reply, list) else reply)


async def _by_form(url: str, headers: Headers, method: str, message: Frame) -> str:
    sent = {"_method": method, **{key: str(value) for key, value in message.items()}}
    return _code((await request("POST", url, headers=headers, data=sent))[1])


async def _by_row(url: str, headers: Headers, method: str, message: Frame) -> str:
    if method == "POST":  # a row is created there by an upsert
        return await _by_method(url, headers, method, message)
    sent = {key: value for key, value in message.items() if key != "id"}
    url = f"{url}/{message['id']}"
    return _code((await request(method, url, headers=headers, json=sent))[1])


def _by(form: Form, *, shared: bool = False) -> Write:
    async def write(url: str, headers: Headers, method: str, message: Frame) -> str:
        opened = connect(url, form=form, headers=headers)
        async with subscribe(url, headers=headers) if shared else opened as client:
            await client.send({"_method": method, **message, "_ref": "write"})
            frames = await client.until(lambda frame: "_error" in frame or "_ack" in frame)
        return _code(frames[-1])

    return write


async def _by_bare(url: str, headers: Headers, method: str, message: Frame) -> str:
    """A bare client is told of nothing but errors, and sees its own message."""
    row_id = message["id"]
    # Among the rows of a snapshot, its own message would have no method.
    url = f"{url}?_since=now&id={row_id}"
    async with connect(url, bare=True, headers=headers) as client:
        await client.send({"_method": method, **message})
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:  # unlike `receive`, without the rows from before
                frame: Frame = await client.socket.receive_json()
                if "_error" in frame or frame.get("_method") == method:
                    return _code(frame)


def _code(reply: Any) -> str:
    return str(reply.get("_error", {}).get("code", ""))


WRITES: Final[dict[str, Write]] = {
    "method": _by_method,
    "PATCH": _by_patch,
    "array": _by_body,
    "form": _by_form,
    "row": _by_row,
    "v1": _by(Form.V1),
    "v2": _by(Form.V2),
    "socket": _by(Form.V2, shared=True),
    "bare": _by_bare,
}

_BY_METHOD: Final = frozenset(("method", "PATCH", "row"))
"""Ways in which the request itself says what becomes of the row."""
SENDS: Final = {name: write for name, write in WRITES.items() if name not in _BY_METHOD}
"""Ways to send what is not stored; HTTP has no such method."""

# --- Clients -------------------------------------------------------------------------------------


class Role(NamedTuple):
    """A kind of client."""

    headers: Headers
    refusal: str = ""
    """Why it is not admitted to the endpoint with `auth: true`."""
    box: str = ""
    """The recipient whose rows it sees."""
    is_admin: bool = False


def token(user: str, *, seconds: float = 3600, role: str = "user", boxes: list[str]) -> Headers:
    """Return the headers of a user."""
    now = time.time()
    claims = {"sub": user, "iat": int(now - 7200), "exp": int(now + seconds)}
    claims |= {"role": role, "boxes": boxes}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET)}"}


def roles() -> dict[str, Role]:
    """Return the kinds of clients, by name."""
    me = token("me", boxes=["me", "all"])
    return {
        "nobody": Role({}, "unauthorized"),
        "user": Role(me, box="me"),
        "other user": Role(token("bob", boxes=["bob", "all"]), box="bob"),
        "admin": Role(
            token("root", role="admin", boxes=["me", "bob", "all"]), box="me", is_admin=True
        ),
        "revoked": Role(token(REVOKED, boxes=["me"]), "unauthorized"),
        "expired": Role(token("me", seconds=-3600, boxes=["me"]), "unauthorized"),
        "alien origin": Role({**me, "Origin": "https://evil.example"}, "forbidden"),
    }
