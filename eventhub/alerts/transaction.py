"""Transaction: one mail in an SMTP dialogue, with an envelope that is byte for byte as decided.

The commands are written here, because the library parses every address again, as if it came from a
header and could hold names and comments. Each recipient has an outcome of its own.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from aiosmtplib import SMTP, SMTPHeloError, SMTPResponseException

from eventhub.alerts.headers import one_line
from eventhub.alerts.mail import Mail
from eventhub.errors import Rejected

PERMANENT = 500
"""Replies from here on are permanent, those below are temporary (RFC 5321 section 4.2.1)."""
_ACCEPTED = (250, 251)
_NO_UTF8 = "the server does not accept addresses outside ASCII (SMTPUTF8)"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The recipients who did not receive the mail; the server has accepted it for all others."""

    refused: Mapping[str, str] = field(default_factory=dict)
    """Address to the server's reason. It is permanent: a retry makes no difference."""
    deferred: Mapping[str, str] = field(default_factory=dict)
    """Address to the server's reason. It is temporary, as with greylisting."""


@dataclass(frozen=True, slots=True)
class Content:
    """A mail as bytes, in its two forms."""

    mail: Mail
    plain: bytes
    """Accepted by every server."""
    utf8: bytes | None
    """With addresses outside ASCII; None if there are none."""

    @classmethod
    def of(cls, mail: Mail) -> "Content":
        """Write a mail. Blocking; raises `Rejected` if it cannot be written."""
        listed = (*mail.to.found, *mail.cc.found, *mail.bcc.found, *mail.reply_to.found)
        is_plain = all(each.addr_spec.isascii() for each in (mail.sender, *listed))
        return cls(mail, mail.as_bytes(), None if is_plain else mail.as_bytes(utf8=True))


async def transfer(client: SMTP, content: Content, recipients: Collection[str]) -> Outcome:
    """Send a mail to some recipients through a connected server.

    Raises:
        Rejected: the server refuses the mail permanently.
        SMTPResponseException: the server refuses it temporarily.
        SMTPException, OSError: the connection failed.
    """
    await _greet(client)
    utf8 = content.utf8 is not None and client.supports_extension("smtputf8")
    refused = {} if utf8 else {each: _NO_UTF8 for each in recipients if not each.isascii()}
    sender = content.mail.sender.addr_spec
    if not utf8 and not sender.isascii():
        raise Rejected("refused", f"from: {sender}: {_NO_UTF8}")
    possible = [each for each in recipients if each not in refused]
    if not possible:
        return Outcome(refused)
    message = content.utf8 if utf8 and content.utf8 is not None else content.plain
    options = [b"SMTPUTF8", b"BODY=8BITMIME"] if utf8 else []
    if client.supports_extension("size"):
        options.append(b"SIZE=%d" % len(message))
    try:
        await _command(client, b"MAIL", _path(b"FROM", sender), *options)
        answers = {each: await _recipient(client, each) for each in possible}
        if any(answer is None for answer in answers.values()):
            await client.data(message)
    except SMTPResponseException as error:
        if error.code >= PERMANENT:
            raise Rejected("refused", reply(error.code, error.message)) from error
        raise
    failed = {each: answer for each, answer in answers.items() if answer is not None}
    refused |= {each: text for each, (code, text) in failed.items() if code >= PERMANENT}
    return Outcome(
        refused, {each: text for each, (code, text) in failed.items() if each not in refused}
    )


async def _greet(client: SMTP) -> None:
    """Ask for the server's extensions; one that does not know EHLO has none."""
    if client.is_ehlo_or_helo_needed:
        try:
            await client.ehlo()
        except SMTPHeloError:
            await client.helo()


async def _recipient(client: SMTP, recipient: str) -> tuple[int, str] | None:
    """Send a RCPT command; return None if it is accepted, else the code and text of the reply."""
    answer = await client.execute_command(b"RCPT", _path(b"TO", recipient))
    if answer.code in _ACCEPTED:
        return None
    return answer.code, reply(answer.code, answer.message)


async def _command(client: SMTP, *words: bytes) -> None:
    answer = await client.execute_command(*words)
    if answer.code not in _ACCEPTED:
        raise SMTPResponseException(answer.code, answer.message)


def _path(verb: bytes, address: str) -> bytes:
    return verb + b":<" + address.encode() + b">"


def reply(code: int, text: str) -> str:
    """Return a server's reply as one line."""
    return f"{code} {one_line(text)}"
