"""Files: the static files of a `FileHandler`, without those that are private."""

import asyncio
import mimetypes
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from eventhub.config import FileEndpoint
from eventhub.errors import Rejected
from eventhub.filters.arguments import parse_query_string
from eventhub.gateway import refusal
from eventhub.gateway.access_log import ENDPOINT
from eventhub.gateway.compression import Compression
from eventhub.gateway.guard import OWN_FRAMES
from eventhub.gateway.private import PrivateFiles, has_private_name
from eventhub.gateway.static_answer import StaticAnswer
from eventhub.handler import Validity
from eventhub.identity.audit import audited
from eventhub.identity.authenticator import Authenticator
from eventhub.identity.origin import is_embedding
from eventhub.identity.rule import Rule
from eventhub.identity.session_cookie import keep_session

_TRICK: Final = re.compile(r"%(?:2f|5c|00)|\\|%2e%2e|%2e\.|\.%2e", re.IGNORECASE)
"""In a path as it was sent: an encoded separator or step up, which no page needs."""
_COMPRESSED: Final = (".gz", ".br")
"""aiohttp sends such a file instead of the one next to it, if the browser accepts it."""
_UTF8: Final = ("application/javascript", "application/xml", "application/manifest+json")
"""Text whose type does not begin with `text/`."""
_TYPES: Final = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".md": "text/markdown",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".webp": "image/webp",
    ".avif": "image/avif",
}
"""Types of files that the system may not know, by which browsers decide whether to use a file."""
_HEADERS: Final = CIMultiDict(
    {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
    }
)

Admit = Callable[[web.Request], Awaitable[Validity | None]]
"""Checks who sent a request, and returns how long the login holds, if there is one; raises
`Rejected` for those who may not have the answer."""


def admission(endpoint: FileEndpoint, rule: Rule, authenticator: Authenticator) -> Admit:
    """Return what checks the rule of a `FileHandler`."""

    async def admit(request: web.Request) -> Validity | None:
        with audited(request, endpoint.name, authenticator.proxies):
            args = parse_query_string(request.rel_url.raw_query_string)
            if rule.may_read_session:
                keep_session(request)
            handler = await authenticator.handler_of(request, args, {})
            await rule.check(handler)
        return handler.validity

    return admit


