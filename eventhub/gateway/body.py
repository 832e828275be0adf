"""Body: the one way in for what a client sends with a request.

A body costs nothing until its sender has been admitted. Then it is read with a deadline, and
counted among the bytes in progress, of its sender and in all. If it is not small, it is inflated
and parsed in a thread, and never to more than `server.max_message` (ADR-43). Large ones take turns
with the large messages of WebSockets (`large`).
"""

import asyncio
from collections import Counter
from typing import Self

from aiohttp import HttpVersion11, web

from eventhub.columns import Columns
from eventhub.errors import Rejected, Unavailable
from eventhub.gateway.content import Content, Messages
from eventhub.gateway.large import LARGE_BYTES, LargeMessages, Permit

SECONDS = 30.0
"""Deadline of a small body."""
BYTES_A_SECOND = 16 << 10
"""A larger body has one second more for each 16 KiB that have arrived."""
THREAD_BYTES = 32 << 10
"""Larger bodies are parsed in a thread."""
CLIENT_BODIES = 8
"""Bodies of the largest size that one client may have in progress."""
CLIENT_BYTES = 8 << 20
"""Or this, if it is more."""
LARGE_SECONDS = 30.0
"""How long a large body may wait for those before it."""
SHARES = 8
"""All clients together may have this many times as much in progress as one."""


class Bodies:
    """The bodies that a hub is reading or working on.

    Args:
        max_message: bytes of one body, as sent and inflated.
        seconds: deadline of a small body.
        client_bytes: what one client may have in progress, if `CLIENT_BODIES` are not more.
        large: the large messages of the hub; by default its only ones are these bodies.
    """

    def __init__(
        self,
        max_message: int,
        *,
        seconds: float = SECONDS,
        client_bytes: int = CLIENT_BYTES,
        large: LargeMessages | None = None,
    ) -> None:
        self.large = large or LargeMessages(max_message)
        self.max_message = max_message
        self.seconds = seconds
        self._most_of_client = max(client_bytes, CLIENT_BODIES * max_message)
        self._of_client: Counter[str] = Counter()
        self._all = 0

    def counted(self, client: str) -> "Reading":
        """Return what reads one body; what it reads counts until its block ends.

        Args:
            client: the sender: a user or an address.
        """
        return Reading(self, client)

    def count(self, client: str, size: int) -> None:
        """Add bytes to those in progress; a negative size takes them away.

        Raises:
            Unavailable: `busy`.
        """
        all_bytes, own = self._all + size, self._of_client[client] + size
        if size > 0:
            if own > self._most_of_client:
                raise Unavailable(
                    "too many of your bodies are in progress: wait for their answers", code="busy"
                )
            if all_bytes > SHARES * self._most_of_client:
                raise Unavailable("too many bodies are in progress: try again", code="busy")
        self._all, self._of_client[client] = all_bytes, own
        if own == 0:
            del self._of_client[client]


class Reading:
    """Reads the body of one admitted request."""

    __slots__ = ("_bodies", "_bytes", "_client", "_permit")

    def __init__(self, bodies: Bodies, client: str) -> None:
        self._bodies = bodies
        self._client = client
        self._bytes = 0
        self._permit: Permit | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._permit is not None:
            self._permit.give_back()
        self._bodies.count(self._client, -self._bytes)

    async def messages(self, request: web.Request, columns: Columns) -> Messages:
        """Read the messages of a request.

        Args:
            request: its body has not been read.
            columns: as in `Content.messages`.

        Raises:
            Rejected: as `Content` raises; `too_large`; `bad_request`.
            Unavailable: `too_slow`; `busy`: too much is in progress.
        """
        content, raw = await self._whole(request)
        if len(raw) <= THREAD_BYTES:
            return content.messages(raw, columns)
        if len(raw) >= LARGE_BYTES:
            await self._take_turn(len(raw))
        return await asyncio.to_thread(content.messages, raw, columns)

    async def raw(self, request: web.Request) -> bytes:
        """Read the body of a request, without its coding; as `messages`."""
        _, raw = await self._whole(request)
        return raw

    async def _whole(self, request: web.Request) -> tuple[Content, bytes]:
        content = Content.of(request)
        raw = await self._read(request)
        if content.coding:
            raw = await asyncio.to_thread(content.inflate, raw, self._bodies.max_message)
            self._add(len(raw))
        return content, raw

    async def _take_turn(self, size: int) -> None:
        """Wait until a large body may be worked on; the block's end lets the next ones go on.

        Raises:
            Unavailable: `busy`.
        """
        granted = asyncio.Event()
        self._permit = Permit(self._bodies.large, granted.set, lambda: None)
        if not self._permit.request():
            try:
                async with asyncio.timeout(LARGE_SECONDS):
                    await granted.wait()
            except TimeoutError:
                raise Unavailable(
                    "too many large messages are in progress: try again", code="busy"
                ) from None
        self._permit.note(size)

    def _add(self, size: int) -> None:
        """Count bytes that were received.

        Raises:
            Unavailable: `busy`.
        """
        self._bodies.count(self._client, size)
        self._bytes += size

    async def _read(self, request: web.Request) -> bytes:
        """Return the body as it was sent."""
        if (request.content_length or 0) > self._bodies.max_message:
            raise self._too_large()
        content = request.content
        try:
            if content.is_eof():  # it came with the headers, as most do
                whole = content.read_nowait()
                self._add(len(whole))
            else:
                await _send_continue(request)
                whole = await self._read_slowly(request)
        except (ConnectionError, Rejected, Unavailable):
            raise
        except TimeoutError:
            raise Unavailable("the body came too slowly", code="too_slow") from None
        except Exception:  # noqa: BLE001 - anything raised here is about the client's bytes
            raise Rejected("bad_request", "the body's length or its chunks are malformed") from None
        if len(whole) > self._bodies.max_message:
            raise self._too_large()
        return whole

    async def _read_slowly(self, request: web.Request) -> bytes:
        seconds, began = self._bodies.seconds, asyncio.get_running_loop().time()
        parts = bytearray()
        async with asyncio.timeout(seconds) as deadline:
            while part := await request.content.readany():
                self._add(len(part))
                parts += part
                if len(parts) > self._bodies.max_message:
                    raise self._too_large()
                deadline.reschedule(began + seconds + len(parts) / BYTES_A_SECOND)
        return bytes(parts)

    def _too_large(self) -> Rejected:
        return Rejected("too_large", f"a body has at most {self._bodies.max_message} bytes")


async def expect(request: web.BaseRequest) -> None:
    """Check `Expect`; a client that waits for `100 Continue` gets it once it is admitted."""
    if request.headers.get("Expect", "").lower() not in ("", "100-continue"):
        raise web.HTTPExpectationFailed


async def _send_continue(request: web.Request) -> None:
    """Ask for the body that the client holds back (RFC 9110 section 10.1.1)."""
    if request.headers.get("Expect") and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # no answer has begun
