"""Postgres: a PostgreSQL server of the tests' own."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import psycopg

from tests.database_server import DatabaseServer

USER = "postgres"


class Postgres(DatabaseServer):
    """A server with one empty database, `hub`."""

    name = "PostgreSQL"
    account = USER
    stop_signal = signal.SIGINT
    not_ready = psycopg.OperationalError

    def __init__(self, folder: Path, programs: Path) -> None:
        super().__init__(folder, programs)
        self.url = f"postgresql://{USER}@127.0.0.1:{self.port}/hub"

    @classmethod
    def binaries(cls) -> Path | None:
        """Return the folder of the newest one."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        return found[-1].parent if found else None

    def make(self) -> None:
        """Make the files, start, and make the database."""
        options = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--no-sync"]
        command = [str(self.programs / "initdb"), "-D", str(self.folder / "data"), *options]
        subprocess.run(command, check=True, capture_output=True, user=self.run_as)
        self.start()
        with self.connect("") as connection:
            connection.execute("CREATE DATABASE hub")

    def command(self) -> list[str]:
        """Return the command line."""
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "fsync": "off"}
        settings |= {"unix_socket_directories": "", "restart_after_crash": "off"}
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def connect(self, database: str = "hub") -> psycopg.Connection[Any]:
        """Connect as any other program does; statements commit by themselves."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            dbname=database or "postgres",
            autocommit=True,
        )

    def empty(self) -> None:
        """Drop all tables."""
        self.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
