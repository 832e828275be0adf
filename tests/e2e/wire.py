"""Wire: raw bytes to a hub, and its answers."""

import re
import socket
from http.client import HTTPException, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from eventhub.errors import CODES

DEADLINE_SECONDS = 40.0
LIBRARY = re.compile(rb"aiohttp|traceback|python|llhttp|<html", re.IGNORECASE)
"""What an answer of the HTTP library or of the interpreter would contain."""


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def code(self) -> str | None:
        """The code of the error object, if the answer is one."""
        try:
            reply: Any = msgspec.json.decode(self.body)
            return str(reply["_error"]["code"])
        except (msgspec.DecodeError, KeyError, TypeError):
            return None

    def check(self) -> None:
        """Fail unless the answer is the hub's own, and not a server error."""
        assert self.status < 500, self
        assert not LIBRARY.search(self.body), self
        if self.status >= 400 and self.body:
            assert self.code in CODES, self
            assert CODES[self.code].http == self.status, self


def connected(url: str) -> socket.socket:
    """Return a socket to a hub."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), DEADLINE_SECONDS)


def read_answer(wire: socket.socket, method: str = "GET") -> Answer:
    """Return the next answer; raises `HTTPException` or `OSError` if there is none."""
    response = HTTPResponse(wire, method=method)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def ask(url: str, request: bytes) -> Answer:
    """Send bytes and return the answer."""
    with connected(url) as wire:
        wire.sendall(request)
        return read_answer(wire, "HEAD" if request.startswith(b"HEAD ") else "GET")


def head(first: str, *lines: str) -> bytes:
    """Return a request's head."""
    return "\r\n".join([first, "Host: 127.0.0.1", *lines, "", ""]).encode("latin-1")


def with_body(first: str, body: bytes, *lines: str) -> bytes:
    """Return a request with a body and its length."""
    return head(first, f"Content-Length: {len(body)}", *lines) + body


__all__ = ["Answer", "HTTPException", "ask", "connected", "head", "read_answer", "with_body"]
