"""A hub logs in to external NATS servers as `broker:` says."""

import asyncio
import base64
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import nkeys  # type: ignore[import-untyped]
import pytest

from eventhub.channel import Channel
from eventhub.columns import Columns
from eventhub.errors import Misconfigured, Unavailable
from eventhub.jetstream import JetStreamLog, Tables, as_jwt
from tests.e2e.client import get, request
from tests.e2e.hub import HubFactory
from tests.nats_server import nats_server

HUB = """
broker: {broker}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs: {{columns: {{body: TEXT}}}}
"""
CONNECTING = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
STORING = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
"""Limits of an account: none."""


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """What is to be ended after the test."""
    with ExitStack() as started:
        yield started


def key(kind: int) -> nkeys.KeyPair:
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), kind))


def part(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def token(kind: str, of: nkeys.KeyPair, by: nkeys.KeyPair, *, name: str = "", **claims: Any) -> str:
    """Return a JWT as NATS wants it: what `by` says of `of`."""
    nats = {"type": kind, "version": 2, **claims}
    body = {"name": name or kind, "sub": of.public_key.decode(), "iss": by.public_key.decode()}
    body |= {"iat": int(time.time()), "nats": nats}
    body["jti"] = base64.b32encode(hashlib.sha256(msgspec.json.encode(body)).digest()).decode()
    head = {"typ": "JWT", "alg": "ed25519-nkey"}
    signed = b".".join(part(msgspec.json.encode(each)) for each in (head, body))
    return (signed + b"." + part(by.sign(signed))).decode()


def credentials(name: str = "user", **rights: Any) -> tuple[dict[str, Any], str]:
    """Return what a server believes, and a `.creds` file that it does believe."""
    operator, user = key(nkeys.PREFIX_BYTE_OPERATOR), key(nkeys.PREFIX_BYTE_USER)
    account, system = key(nkeys.PREFIX_BYTE_ACCOUNT), key(nkeys.PREFIX_BYTE_ACCOUNT)
    rights = {"pub": {}, "sub": {}, **rights}
    says = token("user", user, account, name=name, subs=-1, data=-1, payload=-1, **rights)
    file = (
        f"-----BEGIN NATS USER JWT-----\n{says}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    config = {
        "operator": token("operator", operator, operator),
        "resolver": "MEMORY",
        "system_account": system.public_key.decode(),
        "resolver_preload": {
            each.public_key.decode(): token("account", each, operator, limits=CONNECTING | may)
            for each, may in ((account, STORING), (system, {}))
        },
    }
    return config, file


@pytest.mark.parametrize("kind", ["password", "credentials"])
async def test_a_hub_logs_in(
    kind: str,
    hub_factory: HubFactory,
    servers: ExitStack,
    tmp_path: Path,
) -> None:
    files = {}
    if kind == "password":
        config = {"authorization": {"user": "hub", "password": "s3cret"}}
        broker = {"user": "hub", "password": "s3cret"}
    else:
        tables = Tables(channels=[Channel("notes", Columns(()))])
        config, files["hub.creds"] = credentials("eventhub-hub", **as_jwt(tables)["eventhub-hub"])
        broker = {"credentials_file": "hub.creds"}
    # The line is as long as docs/operations.md says.
    more = {"jetstream": {"store_dir": str(tmp_path / "js")}, "max_control_line": 1 << 20}
    server = nats_server(tmp_path / "nats", config | more)
    url = await asyncio.to_thread(servers.enter_context, server)
    text = HUB.format(broker=msgspec.json.encode({"url": url, **broker}).decode())
    hub = await asyncio.to_thread(hub_factory, text, files=files)
    assert (await request("POST", f"{hub.url}/notes", json={"body": "hello"}))[0] == 201
    assert [row["body"] for row in await get(f"{hub.url}/notes")] == ["hello"]
    assert "permission" not in hub.stderr()


async def test_a_jwt_that_is_too_long_for_the_server_ends_the_start(tmp_path: Path) -> None:
    tables = Tables(channels=[Channel(f"notes {number}", Columns(())) for number in range(9)])
    config, file = credentials(**as_jwt(tables)["eventhub-hub"])
    with (
        nats_server(tmp_path, config) as url,
        pytest.raises(Misconfigured, match=r"refuses the credentials: .*maximum control line"),
    ):
        async with JetStreamLog.connect(url, credentials=file):
            pass


async def test_an_invalid_credentials_file_is_reported() -> None:
    _, file = credentials()
    seed = file.rpartition("\n-----BEGIN USER NKEY SEED-----\n")[2].partition("\n")[0]
    for text in ("", "token", file[: file.index("-----BEGIN USER")], file.replace(seed, seed[:40])):
        with pytest.raises(Misconfigured, match=r"broker\.credentials"):
            async with JetStreamLog.connect("nats://127.0.0.1:1", credentials=text):
                pass
    with pytest.raises(Unavailable):
        async with JetStreamLog.connect("nats://127.0.0.1:1", credentials=file):
            pass
