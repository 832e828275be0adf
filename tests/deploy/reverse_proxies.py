"""Reverse proxies: real programs, each with its file of `deploy/proxy`, and what browsers send."""

import asyncio
import datetime
import gc
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.hub import DEADLINE_SECONDS
from tests.ports import free_port

FILES = Path(__file__).parents[2] / "deploy" / "proxy"
NAME = "chat.example.org"
PROGRAMS = {"nginx": "nginx.conf", "caddy": "Caddyfile", "haproxy": "haproxy.cfg"}
"""Each program, and its file."""
GATEWAYS = ("127.0.0.1:8080", "127.0.0.1:8081")
"""As the files name them."""


def find(program: str) -> str | None:
    """Return the path of a program, if it is installed."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


@contextmanager
def running_proxy(program: str, hub_ports: Sequence[int], folder: Path) -> Iterator[int]:
    """Run a proxy in front of two gateways; yield the port on which it takes HTTPS for `NAME`."""
    found = find(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    port = free_port()
    text = (FILES / PROGRAMS[program]).read_text("utf-8").replace("/etc/ssl", str(folder))
    for written, hub_port in zip(GATEWAYS, hub_ports, strict=True):
        assert written in text
        text = text.replace(written, f"127.0.0.1:{hub_port}")
    command = _COMMANDS[program](found, text, port, folder)
    homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    output = folder / f"{program}.txt"
    with output.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, **homes}, cwd=folder
        )
    try:
        _wait_for(port, process, output)
        yield port
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


def _nginx(program: str, text: str, port: int, folder: Path) -> list[str]:
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {folder / name};\n" for name in places)
    user = "user root;\n" if os.getuid() == 0 else ""
    served = text.replace("listen 443", f"listen 127.0.0.1:{port}")
    (folder / "nginx.conf").write_text(
        f"daemon off;\n{user}pid {folder / 'pid'};\nerror_log stderr;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{served}}}\n"
    )
    return [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def _caddy(program: str, text: str, port: int, folder: Path) -> list[str]:
    certificate = f"    tls {folder / NAME}.crt {folder / NAME}.key\n"  # instead of getting one
    served = text.replace(f"{NAME} {{\n", f"https://{NAME}:{port} {{\n{certificate}")
    options = "{\n    admin off\n    auto_https disable_redirects\n    grace_period 10ms\n}\n"
    (folder / "Caddyfile").write_text(options + served)
    return [program, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


def _haproxy(program: str, text: str, port: int, folder: Path) -> list[str]:
    (folder / "haproxy.cfg").write_text(text.replace("bind :443", f"bind 127.0.0.1:{port}"))
    return [program, "-db", "-f", str(folder / "haproxy.cfg")]


_COMMANDS = {"nginx": _nginx, "caddy": _caddy, "haproxy": _haproxy}


class _Here(AbstractResolver):
    """Every name is this machine."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        """See `AbstractResolver`."""
        found = ResolveResult(
            hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
        )
        return [found]

    async def close(self) -> None:
        """See `AbstractResolver`."""


@asynccontextmanager
async def browser(origin: str, trust: ssl.SSLContext) -> AsyncIterator[aiohttp.ClientSession]:
    """Send what a page of the hub sends."""
    connector = aiohttp.TCPConnector(resolver=_Here(), ssl=trust)
    timeout = aiohttp.ClientTimeout(total=DEADLINE_SECONDS)
    session = aiohttp.ClientSession(
        origin, connector=connector, headers={"Origin": origin}, timeout=timeout
    )
    try:
        yield session
    finally:
        await connector.close(abort_ssl=True)  # a farewell by TLS would outlive the loop
        await asyncio.sleep(0)
        await session.close()
        gc.collect()  # here, and not in another module, which does not ignore its warning


def make_certificate(folder: Path) -> ssl.SSLContext:
    """Write a certificate for `NAME`, as the page names its files; return how to trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for suffix, content in (("crt", public), ("key", private), ("pem", public + private)):
        (folder / f"{NAME}.{suffix}").write_bytes(content)
    return ssl.create_default_context(cadata=public.decode())


def _wait_for(port: int, process: "subprocess.Popen[bytes]", output: Path) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, output.read_text()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        time.sleep(0.02)
    pytest.fail(output.read_text())
