"""NATS server: one real nats-server of a test's own, as an operator runs it."""

import os
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.waiting import until


@contextmanager
def nats_server(
    folder: Path,
    config: Mapping[str, Any],
    *,
    text: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Run a nats-server for the length of a block; return its URL.

    Args:
        folder: for its files; it is made if it is not there.
        config: its configuration, except for what it listens on.
        text: more of it, in the language of such files.
        environment: variables that it gets besides those of the test.
    """
    folder.mkdir(exist_ok=True)
    config = {"listen": "127.0.0.1:-1", "ports_file_dir": str(folder), **config}
    lines = [f"{key}: {msgspec.json.encode(value).decode()}" for key, value in config.items()]
    file, log = folder / "nats.conf", folder / "nats.log"
    file.write_text("\n".join([*lines, text]))
    binary = Path(sysconfig.get_path("scripts")) / "nats-server"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary, "-c", file], stderr=output, env={**os.environ, **(environment or {})}
        )

    def url() -> str | None:
        assert process.poll() is None, log.read_text()
        for ports in folder.glob("*.ports"):
            try:
                return str(msgspec.json.decode(ports.read_bytes())["nats"][0])
            except msgspec.DecodeError:  # it is being written
                pass
        return None

    try:
        yield until(url) or ""
    finally:
        process.kill()
        process.wait()
