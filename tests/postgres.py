"""Postgres: a PostgreSQL server of its own for tests, on a private folder and a free port."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

DEADLINE_SECONDS = 30.0
USER = "postgres"
"""Whom the server runs as if the tests are root's: it refuses root."""


def binaries() -> Path | None:
    """Return the folder of the newest installed server, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgres:
    """A server with one empty database, `hub`."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.port = _free_port()
        self.url = f"postgresql://{USER}@127.0.0.1:{self.port}/hub"
        self._folder = folder
        self._programs = programs
        self._user = None if os.getuid() else USER
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make the files of an empty server."""
        if self._user is not None:
            account = pwd.getpwnam(self._user)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        options = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--no-sync"]
        command = [str(self._programs / "initdb"), "-D", str(self._folder / "data"), *options]
        subprocess.run(command, check=True, capture_output=True, user=self._user)
        self.start()
        with self.connect("postgres") as connection:
            connection.execute("CREATE DATABASE hub")

    def start(self) -> None:
        """Start the server, and return when it answers."""
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "fsync": "off"}
        settings |= {"unix_socket_directories": "", "restart_after_crash": "off"}
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (self._folder.parent / f"{self._folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, user=self._user, start_new_session=True
            )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            with suppress(psycopg.OperationalError):
                self.connect("postgres").close()
                return
            time.sleep(0.02)
        pytest.fail("PostgreSQL was not ready in time")

    def kill(self) -> None:
        """Kill -9 the server and its backends: the power cut."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the server, whoever is connected."""
        self._end(signal.SIGINT)

    def connect(self, database: str = "hub") -> psycopg.Connection[Any]:
        """Connect as any other program does; statements commit by themselves."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, dbname=database, autocommit=True
        )

    def fetch(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        with self.connect() as connection:
            return connection.execute(statement).fetchall()

    def execute(self, statement: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        """Run a statement, or one for each row."""
        with self.connect() as connection, connection.cursor() as cursor:
            if rows is None:
                cursor.execute(statement)
            else:
                cursor.executemany(statement, rows)

    def empty(self) -> None:
        """Drop all tables."""
        self.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

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


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server for the length of a block; skip the test where there is none."""
    programs = binaries()
    if programs is None:
        pytest.skip("needs PostgreSQL below /usr/lib/postgresql")
    folder = Path(tempfile.mkdtemp(prefix="eventhub-postgres-"))
    postgres = Postgres(folder, programs)
    try:
        postgres.make()
        yield postgres
    finally:
        postgres.kill()
        shutil.rmtree(folder)
        Path(f"{folder}.log").unlink(missing_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
