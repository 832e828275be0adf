"""A hub with a certificate speaks HTTPS and secure WebSockets, and takes a renewed certificate."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.e2e.client import DEADLINE_SECONDS, V1
from tests.e2e.command import refused, run, written
from tests.e2e.hub import Hub

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("collected"),
]
CONFIG = """
server: {tls: {cert_file: hub.pem, key_file: hub.key}}
url:
  notes: {pattern: /notes, handler: MessageHandler, kwargs: {columns: {body: TEXT}}}
  files: {pattern: /, handler: FileHandler, kwargs: {path: $YAMLPATH}}
"""


def make_certificate(folder: Path, name: str) -> None:
    """Write `hub.pem` and `hub.key`, signed by themselves, whose subject is a name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.DNSName("hub.example"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "hub.key").write_bytes(private)
    (folder / "hub.pem").write_bytes(made.public_bytes(Encoding.PEM))


def trust(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "hub.pem")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "eventhub.yaml").write_text(CONFIG)
    make_certificate(tmp_path, "first")
    return tmp_path


@pytest.fixture
def hub(folder: Path) -> Iterator[Hub]:
    hub = Hub(folder / "eventhub.yaml", folder, [])
    hub.start()
    yield hub
    hub.kill()


async def test_every_protocol_works_over_tls(hub: Hub, folder: Path) -> None:
    assert hub.url.startswith("https://")
    connector = aiohttp.TCPConnector(ssl=trust(folder))
    url = f"{hub.url}/notes"
    async with aiohttp.ClientSession(connector=connector) as session:
        sockets = [await session.ws_connect(url, protocols=[V1]) for _ in range(12)]
        for socket in sockets:
            while "_ready" not in (await socket.receive_json(timeout=DEADLINE_SECONDS)):
                pass
        body = "x" * 300_000  # more than a socket takes at once
        async with session.post(url, json={"body": body}) as answer:
            assert answer.status == 201
        for socket in sockets:
            assert (await socket.receive_json(timeout=DEADLINE_SECONDS))["body"] == body
            await socket.close()
        headers = {"Accept": "text/event-stream"}
        async with session.get(url, headers=headers) as stream:
            assert [line async for line in _until(stream, b"_ready")]
        async with session.get(url) as answer:
            assert [len(row["body"]) for row in await answer.json()] == [300_000]
            assert "Secure" in answer.headers.get("Set-Cookie", "Secure")
            assert "Strict-Transport-Security" not in answer.headers  # this is loopback
        named = {"Host": "hub.example"}
        async with session.get(f"{hub.url}/healthz", headers=named) as answer:
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


async def _until(stream: aiohttp.ClientResponse, mark: bytes) -> AsyncIterator[bytes]:
    async for line in stream.content:
        yield line
        if mark in line:
            return


async def test_old_versions_and_plain_clients_are_cut_off_and_the_hub_goes_on(
    hub: Hub, folder: Path
) -> None:
    old = trust(folder)
    old.set_ciphers("DEFAULT:@SECLEVEL=0")  # or this side would refuse
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with aiohttp.ClientSession() as session:
        for url, context in ((hub.url, old), (hub.url.replace("https", "http"), True)):
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"{url}/notes", ssl=context)
        async with session.get(f"{hub.url}/notes", ssl=trust(folder)) as answer:
            assert answer.status == 200


async def test_the_key_is_never_served(hub: Hub, folder: Path) -> None:
    (folder / "copy.txt").hardlink_to(folder / "hub.key")
    async with aiohttp.ClientSession() as session:
        for name in ("hub.key", "hub.pem", "copy.txt"):
            async with session.get(f"{hub.url}/{name}", ssl=trust(folder)) as answer:
                assert answer.status == 404


async def test_a_renewed_certificate_is_used_and_a_wrong_one_is_not(hub: Hub, folder: Path) -> None:
    async def subject() -> str:
        """Return whose certificate a new connection gets."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        host, _, port = hub.url.removeprefix("https://").rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        sent = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        name = x509.load_der_x509_certificate(sent).subject
        return str(name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    connector = aiohttp.TCPConnector(ssl=trust(folder))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(f"{hub.url}/notes", protocols=[V1]) as socket,
    ):
        assert await subject() == "first"
        (folder / "hub.pem").write_text("half a file")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while "certificate_not_reloaded" not in hub.stderr():
                assert await subject() == "first"
        make_certificate(folder, "second")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await subject() != "second":
                pass
        await socket.send_json({"body": "still here"})
        while "still here" not in (await socket.receive_str(timeout=DEADLINE_SECONDS)):
            pass


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "hub.key").unlink(), "hub.key: No such file"),
        (lambda folder: (folder / "hub.pem").write_text("x"), "is not a certificate in PEM"),
        (lambda folder: make_other_key(folder), "the key is encrypted or of another certificate"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_found_before_the_start(
    tmp_path: Path, change: object, reason: str
) -> None:
    make_certificate(tmp_path, "first")
    file = written(tmp_path, CONFIG)
    assert callable(change)
    change(tmp_path)
    assert reason in refused(2, run("check", file))


def make_other_key(folder: Path) -> None:
    certificate = (folder / "hub.pem").read_bytes()
    make_certificate(folder, "other")
    (folder / "hub.pem").write_bytes(certificate)
