"""Process: the Flight process as the hub sees it."""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import structlog

from eventhub.background import background
from eventhub.config import Config, SqlEndpoint, Tls
from eventhub.errors import Misconfigured
from eventhub.service import Service
from projections.child import Child
from projections.flight.hub import Handler, Setup

START_SECONDS: Final = 60.0
"""For the process to listen; then the start of the hub fails."""

LOOK_SECONDS: Final = 5.0
"""Between two looks at the files of the certificate."""

logger = structlog.get_logger(__name__)


class FlightProcess:
    """The process that serves Flight SQL, if the configuration wants it."""

    def __init__(self, config: Config) -> None:
        """Prepare; `services` start it.

        Args:
            config: the configuration; without a `server.flight_port` there is no process.
        """
        self._config = config
        self._port = config.server.flight_port
        self._line: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._child = Child(
            "projections.flight.worker",
            self._setup,
            kind="flight",
            facts={},
            on_line=self._on_line,
        )

    def services(self) -> dict[str, Service]:
        """Return what keeps the process running."""
        return {} if self._port is None else {"flight": self._run}

    async def _run(self, stop: asyncio.Event) -> None:
        """Keep the process running until `stop` is set."""
        async with background() as tasks:
            if (tls := self._config.server.tls) is not None:
                tasks.start(self._renew(tls), name="flight certificate")
            await self._child.run(stop)

    async def _renew(self, tls: Tls) -> None:
        """Start the process again when the certificate is renewed: gRPC does not look for that."""
        held = await asyncio.to_thread(_pair, tls)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            found = await asyncio.to_thread(_pair, tls)
            if found is not None and found != held:
                held = found
                logger.info("flight_certificate_renewed", certificate=tls.cert_file)
                self._start_again()

    def adopt(self, config: Config) -> None:
        """Serve the SQLHandlers of another configuration, on the same port."""
        before = self._setup()
        self._config = config
        if self._port is not None and self._setup() != before:
            self._start_again()

    def _start_again(self) -> None:
        if (process := self._child.process) is not None:
            with suppress(ProcessLookupError):
                process.terminate()

    async def listening(self) -> None:
        """Wait until it listens.

        Raises:
            Misconfigured: it cannot.
        """
        if self._port is None:
            return
        where = f"{self._config.server.host}:{self._port} (server.flight_port)"
        try:
            async with asyncio.timeout(START_SECONDS):
                word, _, rest = (await self._line).partition(" ")
        except TimeoutError:
            raise Misconfigured(f"{where}: the Flight process does not start") from None
        if word != "ready":
            raise Misconfigured(f"cannot listen on {where}: {rest or 'its process has ended'}")
        self._port = int(rest)  # also after a restart
        logger.info("flight_listening", host=self._config.server.host, port=self._port)

    def _on_line(self, line: str) -> None:
        if not self._line.done():
            self._line.set_result(line)

    def _setup(self) -> Setup:
        config, tls = self._config, self._config.server.tls
        return Setup(
            folder=str(config.data),
            host=config.server.host,
            port=self._port or 0,
            handlers=[
                Handler(entry.name, quote(entry.pattern), entry.limits.seconds)
                for entry in config.of_kind(SqlEndpoint)
            ],
            stalled_after=config.server.stalled_after,
            certificate=None if tls is None else (tls.cert_file, tls.key_file),
            log_level=config.log.level,
            log_format=config.log.format,
        )


def _pair(tls: Tls) -> tuple[bytes, bytes] | None:
    """Return a certificate and its key; None while they cannot be read or do not fit."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert_file, tls.key_file, "")
        return Path(tls.cert_file).read_bytes(), Path(tls.key_file).read_bytes()
    except (OSError, ValueError):
        return None
