"""Objects in a store that speaks S3: what it refuses, or does not answer, is said in a line."""

import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from eventhub.errors import Misconfigured, Unavailable
from eventhub.objects import Listed
from projections.stored import s3
from projections.stored.s3 import S3Objects
from tests.e2e.test_tls import make_certificate
from tests.ports import free_port
from tests.s3_server import BUCKET, KEYS, URL, S3Server, s3_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3") / "objects") as started:
        yield started


@asynccontextmanager
async def other_server(status: int) -> AsyncIterator[tuple[str, list[Mapping[str, str]]]]:
    """Run a server that answers everything alike; yield its URL and the headers that it got."""
    requests: list[Mapping[str, str]] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        requests.append(dict(request.headers))
        return web.Response(status=status, text="<html>")

    async with RawTestServer(answer) as server:
        yield str(server.make_url("")).rstrip("/"), requests


async def failures(objects: S3Objects) -> list[str]:
    """Return what each operation says when it fails."""
    found = []
    for operation in (
        objects.listed,
        partial(objects.put, "a", b"x"),
        partial(objects.get, "a"),
        partial(objects.delete, "a"),
    ):
        with pytest.raises(Unavailable) as caught:
            await operation()
        found.append(caught.value.message)
    return found


async def test_only_objects_directly_below_the_prefix_are_listed(server: S3Server) -> None:
    objects = server.client(f"s3://{BUCKET}/a/b/")
    for other in ("a", "a/b/c", "a/bc", "x"):
        await server.client(f"s3://{BUCKET}/{other}").put("other", b"")
    await server.client(f"s3://{BUCKET}").put("top", b"")
    await objects.put("own", b"")
    assert await objects.listed() == Listed(["own"], [])
    assert await server.client(f"s3://{BUCKET}").listed() == Listed(["top"], [])


async def test_wrong_keys_are_reported_without_them(server: S3Server) -> None:
    wrong = "wrong-secret-0123456789"
    for text in await failures(server.client(keys=(KEYS[0], wrong))):
        assert f"{URL} at {server.endpoint} cannot be " in text
        assert "403 Forbidden, SignatureDoesNotMatch; check the keys" in text
        assert wrong not in text
        assert "\n" not in text


async def test_a_bucket_that_does_not_exist_is_not_an_empty_one(server: S3Server) -> None:
    for text in await failures(server.client("s3://another-bucket/hub")):
        assert "404 Not Found, NoSuchBucket; make the bucket first" in text


async def test_a_store_that_is_away_is_reported_soon() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    url = "s3://bucket/latest/api/tables"
    for text in await failures(S3Objects(url, endpoint=endpoint, keys=KEYS)):
        assert f"{url} at {endpoint} cannot be " in text
        assert "Connection refused; check the endpoint" in text


async def test_a_store_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPERATION_SECONDS", "LIST_SECONDS"):
        monkeypatch.setattr(s3, name, 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for text in await failures(S3Objects(URL, endpoint=endpoint, keys=KEYS)):
            assert "no answer in time" in text


async def test_what_is_no_store_at_all_is_reported() -> None:
    async with other_server(404) as (endpoint, _):
        objects = S3Objects(URL, endpoint=endpoint, keys=KEYS)
        for operation in (objects.listed, partial(objects.put, "a", b"x")):
            with pytest.raises(Unavailable, match="404 Not Found"):
                await operation()


async def test_keys_of_the_file_go_without_a_token_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A store refuses a token that does not belong to the keys."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-another-login")
    async with other_server(403) as (endpoint, requests):
        with pytest.raises(Unavailable):
            await S3Objects(URL, endpoint=endpoint, region="here", keys=KEYS).get("a")
    [headers] = requests
    assert f"Credential={KEYS[0]}/" in headers["Authorization"]
    assert "/here/s3/" in headers["Authorization"]
    assert "x-amz-security-token" not in {name.lower() for name in headers}


async def test_without_keys_in_the_file_those_of_the_environment_are_used(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS[1])
    objects = S3Objects(URL, endpoint=server.endpoint)
    await objects.put("from-the-environment", b"x")
    assert await objects.get("from-the-environment") == b"x"


async def test_a_machine_without_keys_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    for text in await failures(S3Objects(URL, endpoint=f"http://127.0.0.1:{free_port()}")):
        assert "there are no keys: give access_key_id and secret_access_key" in text


async def test_a_certificate_of_an_own_authority_is_trusted_if_it_is_named(tmp_path: Path) -> None:
    make_certificate(tmp_path, "store")
    with s3_server(tmp_path / "s3", (tmp_path / "hub.pem", tmp_path / "hub.key")) as server:
        await server.client().put("a", b"x")
        assert await server.client().get("a") == b"x"
        for text in await failures(S3Objects(URL, endpoint=server.endpoint, keys=KEYS)):
            assert "its certificate is not valid here (UnknownIssuer)" in text


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_file_without_a_certificate_is_misconfigured(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Misconfigured, match="projection: snapshots: ca_file: "):
        S3Objects(URL, endpoint="https://127.0.0.1", keys=KEYS, ca_file=str(file))
