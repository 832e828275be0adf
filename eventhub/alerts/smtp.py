"""SMTP services: hand mails to mail servers, each with its own settings, queue and health.

The answer of a server becomes one of three things: an `Outcome` for each recipient, `Rejected` if
it refuses the mail permanently, or `Unavailable` if a retry may help.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address

import structlog
from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from eventhub.alerts.addresses import why_malformed
from eventhub.alerts.mail import Mail
from eventhub.alerts.transaction import Content, Outcome, reply, transfer
from eventhub.config import EmailService
from eventhub.errors import Misconfigured, Rejected, Unavailable

logger = structlog.get_logger(__name__)

DIALOGUE_SECONDS = 20.0
"""From the connection to the answer to DATA, as docs/alerts.md promises."""
QUIT_SECONDS = 1.0
"""The server has accepted the mail by then, so its answer to QUIT changes nothing."""
MAX_DIALOGUES = 4
"""With one service at a time: small providers allow an account five to ten connections."""
REST_SECONDS = 5.0
"""After a server has not answered in time, mails for it fail at once for this long. Otherwise each
of those that wait would take all of `DIALOGUE_SECONDS`."""

_GMAIL_HOST = "smtp.gmail.com"
_SMTP_PORT, _SUBMISSION_PORT, _SUBMISSIONS_PORT = 25, 587, 465  # RFC 5321, 6409, 8314


@dataclass(frozen=True, slots=True)
class _Account:
    """How to reach and log in to a server."""

    host: str
    port: int
    implicit_tls: bool
    start_tls: bool
    user: str | None
    password: str | None


class SmtpServices:
    """All services of a configuration, by name."""

    def __init__(self, services: Mapping[str, EmailService]) -> None:
        """Check the settings.

        Raises:
            Misconfigured: names a service that cannot work, and its key.
        """
        self._services = {name: SmtpService(name, service) for name, service in services.items()}

    @asynccontextmanager
    async def turn(self, service: str) -> AsyncIterator["SmtpService"]:
        """Wait for a free dialogue of a service, and hold it for the length of the block.

        Raises:
            Unavailable: the server did not answer in time, less than `REST_SECONDS` ago.
        """
        found = self._services[service]
        async with found.dialogues:
            found.check_rest()
            yield found


class SmtpService:
    """One service: its account, its free dialogues, and whether its server answers."""

    def __init__(self, name: str, service: EmailService) -> None:
        self.name = name
        self.dialogues = asyncio.Semaphore(MAX_DIALOGUES)
        self._account = None if service.type == "stub" else _account(name, service)
        self._rests_until = 0.0

    def check_rest(self) -> None:
        """Raise `Unavailable` if the server has not answered in time just before."""
        if time.monotonic() < self._rests_until:
            raise Unavailable(f"{self.name} did not answer the mail before this one")

    async def send(self, mail: Mail, recipients: Collection[str]) -> Outcome:
        """Send a mail to some of its recipients; return when the server has accepted it.

        Raises:
            Rejected: there is no recipient, or the server refuses the mail permanently.
            Unavailable: the server cannot be reached, does not answer in time, or asks to try
                again later.
        """
        if not recipients:
            named = ", ".join(f"{text!r}: {why_malformed(text)}" for text in mail.malformed)
            raise Rejected("refused", f"no recipient: {named}" if named else "no recipient")
        content = await asyncio.to_thread(Content.of, mail)
        if self._account is None:
            shown = (content.utf8 or content.plain).decode()
            logger.info("stub_mail", to=list(recipients), mail=shown)
            return Outcome()
        client = _client(self._account)
        try:
            outcome = await self._converse(client, content, recipients)
            await _quit(client)
            return outcome
        finally:
            client.close()

    async def _converse(
        self, client: SMTP, content: Content, recipients: Collection[str]
    ) -> Outcome:
        try:
            async with asyncio.timeout(DIALOGUE_SECONDS):
                # A failure to connect, even a wrong password, is not the mail's: it can be fixed.
                await client.connect()
                return await transfer(client, content, recipients)
        except TimeoutError as error:
            self._rests_until = time.monotonic() + REST_SECONDS
            reason = f"{self.name} did not answer in {DIALOGUE_SECONDS:g} s"
            raise Unavailable(reason) from error
        except SMTPResponseException as error:
            raise Unavailable(f"{self.name}: {reply(error.code, error.message)}") from error
        except (SMTPException, OSError) as error:
            raise Unavailable(f"{self.name}: {error}") from error


def _account(name: str, service: EmailService) -> _Account:
    host = service.host or (_GMAIL_HOST if service.type == "gmail" else None)
    if host is None:
        raise Misconfigured(f"email: {name}: host: is missing")
    if service.type == "gmail" and not (service.email and service.password):
        raise Misconfigured(f"email: {name}: gmail needs email: and password:")
    # Ports 25 and 587 never start with TLS; files written for Gramex combine them with `smtps`.
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


async def _quit(client: SMTP) -> None:
    with suppress(SMTPException, OSError, TimeoutError):
        async with asyncio.timeout(QUIT_SECONDS):
            await client.quit()
