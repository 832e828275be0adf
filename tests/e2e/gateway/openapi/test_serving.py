"""`/openapi.json` describes to each client what it may use, and names nothing else."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import msgspec
import pytest
import schemathesis

from tests.e2e.hub import Hub, running_hub

SECRET = "0123456789abcdef0123456789abcdef"
CONFIG = f"""
auth: {{jwt: {{secret: {SECRET}}}}}
url:
  notes: {{pattern: /notes, handler: MessageHandler, kwargs: {{columns: {{body: TEXT}}}}}}
  pay:
    pattern: /pay
    handler: MessageHandler
    kwargs:
      columns: {{salary: REAL}}
      auth: true
      rules: {{columns: {{salary: {{write: "handler.current_user.id == 'bob'"}}}}}}
  board:
    pattern: /board
    handler: MessageHandler
    kwargs:
      columns: {{plan: TEXT}}
      auth:
        condition: handler_current_user.id == 'bob' and 'plan' in handler.kwargs['columns']
  sql:
    pattern: /sql
    handler: SQLHandler
    kwargs: {{auth: {{membership: {{id: [bob]}}}}}}
  login: {{pattern: /login, handler: SimpleAuth, kwargs: {{credentials: {{ann: pass}}}}}}
"""
OPEN = {
    "/notes",
    "/notes/{id}",
    *(f"/notes.{end}" for end in ("parquet", "arrow", "csv", "ndjson")),
}
HUB = {"/healthz", "/readyz", "/openapi.json", "/login"}
OPERATOR = {"/metrics", "/-/connections", "/-/snapshot.duckdb", "/-/vitals", "/-/configuration"}
OPERATOR |= {"/-/configuration/rehearsal"}
OPERATOR |= {"/-/alerts", "/-/alerts/retry", "/-/alerts/preview", "/-/alerts/backtest"}
Headers = dict[str, str]


def bearer(user: str) -> Headers:
    token = jwt.encode({"sub": user, "exp": int(time.time()) + 36_000}, SECRET, "HS256")
    return {"Authorization": f"Bearer {token}"}


def paths(pattern: str) -> set[str]:
    return {path.replace("/notes", pattern) for path in OPEN}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests that do not change it."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


async def get(hub: Hub, headers: Headers | None = None) -> tuple[int, Mapping[str, str], Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{hub.url}/openapi.json", headers=headers) as answer,
    ):
        body = await answer.read()
        return answer.status, answer.headers.copy(), msgspec.json.decode(body) if body else None


@pytest.mark.parametrize(
    ("who", "seen", "hidden"),
    [
        ({}, OPEN, (b"salary", b"plan", b"/sql")),
        (bearer("ann"), OPEN | paths("/pay"), (b"plan", b"/sql")),
        (bearer("bob"), OPEN | paths("/pay") | paths("/board"), ()),
    ],
    ids=["nobody", "ann", "bob"],
)
async def test_a_client_reads_of_what_it_may_use_and_of_nothing_else(
    hub: Hub, who: Headers, seen: set[str], hidden: tuple[bytes, ...]
) -> None:
    status, _, document = await get(hub, who)
    assert status == 200
    found = {path for path in document["paths"] if not path.startswith("/sql")}
    assert found == seen | HUB | OPERATOR
    text = msgspec.json.encode(document)
    assert [name for name in hidden if name in text] == []
    schemathesis.openapi.from_dict(document).validate()


async def test_a_message_has_the_columns_that_its_sender_may_write(hub: Hub) -> None:
    for user, may in (("ann", False), ("bob", True)):
        _, _, document = await get(hub, bearer(user))
        schemas = document["components"]["schemas"]
        assert "salary" in schemas["pay.Row"]["properties"]
        assert ("salary" in schemas["pay.Message"]["properties"]) is may


async def test_pages_of_operators_are_not_described_to_others(hub: Hub) -> None:
    _, _, document = await get(hub, {"X-Forwarded-For": "192.0.2.1"})
    assert set(document["paths"]) == OPEN | HUB


async def test_a_token_that_is_not_valid_is_refused(hub: Hub) -> None:
    status, _, document = await get(hub, {"Authorization": "Bearer x"})
    assert (status, document["_error"]["code"]) == (401, "unauthorized")


async def test_who_has_the_description_does_not_get_it_again(hub: Hub) -> None:
    _, headers, _ = await get(hub)
    status, again, document = await get(hub, {"If-None-Match": headers["ETag"]})
    assert (status, document, again["ETag"]) == (304, None, headers["ETag"].removeprefix("W/"))
    status, other, _ = await get(hub, {"If-None-Match": headers["ETag"], **bearer("ann")})
    assert (status, other["ETag"] != headers["ETag"]) == (200, True)
    assert headers["Cache-Control"] == "private, no-cache"


async def test_ways_to_log_in_are_described(hub: Hub) -> None:
    _, _, document = await get(hub)
    schemes = document["components"]["securitySchemes"]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{hub.url}/login") as answer,
    ):
        assert [schemes["cookie"]["name"]] == list(answer.cookies)
    assert schemes["bearer"]["scheme"] == "bearer"
    assert document["paths"]["/notes"]["get"]["security"] == [{}, {"cookie": []}, {"bearer": []}]
    _, _, document = await get(hub, bearer("ann"))
    assert document["paths"]["/pay"]["get"]["security"] == [{"cookie": []}, {"bearer": []}]


@pytest.mark.parametrize(("name", "own"), [("openapi.json", True), ("index.html", False)])
async def test_a_file_of_the_path_is_served_instead(tmp_path: Path, name: str, own: bool) -> None:
    pages = "{pattern: '/(.*)', handler: FileHandler, kwargs: {path: $YAMLPATH/page}}"
    text = f"url: {{pages: {pages}}}"
    with running_hub(tmp_path, text, {f"page/{name}": '{"mine": 1}'}) as hub:
        assert ("mine" in (await get(hub))[2]) is own
