"""Sink: an SMTP server that keeps accepted mails, and answers as a test asks."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from time import monotonic
from typing import Self

from aiosmtpd.smtp import SMTP, Envelope, Session

DEADLINE_SECONDS = 40.0


@dataclass(frozen=True)
class Taken:
    """One mail that the sink has accepted."""

    sender: str
    recipients: list[str]
    mail: EmailMessage
    raw: bytes
    at: float
    """By the monotonic clock."""


class Sink:
    """An SMTP server on a free port of loopback."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.answers: list[str] = []
        """Answers to the next DATA commands, in order; after these it is 250."""
        self.refusals: dict[str, str] = {}
        """By recipient, the answer to its RCPT."""
        self.attempts: list[float] = []
        """The times of all DATA commands, by the monotonic clock."""
        self.waiting = 0
        """DATA commands that wait for their answer now."""
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._changed = asyncio.Condition()

    def hang(self) -> None:
        """Answer no DATA until `resume`."""
        self._open.clear()

    def resume(self) -> None:
        """Answer again."""
        self._open.set()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer one RCPT."""
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Answer one DATA, and keep the mail if the answer is 250."""
        self.attempts.append(monotonic())
        self.waiting += 1
        await self._notify()
        await self._open.wait()
        self.waiting -= 1
        answer = self.answers.pop(0) if self.answers else "250 taken"
        if answer.startswith("250"):
            raw = envelope.content
            assert isinstance(raw, bytes)
            mail = message_from_bytes(raw, policy=default)
            assert isinstance(mail, EmailMessage)
            recipients = [str(address) for address in envelope.rcpt_tos]
            self.taken.append(Taken(str(envelope.mail_from), recipients, mail, raw, monotonic()))
        await self._notify()
        return answer

    async def has(self, count: int) -> list[Taken]:
        """Wait until `count` mails are accepted, and return all."""
        await self._until(lambda: len(self.taken) >= count)
        return self.taken

    async def has_waiting(self, count: int) -> None:
        """Wait until `count` dialogues hang."""
        await self._until(lambda: self.waiting >= count)

    async def has_attempts(self, count: int) -> None:
        """Wait for `count` DATA commands."""
        await self._until(lambda: len(self.attempts) >= count)

    async def _until(self, claim: object) -> None:
        assert callable(claim)
        async with asyncio.timeout(DEADLINE_SECONDS), self._changed:
            await self._changed.wait_for(claim)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    @classmethod
    @asynccontextmanager
    async def running(cls, *, utf8: bool = True, host: str = "127.0.0.1") -> AsyncIterator[Self]:
        """Listen for the length of the block, with SMTPUTF8 or without."""
        sink = cls()
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(sink, enable_SMTPUTF8=utf8, hostname="sink.test"), host, 0
        )
        sink.port = server.sockets[0].getsockname()[1]
        try:
            yield sink
        finally:
            sink.resume()
            server.close()


@contextmanager
def served_sink() -> Iterator[Sink]:
    """An SMTP server in its own thread, for tests that block."""
    loop, started, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    sinks: list[Sink] = []

    async def serve() -> None:
        async with Sink.running() as sink:
            sinks.append(sink)
            started.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(DEADLINE_SECONDS)
    try:
        yield sinks[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(DEADLINE_SECONDS)
        loop.close()
