"""TLS: the certificate with which the hub speaks HTTPS, read again when its files change.

TLS 1.2 and 1.3 only, with the ciphers that Python chooses (RFC 9325 section 4).
"""

import asyncio
import os
import ssl
import time
from typing import Final

import structlog

from eventhub.config import Tls
from eventhub.errors import Misconfigured

logger = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 5.0
"""Between two looks at the files, if connections come."""
HANDSHAKE_SECONDS: Final = 10.0
_State = tuple[tuple[int, int, int], ...]
"""Device, inode and time of each file."""


class Certificate:
    """The certificate of a hub.

    Args:
        tls: its files, by absolute paths.

    Raises:
        Misconfigured: a file cannot be read, or they do not belong together.
    """

    def __init__(self, tls: Tls) -> None:
        self._files = (tls.cert_file, tls.key_file)
        self._state = self._now()
        self._context = _context(*self._files)
        self._looked_at = time.monotonic()

    async def context(self) -> ssl.SSLContext:
        """Return the context of a new connection; one that was accepted earlier keeps its own."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            await asyncio.to_thread(self._look)
        return self._context

    def _look(self) -> None:
        """Read the files again if they have changed; wrong ones change nothing."""
        state = self._now()
        if state == self._state:
            return
        try:
            self._context = _context(*self._files)
        except Misconfigured as error:  # the other file of the two may follow in a moment
            logger.warning("certificate_not_reloaded", error=error.message)
        else:
            self._state = state
            logger.info("certificate_reloaded", certificate=self._files[0])

    def _now(self) -> _State:
        found = []
        for path in self._files:
            try:
                stat = os.stat(path)
            except OSError:  # said when it is read
                continue
            found.append((stat.st_dev, stat.st_ino, stat.st_mtime_ns))
        return tuple(found)


def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    for path in (certificate, key):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise Misconfigured(f"server: tls: {path}: {error.strerror or error}") from None
    try:
        # Without the call-back, OpenSSL would ask the terminal for the password of a key.
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        text = "is not a certificate in PEM, or the key is encrypted or of another certificate"
        raise Misconfigured(f"server: tls: {certificate} {text}: {error}") from None
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")
