"""S3 server: rclone, which serves a folder by the protocol of S3, and checks signatures."""

import os
import socket
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from projections.stored.s3 import S3Objects
from tests.ports import free_port
from tests.waiting import until

KEYS = ("eventhub-tests", "wJalrXUtnFEMI/K7MDENG+bPxRfiCY")
BUCKET = "bucket"
URL = f"s3://{BUCKET}/hub/tables"
_BINARY = Path(sysconfig.get_path("scripts")) / "rclone"


class S3Server:
    """A server with one bucket, whose objects are files.

    Args:
        folder: for the files; it is made if it is not there.
        tls: files of a certificate and of its key.
    """

    def __init__(self, folder: Path, tls: tuple[Path, Path] | None = None) -> None:
        self.objects = folder / URL.removeprefix("s3://")
        """The folder of the objects below `URL`."""
        self._folder = folder
        self._port = free_port()
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, on the port that it had before; return once it answers."""
        (self._folder / BUCKET).mkdir(parents=True, exist_ok=True)
        log = self._folder.with_name(f"{self._folder.name}.log")
        arguments = ["--addr", f"127.0.0.1:{self._port}", "--auth-key", ",".join(KEYS)]
        if self._tls is not None:
            arguments += ["--cert", str(self._tls[0]), "--key", str(self._tls[1])]
        with log.open("ab") as output:
            self._process = process = subprocess.Popen(
                [_BINARY, "serve", "s3", *arguments, self._folder, "--config", os.devnull],
                stderr=output,
            )

        def listens() -> bool:
            assert process.poll() is None, log.read_text()
            return b"Starting s3 server" in log.read_bytes() and _is_open(self._port)

        until(listens)

    def kill(self) -> None:
        """End it without a warning, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self, url: str = URL, keys: tuple[str, str] = KEYS) -> S3Objects:
        """Return the objects below a URL, as a hub sees them."""
        ca_file = None if self._tls is None else str(self._tls[0])
        return S3Objects(url, endpoint=self.endpoint, keys=keys, ca_file=ca_file)


@contextmanager
def s3_server(folder: Path, tls: tuple[Path, Path] | None = None) -> Iterator[S3Server]:
    """Run a server for the length of a block."""
    server = S3Server(folder, tls)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _is_open(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
