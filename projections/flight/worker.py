"""Worker: the process that serves Arrow Flight SQL. All that it can reach is what its clients can.

It holds no tables and no secrets, gives way to the hub on a busy machine, and ends with it. The hub
starts it with a `Setup` on standard input, and reads `ready` and the port on standard output.
"""

import os
import signal
import socket
import threading
import traceback
from pathlib import Path
from typing import Final

import pyarrow as pa

from eventhub import logs
from projections.child import begin, limit_address_space, say
from projections.flight.hub import Hub, Setup
from projections.flight.server import FlightSql

MEMORY_BYTES: Final = 3 << 30
"""Of address space above what is mapped at the start, half of it stacks that are reserved."""
DRAIN_SECONDS: Final = 2.0
"""For calls to end after a stop."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Serve until the hub ends this process, or itself."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # before there are other threads
    setup = begin(Setup)
    logs.configure(setup.log_level, setup.log_format)
    os.putenv("GRPC_VERBOSITY", "NONE")  # its log lines have another format; errors are raised too
    traceback.format_exception = _only_kind  # type: ignore[assignment]
    try:
        server = _listening(setup)
    except OSError as error:
        say(f"failed {error.strerror}")
        raise SystemExit(1) from None
    limit_address_space(MEMORY_BYTES)
    say(f"ready {server.port}")
    signal.sigwait(_SIGNALS)
    ending = threading.Thread(target=server.shutdown, daemon=True)
    ending.start()
    ending.join(DRAIN_SECONDS)
    if ending.is_alive():
        os._exit(0)  # a call whose client does not read would wait forever


def _only_kind(kind: type[BaseException], *_: object) -> list[str]:
    """Say nothing of the code: pyarrow sends the traceback of a refusal to the client."""
    return [kind.__name__]


def _listening(setup: Setup) -> FlightSql:
    """Return the server.

    Raises:
        OSError: the address cannot be used.
    """
    hub = Hub(Path(setup.folder))
    scheme, certificates = "grpc", None
    if setup.certificate is not None:
        scheme = "grpc+tls"
        certificates = [tuple(Path(name).read_bytes() for name in setup.certificate)]
    host = f"[{setup.host}]" if ":" in setup.host else setup.host or "0.0.0.0"  # noqa: S104 - all
    location = f"{scheme}://{host}:{setup.port}"
    try:
        return FlightSql(location, certificates, setup.handlers, hub, setup.stalled_after)
    except pa.ArrowException as error:  # which does not say why
        for family, kind, _, _, address in socket.getaddrinfo(setup.host or None, setup.port):
            if kind == socket.SOCK_STREAM:
                with socket.socket(family) as probe:
                    probe.bind(address)
        raise OSError(0, str(error)) from error


if __name__ == "__main__":
    main()