class Files:
    """One `FileHandler`: a file, or a folder with a default file in each of its folders."""

    def __init__(
        self,
        endpoint: FileEndpoint,
        private: PrivateFiles,
        compression: Compression,
        admit: Admit | None = None,
    ) -> None:
        """Get ready.

        Args:
            endpoint: what the file says.
            private: the files that are never served.
            compression: of text.
            admit: its rule; None if it has none.
        """
        if endpoint.auth and admit is None:
            raise ValueError(f"{endpoint.name} has a rule, and nothing checks it")
        self.name = endpoint.name
        self._admit = admit
        self._root = endpoint.path.resolve()
        """A file, or the folder."""
        self._default = endpoint.default_filename
        self._headers = _HEADERS.copy()
        self._headers.update(endpoint.headers)
        if not {"content-security-policy", "x-frame-options"} & {h.lower() for h in self._headers}:
            self._headers["Content-Security-Policy"] = OWN_FRAMES
        if admit is not None:  # a cache that many users share must not keep it
            self._headers["Cache-Control"] = "private, no-cache"
        self._private = private
        self._compression = compression

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer with the file that a request names below the pattern; see `answer`."""
        return await self.answer(request, request.match_info.get("path", ""))

    async def has(self, below: str) -> bool:
        """Return whether there is a file at a path below the folder that may be read."""
        return await asyncio.to_thread(self._find, below) is not None

    async def answer(self, request: web.Request, below: str) -> web.StreamResponse:
        """Answer with a file, or with 404, whether the file is private or does not exist.

        A folder without a slash at its end is redirected to the name with it: otherwise relative
        links in its default file would lead to the folder above.

        Browsers revalidate each time (it costs a 304), so that no page mixes old and new files.

        Raises:
            Rejected: `unauthorized` or `forbidden`, by the rule of the entry.
        """
        request[ENDPOINT] = self.name
        validity = None if self._admit is None else await self._admit(request)
        if self._is_embedded_elsewhere(request):
            return refusal.answer(
                Rejected("forbidden", "a page of another site may not embed this file")
            )
        path = None
        if not _TRICK.search(request.raw_path.partition("?")[0]):
            path = await asyncio.to_thread(self._find, below)
        if path is None:
            raise web.HTTPNotFound
        if below and not below.endswith("/") and path.name != below.rpartition("/")[2]:
            folder = await asyncio.to_thread((self._root / below).is_dir)
            if folder:
                return self._to_folder(request, below)
        headers = self._headers.copy()
        headers.setdefault("Content-Type", content_type(path.name))
        return StaticAnswer(path, headers, self._compression, validity)

    def _to_folder(self, request: web.Request, below: str) -> web.Response:
        name = quote(below.rpartition("/")[2], safe="")
        query = request.rel_url.raw_query_string
        location = f"./{name}/?{query}" if query else f"./{name}/"
        return web.Response(status=301, headers={**self._headers, "Location": location})

    def _is_embedded_elsewhere(self, request: web.Request) -> bool:
        """Return whether another site's page embeds a file; browsers refuse frames themselves."""
        if not is_embedding(request) or request.headers.get("Sec-Fetch-Mode") == "navigate":
            return False
        allowed = self._headers.get("Cross-Origin-Resource-Policy", "same-origin")
        return allowed not in ("cross-origin", request.headers.get("Sec-Fetch-Site"))

    def _find(self, below: str) -> Path | None:
        *folders, name = below.split("/")
        if below.startswith("/") or any(
            part.startswith(".") and part.strip(".") for part in folders
        ):
            return None
        try:
            path = (self._root / below).resolve() if below else self._root
            if path.is_dir():
                name, path = "", (path / self._default).resolve()
            elif not name and below:  # a file has no paths below it
                return None
            return path if self._is_public(path) and not has_private_name(name) else None
        except (OSError, ValueError, RuntimeError):  # too long, with a NUL, or a loop of links
            return None

    def _is_public(self, path: Path) -> bool:
        if not path.is_file() or not os.access(path, os.R_OK):
            return False
        if path != self._root and not path.is_relative_to(self._root):
            return False
        beside = (path.with_name(path.name + end) for end in _COMPRESSED)
        sent = (path, *(each for each in beside if each.is_file()))
        root = self._root if self._root.is_dir() else self._root.parent
        return not any(self._private.holds(each, root) for each in sent)


def content_type(name: str) -> str:
    """Return the type of a file by its name; text is UTF-8, as nearly all text is today."""
    suffix = os.path.splitext(name)[1].lower()
    guessed, coding = mimetypes.guess_type(name)
    if coding is not None:  # not text, but text that is packed
        guessed = f"application/{coding}"
    kind = _TYPES.get(suffix) or guessed or "application/octet-stream"
    is_text = kind.startswith("text/") or kind in _UTF8
    return f"{kind}; charset=utf-8" if is_text else kind


def after_files(handler: Handler, path: str, files: Mapping[str, Files]) -> Handler:
    """Return a handler that looks for a file first: nothing that users write hides one.

    Args:
        handler: answers if there is no public file.
        path: the beginning of the paths that it is for.
        files: by pattern.
    """
    folders = (each for each in files if each.endswith("/") and path.startswith(each))
    folder = max(folders, key=len, default=None)
    if folder is None:
        return handler

    async def choose(request: web.Request) -> web.StreamResponse:
        if request.method in ("GET", "HEAD"):
            below = request.path.removeprefix(folder)
            if await files[folder].has(below):
                return await files[folder].answer(request, below)
        return await handler(request)

    return choose
