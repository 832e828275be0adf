"""NATS server: an external nats-server with users, which speaks TLS."""

import os
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.e2e.test_tls import make_certificate

DEADLINE_SECONDS = 20.0
TLS = """
tls: {{
  cert_file: "{folder}/hub.pem", key_file: "{folder}/hub.key", ca_file: "{folder}/hub.pem"
  verify: true
}}
"""


@contextmanager
def running_server(folder: Path, account: str, environment: dict[str, str]) -> Iterator[str]:
    """Run a nats-server for the length of a block; return its URL.

    Its certificate, which clients need too, is `hub.pem` and `hub.key` in the folder.

    Args:
        folder: an empty one.
        account: the text within its account.
        environment: its variables.
    """
    make_certificate(folder, "nats")
    config = f"""
host: 127.0.0.1, port: -1, ports_file_dir: "{folder}", max_payload: 9MB
jetstream: {{ store_dir: "{folder}" }}
{TLS.format(folder=folder)}
accounts: {{
  HUB: {{ jetstream: enabled, {account} }}
  OTHER: {{ users: [{{ user: o, password: o }}] }}
}}
"""
    (folder / "nats.conf").write_text(config)
    binary = Path(sysconfig.get_path("scripts")) / "nats-server"
    log = (folder / "nats.log").open("wb")
    process = subprocess.Popen(
        [binary, "-c", folder / "nats.conf"], stderr=log, env={**os.environ, **environment}
    )
    try:
        yield _url(folder, process).replace("nats://", "tls://")
    finally:
        process.kill()
        process.wait()
        log.close()


def _url(folder: Path, process: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, (folder / "nats.log").read_text()
        for ports in folder.glob("*.ports"):
            try:
                return str(msgspec.json.decode(ports.read_bytes())["nats"][0])
            except msgspec.DecodeError:
                pass
        time.sleep(0.01)
    raise TimeoutError
