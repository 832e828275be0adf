"""Database server: a server of the tests' own, on a private folder and a free port."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Self

import psutil
import pytest

from tests.ports import free_port

DEADLINE_SECONDS = 30.0


class DatabaseServer(ABC):
    """A server with one empty database, `hub`."""

    name: ClassVar[str]
    account: ClassVar[str]
    """Whom the server runs as if the tests are root's."""
    stop_signal: ClassVar[signal.Signals]
    """Stops it soon, whoever is connected."""
    not_ready: ClassVar[type[Exception]]
    """What `connect` raises while the server does not answer."""

    url: str

    def __init__(self, folder: Path, programs: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.programs = programs
        self.run_as = None if os.getuid() else self.account
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @abstractmethod
    def binaries(cls) -> Path | None:
        """Return the folder of the installed server's programs, or None."""

    @abstractmethod
    def make(self) -> None:
        """Make the files of an empty server, start it, and make the database."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line of the server."""

    @abstractmethod
    def connect(self, database: str = "hub") -> Any:
        """Connect as any other program does; statements commit by themselves."""

    @abstractmethod
    def empty(self) -> None:
        """Drop all tables."""

    def start(self) -> None:
        """Start the server, and return when it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, user=self.run_as, start_new_session=True
            )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            with suppress(self.not_ready):
                self.connect("").close()
                return
            time.sleep(0.02)
        pytest.fail(f"{self.name} was not ready in time: {self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """Kill -9 the server and its children."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the server."""
        self._end(self.stop_signal)

    def fetch(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def execute(self, statement: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        """Run a statement, or one for each row."""
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            if rows is None:
                cursor.execute(statement)
            else:
                cursor.executemany(statement, rows)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """Run a server for the length of a block; skip the test where there is none."""
        programs = cls.binaries()
        if programs is None:
            pytest.skip(f"needs the server of {cls.name}")
        folder = Path(tempfile.mkdtemp(prefix="eventhub-database-"))
        server = cls(folder, programs)
        try:
            if server.run_as is not None:
                account = pwd.getpwnam(server.run_as)
                os.chown(folder, account.pw_uid, account.pw_gid)
            server.make()
            yield server
        finally:
            server.kill()
            shutil.rmtree(folder)
            server._log.unlink(missing_ok=True)

    @property
    def _log(self) -> Path:
        return self.folder.with_suffix(".log")

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        children: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self._process.pid).children()
        self._process.send_signal(number)
        if number is signal.SIGKILL:
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        self._process.wait(DEADLINE_SECONDS)
        psutil.wait_procs(children, DEADLINE_SECONDS)
        self._process = None
