"""Sockets: the addresses that a hub listens on, TCP ports or a Unix socket.

They are bound before anything else starts: an address in use is an error at once, and clients that
come while the hub starts wait instead of being refused.
"""

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path
from stat import S_ISSOCK
from typing import Any, Final, Self

from eventhub.config import UNIX_PREFIX, Server
from eventhub.errors import Misconfigured

BACKLOG: Final = 1024
"""Connections that wait in the kernel's queue."""
MODES: Final = {"owner": 0o600, "group": 0o660, "everyone": 0o666}
"""Of a Unix socket, by `server.socket_access`."""
PORT_ATTEMPTS: Final = 20
"""A port that the system picks for one address may be taken on the other."""
_BOTH: Final = {"::": ("::", "0.0.0.0"), "localhost": ("127.0.0.1", "::1")}  # noqa: S104
"""Hosts that stand for an address of each family, which has a socket of its own: so an IPv4 client
is known by its IPv4 address."""
_NO_SUCH_FAMILY: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class Sockets:
    """Bound and listening sockets, which nothing is accepted from yet."""

    def __init__(self, all_of_them: list[socket.socket], url: str) -> None:
        self.all = all_of_them
        self.url = url
        """`http://HOST:PORT`, or `https:` with TLS, or `unix:PATH`."""
        self._own: tuple[Path, os.stat_result] | None = None
        """The file of a Unix socket, as it was made."""

    @classmethod
    def bound(cls, server: Server) -> Self:
        """Listen as a configuration says.

        Raises:
            Misconfigured: the address is in use or cannot be used.
        """
        if server.host.startswith(UNIX_PREFIX):
            return cls._unix(Path(server.host.removeprefix(UNIX_PREFIX)), server)
        try:
            found = _tcp(server.host, server.port)
        except OSError as error:
            raise _unusable(f"{server.host}:{server.port}", error) from error
        host = f"[{server.host}]" if ":" in server.host else server.host
        scheme = "http" if server.tls is None else "https"
        return cls(found, f"{scheme}://{host}:{found[0].getsockname()[1]}")

    @classmethod
    def _unix(cls, path: Path, server: Server) -> Self:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _remove_stale(path)
            listening.setblocking(False)
            umask = os.umask(0o077)  # no other user may connect before the mode is set
            try:
                listening.bind(str(path))
            finally:
                os.umask(umask)
            path.chmod(MODES[server.socket_access])
            listening.listen(BACKLOG)
            made = cls([listening], f"{UNIX_PREFIX}{path}")
            made._own = path, path.stat()
        except OSError as error:
            listening.close()
            raise _unusable(f"{UNIX_PREFIX}{path}", error) from error
        except Misconfigured:
            listening.close()
            raise
        return made

    def close(self) -> None:
        """Close the sockets, and remove the file of a Unix socket; idempotent."""
        if self._own is not None:
            (path, made), self._own = self._own, None
            with suppress(OSError):
                if os.path.samestat(path.stat(), made):  # not that of a hub that came later
                    path.unlink()
        for each in self.all:
            each.close()
        self.all.clear()


def _tcp(host: str, port: int) -> list[socket.socket]:
    for attempt in range(PORT_ATTEMPTS):
        try:
            return _bound_together(host, port)
        except OSError as error:
            is_last = attempt == PORT_ATTEMPTS - 1
            if port != 0 or error.errno != errno.EADDRINUSE or is_last:
                raise
    raise AssertionError


def _bound_together(host: str, port: int) -> list[socket.socket]:
    """Bind one port on each address of a host, without those that this machine does not have."""
    known = [
        found
        for name in _BOTH.get(host, (host or None,))
        for found in socket.getaddrinfo(
            name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    ]
    made: list[socket.socket] = []
    missing: OSError | None = None
    for family, *_, address in dict.fromkeys(known):
        try:
            made.append(_bound(family, (address[0], port, *address[2:])))
            port = made[0].getsockname()[1]
        except OSError as error:
            if error.errno not in _NO_SUCH_FAMILY:
                _close(made)
                raise
            missing = error
    if not made and missing is not None:
        raise missing
    return made


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _close(made: list[socket.socket]) -> None:
    for each in made:
        each.close()


def _remove_stale(path: Path) -> None:
    """Remove a socket that a killed process left.

    Raises:
        Misconfigured: another process listens on it, or it is another kind of file.
        OSError: it cannot be looked at or removed.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not S_ISSOCK(mode):
        raise Misconfigured(f"cannot listen on {UNIX_PREFIX}{path}: the path is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # its queue is full: a process listens
    raise _unusable(f"{UNIX_PREFIX}{path}", OSError(errno.EADDRINUSE, ""))


def _unusable(where: str, error: OSError) -> Misconfigured:
    is_of_system = error.errno and error.errno > 0  # a name that is not found has a number below 0
    reason = os.strerror(error.errno or 0) if is_of_system else error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        reason += ": stop the program that uses it, or name another port or path (--port, --host)"
    return Misconfigured(f"cannot listen on {where}: {reason}")
