"""Requests: questions to the servers, and the answers that come to one inbox.

nats-py's own `request` is not used, because its `wait_for` can swallow a cancellation.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from itertools import count

from eventhub.errors import Unavailable
from eventhub.jetstream.parser import Message
from eventhub.jetstream.subscription import LOST
from eventhub.logs import limited

REQUEST_SECONDS = 2.0
"""How long one attempt waits for its answer, which usually takes 0.2 ms."""
PATIENCE_SECONDS = 5.0
"""How long a request is repeated: over a restart of the broker."""
PAUSE_SECONDS = 0.05
"""Between two attempts."""
_NO_RESPONDERS = "503"
_DENIED = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')
"""What nats-py makes of the server's error, in lower case."""
_VERBS = {"publish": "publish to", "subscription": "subscribe to"}
_HINT = ": `eventhub nats-permissions FILE` prints what each role of a hub needs"

Headers = Mapping[str, str]
Publish = Callable[[str, bytes, str, Headers | None], Awaitable[None]]
"""Sends a payload to a subject, with a reply subject and headers."""


def api_of(domain: str | None) -> str:
    """Return what the subjects of the JetStream API begin with, in a domain."""
    return "$JS.API" if domain is None else f"$JS.{domain}.API"


class NotPermitted(Unavailable):
    """The server does not allow this user to do that, for now."""


class Requests:
    """Asks over one connection.

    Args:
        publish: sends a question; raises one of `LOST` without a connection.
        inbox: the subject that answers come below; `on_messages` gets them.
    """

    def __init__(self, publish: Publish, inbox: str) -> None:
        self.inbox = inbox
        self._publish = publish
        self._numbers = count()
        self._waiting: dict[int, _Answer] = {}
        self._denied = ""
        """Why no answer can ever come; empty if they can."""
        self._allowed: set[str] = set()
        """Subjects, in lower case, to which this user may publish on this connection."""

    async def ask(
        self,
        subject: str,
        payload: bytes,
        *,
        parts: bool = False,
        headers: Headers | None = None,
        within: float | None = None,
    ) -> list[Message]:
        """Return the messages of the answer; ask again as long as the broker is away.

        Args:
            subject: whom to ask.
            payload: the question; it may be answered twice.
            parts: the answer has several messages, of which the last has no payload.
            headers: of the question.
            within: seconds after which a question without an answer is given up, not repeated.

        Raises:
            Unavailable: no answer in `PATIENCE_SECONDS`, or within those.
            NotPermitted: the server does not allow this user to ask.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + PATIENCE_SECONDS
        while True:
            try:
                seconds = within or REQUEST_SECONDS
                return await self._ask_once(subject, payload, headers, seconds, parts=parts)
            except LOST as error:
                is_late = within is not None and isinstance(error, TimeoutError)
                if is_late or loop.time() >= give_up:
                    raise Unavailable("the event log does not answer") from error
            await asyncio.sleep(PAUSE_SECONDS)

    async def tell(self, subject: str, payload: bytes) -> None:
        """Send what nobody answers; raises `NotPermitted`, or one of `LOST`.

        The first message to a subject is followed by one to ourselves: it comes back behind the
        server's refusal, if there is one. Later messages are not waited for.
        """
        if subject.lower() in self._allowed:
            await self._publish(subject, payload, "", None)
            return
        await self._ask_once(subject, payload, None, REQUEST_SECONDS, parts=False, echo=True)
        self._allowed.add(subject.lower())

    def on_error(self, text: str) -> None:
        """Give up what the server does not allow: it answers that with an error, not a reply."""
        found = _DENIED.search(text)
        if found is None:
            return
        verb, subject = found.groups()
        reason = f"the NATS server does not allow this user to {_VERBS[verb]} {subject}{_HINT}"
        limited.warning("broker_permission", by="broker", reason=subject, detail=reason)
        if verb == "subscription" and f"{self.inbox}.*".lower() == subject:
            self._denied = reason
        self._allowed.discard(subject)
        for answer in self._waiting.values():
            if self._denied or answer.subject.lower() == subject:
                answer.deny(reason)

    async def round_trip(self) -> None:
        """Send ourselves a message through the server; raises one of `LOST` if it does not come."""
        await self._ask_once("", b"", None, REQUEST_SECONDS, parts=False)

    def on_messages(self, messages: list[Message]) -> None:
        """Take messages of the inbox."""
        for message in messages:
            answer = self._waiting.get(int(message.subject.rpartition(".")[2]))
            if answer is not None:
                answer.receive(message)

    def on_reconnect(self) -> None:
        """Give up the questions under way: the old connection will not answer them any more."""
        self._denied = ""
        self._allowed.clear()
        for answer in self._waiting.values():
            answer.give_up()

    async def _ask_once(
        self,
        subject: str,
        payload: bytes,
        headers: Headers | None,
        seconds: float,
        *,
        parts: bool,
        echo: bool = False,
    ) -> list[Message]:
        if self._denied:
            raise NotPermitted(self._denied)
        number = next(self._numbers)
        reply = f"{self.inbox}.{number}"
        answer = self._waiting[number] = _Answer(subject or reply, parts=parts)
        try:
            await self._publish(subject or reply, payload, "" if echo else reply, headers)
            if echo:
                await self._publish(reply, b"", "", None)
            async with asyncio.timeout(seconds):
                is_whole = await answer.is_whole
        finally:
            del self._waiting[number]
        if not is_whole:
            raise ConnectionResetError("reconnected")
        if answer.messages[-1].status == _NO_RESPONDERS:
            raise ConnectionRefusedError("no server serves this subject")
        return answer.messages


class _Answer:
    """The messages of an answer so far."""

    def __init__(self, subject: str, *, parts: bool) -> None:
        self.subject = subject
        self.messages: list[Message] = []
        self.is_whole: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """False if the rest will not come."""
        self._has_parts = parts

    def receive(self, message: Message) -> None:
        if self.is_whole.done():
            return
        self.messages.append(message)
        if not (self._has_parts and message.data):
            self.is_whole.set_result(True)

    def deny(self, reason: str) -> None:
        if not self.is_whole.done():
            self.is_whole.set_exception(NotPermitted(reason))

    def give_up(self) -> None:
        if not self.is_whole.done():
            self.is_whole.set_result(False)
