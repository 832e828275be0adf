"""Mailer: hands mails to SMTP servers, each service with its own settings, queue and health.

What a server answers becomes one of three things: an `Outcome`, recipient by recipient;
`Rejected`, where it refuses the mail for good; `Unavailable`, where trying again may help.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from ipaddress import ip_address

import structlog
from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from eventhub.alerts.mail import Mail, one_line
from eventhub.config import EmailService
from eventhub.errors import Misconfigured, Rejected, Unavailable

log = structlog.get_logger()

DIALOGUE_SECONDS = 20.0
"""From the connection to the answer to DATA: what SPEC 7 gives a server."""
QUIT_SECONDS = 1.0
"""The mail is taken by then; a server that does not say goodbye changes nothing."""
MAX_DIALOGUES = 4
"""At once with one service: small providers allow five to ten connections of one account."""
REST_SECONDS = 5.0
"""After a server did not answer in time: what waits for it fails at once, not one by one."""
PERMANENT = 500
"""Replies from here on are for good, those below for now (RFC 5321 section 4.2.1)."""

_GMAIL_HOST = "smtp.gmail.com"
_SMTP_PORT, _SUBMISSION_PORT, _SUBMISSIONS_PORT = 25, 587, 465  # RFC 5321, 6409, 8314


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the recipients; who is named in neither dictionary has the mail."""

    refused: Mapping[str, str] = field(default_factory=dict)
    """Address to the server's reason: for good, a retry makes no difference."""
    deferred: Mapping[str, str] = field(default_factory=dict)
    """Address to the server's reason: for now, as greylisting does."""


@dataclass(frozen=True, slots=True)
class _Account:
    """How a service of the configuration is reached."""

    host: str
    port: int
    implicit_tls: bool
    start_tls: bool
    user: str | None
    password: str | None


class Mailer:
    """All services of a configuration."""

    def __init__(self, services: Mapping[str, EmailService]) -> None:
        """Check the settings.

        Raises:
            Misconfigured: a service cannot work.
        """
        self._services = {name: Service(name, service) for name, service in services.items()}

    @asynccontextmanager
    async def turn(self, service: str) -> AsyncIterator["Service"]:
        """Wait until a service has a dialogue free, and hold it.

        Raises:
            Unavailable: the server has just failed to answer.
        """
        found = self._services[service]
        async with found.dialogues:
            found.check_rest()
            yield found


class Service:
    """One service: its account, how many dialogues it has free, and whether it answers."""

    def __init__(self, name: str, service: EmailService) -> None:
        self.name = name
        self.dialogues = asyncio.Semaphore(MAX_DIALOGUES)
        self._account = None if service.type == "stub" else _account(name, service)
        self._rests_until = 0.0

    def check_rest(self) -> None:
        """Raise `Unavailable` while the server rests."""
        if time.monotonic() < self._rests_until:
            raise Unavailable(f"{self.name} did not answer the mail before this one")

    async def send(self, mail: Mail, recipients: Collection[str]) -> Outcome:
        """Hand over a mail to some of its recipients; return when the server has taken it.

        Raises:
            Rejected: the server refuses the mail for good.
            Unavailable: it cannot be reached, or not in time, or says to try again.
        """
        if not recipients:
            raise Rejected("refused", "no recipient")
        message = await asyncio.to_thread(mail.as_message)
        if self._account is None:
            log.info("stub_mail", to=list(recipients), mail=message.as_string())
            return Outcome()
        client = _client(self._account)
        try:
            outcome = await self._converse(client, mail, message, list(recipients))
            await _quit(client)
            return outcome
        finally:
            client.close()

    async def _converse(
        self, client: SMTP, mail: Mail, message: EmailMessage, recipients: list[str]
    ) -> Outcome:
        try:
            async with asyncio.timeout(DIALOGUE_SECONDS):
                # A failure to connect is the service's, even a wrong password: it can be mended.
                await client.connect()
                return await _transfer(client, mail.sender.addr_spec, message, recipients)
        except TimeoutError as error:
            self._rests_until = time.monotonic() + REST_SECONDS
            reason = f"{self.name} did not answer in {DIALOGUE_SECONDS:g} s"
            raise Unavailable(reason) from error
        except SMTPResponseException as error:
            raise Unavailable(f"{self.name}: {_reply(error.code, error.message)}") from error
        except (SMTPException, OSError) as error:
            raise Unavailable(f"{self.name}: {error}") from error


def _account(name: str, service: EmailService) -> _Account:
    host = service.host or (_GMAIL_HOST if service.type == "gmail" else None)
    if host is None:
        raise Misconfigured(f"email: {name}: host: is missing")
    if service.type == "gmail" and not (service.email and service.password):
        raise Misconfigured(f"email: {name}: gmail needs email: and password:")
    # Ports 25 and 587 never speak TLS first; files written for Gramex name them with `smtps`.
    implicit = service.type == "smtps" and service.port not in (_SMTP_PORT, _SUBMISSION_PORT)
    start_tls = not implicit and (not _is_loopback(host) if service.tls is None else service.tls)
    default = _SUBMISSIONS_PORT if implicit else _SUBMISSION_PORT if start_tls else _SMTP_PORT
    return _Account(
        host, service.port or default, implicit, start_tls, service.email, service.password
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _client(account: _Account) -> SMTP:
    return SMTP(
        hostname=account.host,
        port=account.port,
        use_tls=account.implicit_tls,
        start_tls=account.start_tls,
        username=account.user if account.password is not None else None,
        password=account.password,
        timeout=DIALOGUE_SECONDS,
    )


async def _transfer(
    client: SMTP, sender: str, message: EmailMessage, recipients: list[str]
) -> Outcome:
    try:
        failed, _ = await client.send_message(message, sender=sender, recipients=recipients)
    except SMTPRecipientsRefused as error:
        return _outcome((each.recipient, each.code, each.message) for each in error.recipients)
    except SMTPResponseException as error:
        if error.code >= PERMANENT:
            raise Rejected("refused", _reply(error.code, error.message)) from error
        raise
    except (SMTPNotSupported, ValueError) as error:
        raise Rejected("refused", str(error)) from error
    return _outcome((address, code, text) for address, (code, text) in failed.items())


def _outcome(answers: Iterable[tuple[str, int, str]]) -> Outcome:
    refused: dict[str, str] = {}
    deferred: dict[str, str] = {}
    for address, code, text in answers:
        told = refused if code >= PERMANENT else deferred
        told[address] = _reply(code, text)
    return Outcome(refused, deferred)


def _reply(code: int, text: str) -> str:
    return f"{code} {one_line(text)}"


async def _quit(client: SMTP) -> None:
    with suppress(SMTPException, OSError, TimeoutError):
        async with asyncio.timeout(QUIT_SECONDS):
            await client.quit()
