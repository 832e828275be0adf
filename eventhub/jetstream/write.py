"""Write: one append that waits for its outcome, as a message of its own or as part of a batch."""

from collections.abc import Hashable

import structlog

from eventhub.errors import EventHubError, Unavailable
from eventhub.stream import Appended, OnAppended

UNKNOWN_SECONDS = 15.0
"""How long a write is sent again; the server remembers its id for 10 minutes."""

logger = structlog.get_logger(__name__)


class Write:
    """One append that waits for its outcome.

    Args:
        subject: of the row, as `Channel.subject` makes it: one line without spaces.
        payload: of the event.
        expect: sequence of the row's last event; 0 for a new row.
        write_id: the `Nats-Msg-Id`.
        on_appended: called with the outcome.
        sender: its writes are stored in the order in which they were put; None if each is waited
            for.
    """

    __slots__ = (
        "_on_appended",
        "_refusal",
        "_was_sent_once",
        "expect",
        "give_up",
        "id_header",
        "payload",
        "sender",
        "sent",
        "subject",
    )

    def __init__(
        self,
        subject: str,
        payload: bytes,
        expect: int,
        write_id: str,
        on_appended: OnAppended,
        sender: Hashable = None,
    ) -> None:
        self.subject = subject
        self.payload = payload
        self.expect = expect
        self.id_header = b"Nats-Msg-Id: %b\r\n" % write_id.encode()
        """The line of the headers that names the write."""
        self.sender = sender
        self.sent = False
        """The broker may have stored it."""
        self.give_up = 0.0
        """When it is abandoned, on the loop's clock."""
        self._on_appended: OnAppended | None = on_appended
        self._was_sent_once = False
        self._refusal = ""

    def command(self, reply: bytes, headers: bytes = b"") -> bytes:
        """Return the write as an HPUB of the client protocol.

        It has few headers, because each is stored, and sent to every reader.

        Args:
            reply: the subject of the acknowledgement; empty for none.
            headers: further lines, each with its line end.
        """
        head = b"NATS/1.0\r\n%bNats-Expected-Last-Subject-Sequence: %d\r\n%b\r\n" % (
            self.id_header,
            self.expect,
            headers,
        )
        to = self.subject.encode()
        if reply:
            to = b"%b %b" % (to, reply)
        size = len(head)
        line = b"HPUB %b %d %d\r\n" % (to, size, size + len(self.payload))
        return b"".join((line, head, self.payload, b"\r\n"))

    def note_sent(self, now: float) -> None:
        """Note that the write is sent: it may be stored from now on.

        Only the first time postpones when it is abandoned: a write may be refused over and over.
        """
        self.sent = True
        if not self._was_sent_once:
            self._was_sent_once = True
            self.give_up = now + UNKNOWN_SECONDS

    def note_refused(self, reason: str, *, was_sent: bool) -> None:
        """Note that the broker refused the write for now, and did not store this attempt.

        Args:
            reason: in the words of the broker.
            was_sent: an earlier attempt may have stored it.
        """
        self.sent = was_sent
        self._refusal = reason

    @property
    def is_settled(self) -> bool:
        """Tell whether the outcome was reported, or no caller waits for it any more."""
        return self._on_appended is None

    def forget(self) -> None:
        """Report no outcome; a write that was not sent yet is not sent."""
        self._on_appended = None

    def settle(self, outcome: Appended | EventHubError) -> None:
        """Report the outcome, if the caller still waits."""
        on_appended, self._on_appended = self._on_appended, None
        if on_appended is None:
            return
        try:
            on_appended(outcome)
        except Exception:  # a bug of one caller must not end all writing
            logger.exception("outcome_callback_failed", subject=self.subject)

    def abandon(self) -> None:
        """Settle the write as unavailable, because its time is over."""
        if self.sent:
            text = "the event log did not answer in time: the event may or may not be stored"
            self.settle(Unavailable(text, code="unknown_outcome"))
        else:
            reason = f"refuses it: {self._refusal}" if self._refusal else "cannot be reached"
            self.settle(Unavailable(f"the event log {reason}; nothing was stored"))
