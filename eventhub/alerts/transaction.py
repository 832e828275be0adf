"""Transaction: one mail in an SMTP dialogue, its envelope byte for byte what was decided before.

The commands are written here, because the library reads every address again, as a header of mail
that may hold names and comments. Each recipient is answered for by itself.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from aiosmtplib import SMTP, SMTPHeloError, SMTPResponseException

from eventhub.alerts.headers import one_line
from eventhub.alerts.mail import Mail
from eventhub.errors import Rejected

PERMANENT = 500
"""Replies from here on are for good, those below for now (RFC 5321 section 4.2.1)."""
_TAKEN = (250, 251)
_NO_UTF8 = "the server does not take addresses outside ASCII (SMTPUTF8)"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the recipients; who is named in neither dictionary has the mail."""

    refused: Mapping[str, str] = field(default_factory=dict)
    """Address to the server's reason: for good, a retry makes no difference."""
    deferred: Mapping[str, str] = field(default_factory=dict)
    """Address to the server's reason: for now, as greylisting does."""


@dataclass(frozen=True, slots=True)
class Content:
    """A mail in its two forms."""

    mail: Mail
    plain: bytes
    """For every server."""
    utf8: bytes | None
    """With addresses outside ASCII; None where there are none."""

    @classmethod
    def of(cls, mail: Mail) -> "Content":
        """Write a mail. Blocking; raises `Rejected` where it cannot be written."""
        listed = (*mail.to.found, *mail.cc.found, *mail.bcc.found, *mail.reply_to.found)
        is_plain = all(each.addr_spec.isascii() for each in (mail.sender, *listed))
        return cls(mail, mail.as_bytes(), None if is_plain else mail.as_bytes(utf8=True))


async def transfer(client: SMTP, content: Content, recipients: Collection[str]) -> Outcome:
    """Hand a mail to a connected server for some recipients.

    Raises:
        Rejected: the server refuses the mail for good.
        SMTPResponseException: it refuses it for now.
        SMTPException, OSError: the dialogue broke off.
    """
    await _greet(client)
    utf8 = content.utf8 is not None and client.supports_extension("smtputf8")
    refused = {} if utf8 else {each: _NO_UTF8 for each in recipients if not each.isascii()}
    sender = content.mail.sender.addr_spec
    if not utf8 and not sender.isascii():
        raise Rejected("refused", f"from: {sender}: {_NO_UTF8}")
    asked = [each for each in recipients if each not in refused]
    if not asked:
        return Outcome(refused)
    message = content.utf8 if utf8 and content.utf8 is not None else content.plain
    options = [b"SMTPUTF8", b"BODY=8BITMIME"] if utf8 else []
    if client.supports_extension("size"):
        options.append(b"SIZE=%d" % len(message))
    try:
        await _command(client, b"MAIL", _path(b"FROM", sender), *options)
        answers = {each: await _asked(client, each) for each in asked}
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
    """Learn what the server can do; one that knows no EHLO can do nothing more."""
    if client.is_ehlo_or_helo_needed:
        try:
            await client.ehlo()
        except SMTPHeloError:
            await client.helo()


async def _asked(client: SMTP, recipient: str) -> tuple[int, str] | None:
    """Name a recipient; return None if it is taken, else the code and text of the reply."""
    answer = await client.execute_command(b"RCPT", _path(b"TO", recipient))
    if answer.code in _TAKEN:
        return None
    return answer.code, reply(answer.code, answer.message)


async def _command(client: SMTP, *words: bytes) -> None:
    answer = await client.execute_command(*words)
    if answer.code not in _TAKEN:
        raise SMTPResponseException(answer.code, answer.message)


def _path(verb: bytes, address: str) -> bytes:
    return verb + b":<" + address.encode() + b">"


def reply(code: int, text: str) -> str:
    """Return a server's reply as one line."""
    return f"{code} {one_line(text)}"
