"""Counting: a proxy before a hub that notes what tools ask for, and counts what they get."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_ASKED = re.compile(rb"^(GET|HEAD) \S+ HTTP/1\.1\r\n(.*?)\r\n\r\n", re.MULTILINE | re.DOTALL)
_RANGE = re.compile(rb"^range: *(\S+)", re.MULTILINE | re.IGNORECASE)


class Counting:
    """What went through the proxy."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._hub = (host, int(port))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.asked: list[tuple[str, str]] = []
        """Method and range of each request."""
        self.received = 0
        """Bytes that the hub sent, headers included."""

    def close(self) -> None:
        """Close every connection, and accept no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for end in self._ends:
            with suppress(OSError):  # the other side has closed it
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in (self._listening, *self._ends):
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):  # `close` ends it
            while True:
                client, _ = self._listening.accept()
                hub = socket.create_connection(self._hub)
                self._ends += [client, hub]
                for pump in (self._up, self._down):
                    thread = threading.Thread(target=pump, args=(client, hub))
                    self._threads.append(thread)
                    thread.start()

    def _up(self, client: socket.socket, hub: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                for method, head in _ASKED.findall(data):
                    wanted = _RANGE.search(head)
                    self.asked.append((method.decode(), wanted[1].decode() if wanted else ""))
                hub.sendall(data)
            hub.shutdown(socket.SHUT_WR)

    def _down(self, client: socket.socket, hub: socket.socket) -> None:
        with suppress(OSError):
            while data := hub.recv(65536):
                self.received += len(data)
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)


@contextmanager
def counting(url: str) -> Iterator[Counting]:
    """Run a proxy in front of the hub at a URL; it can be asked in place of the hub."""
    proxy = Counting(url)
    try:
        yield proxy
    finally:
        proxy.close()
