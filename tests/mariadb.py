"""MariaDB: a server of the tests' own."""

import getpass
import shutil
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import CLIENT

from tests.database_server import DatabaseServer

USER = "root"
SETTINGS = {
    "bind-address": "127.0.0.1",
    "innodb-buffer-pool-size": "32M",
    "innodb-flush-log-at-trx-commit": "2",  # a kill -9 is no power cut
    "innodb-log-file-size": "16M",
    "skip-name-resolve": "ON",
}


class MariaDB(DatabaseServer):
    """A server with one empty database, `hub`."""

    name = "MariaDB"
    account = "mysql"
    stop_signal = signal.SIGTERM
    not_ready = pymysql.OperationalError

    def __init__(self, folder: Path, programs: Path) -> None:
        super().__init__(folder, programs)
        self.url = f"mysql://{USER}@127.0.0.1:{self.port}/hub"

    @classmethod
    def binaries(cls) -> Path | None:
        """Return the folder of the server, which Debian keeps from other users' PATH."""
        found = shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        return None if found is None else Path(found).parent

    def make(self) -> None:
        """Make the files, start, and make the database."""
        command = ["mariadb-install-db", *self._options(), "--skip-test-db"]
        command += ["--auth-root-authentication-method=normal"]
        subprocess.run(command, check=True, capture_output=True)
        self.start()
        self.empty()

    def command(self) -> list[str]:
        """Return the command line."""
        socket = f"--socket={self.folder / 'socket'}"
        return [str(self.programs / "mariadbd"), *self._options(), f"--port={self.port}", socket]

    def connect(self, database: str = "hub") -> "pymysql.Connection[Any]":
        """Connect as any other program does; names may be quoted as in other databases."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            database=database or None,
            autocommit=True,
            sql_mode="ANSI_QUOTES,STRICT_ALL_TABLES",
            client_flag=CLIENT.MULTI_STATEMENTS,
        )

    def empty(self) -> None:
        """Drop all tables."""
        with closing(self.connect("")) as connection, connection.cursor() as cursor:
            cursor.execute("DROP DATABASE IF EXISTS hub")
            cursor.execute("CREATE DATABASE hub CHARACTER SET utf8mb4")

    def _options(self) -> list[str]:
        user = self.run_as or getpass.getuser()
        options = ["--no-defaults", f"--user={user}", f"--datadir={self.folder / 'data'}"]
        return options + [f"--{name}={value}" for name, value in SETTINGS.items()]
