"""What `open` restricts holds on every surface, whatever a client asks."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest

from tests.e2e.client import connect, request
from tests.e2e.command import refused, run, written
from tests.e2e.hub import Hub, running_hub
from tests.e2e.surfaces import READS, WRITES, events

SECRET = "0123456789abcdef0123456789abcdef"
RULES = """
WRONG = {
    "misspelt": {"recpient": ["me"]},
    "case": {"Recipient": ["me"]},
    "operator": {"n~": ["1"]},
    "json": {"data": ["1"]},
    "blank": {"recipient": [""]},
    "empty": {"recipient": []},
    "none": {"recipient": [None]},
    "text": {"recipient": "me"},
    "control": {"_limt": ["1"]},
    "hidden": {"_c": ["-bdy"]},
}


def restrict(handler, kind):
    handler.args.update(WRONG[kind])


def mine(handler):
    handler.args.setdefault("recipient", []).append(handler.current_user.id)
"""
WRONG = (
    *("misspelt", "case", "operator", "json", "blank", "empty", "none", "text", "control"),
    "hidden",
)
HOOKS = ("empty", "none", "text")
"""Logged as a mistake of the hook itself."""


def endpoint(name: str, source: str) -> str:
    return f"""
  {name}:
    pattern: /{name}
    handler: MessageHandler
    kwargs:
      table: inbox
      columns: {{recipient: TEXT, body: TEXT, n: INTEGER, data: JSON}}
      auth: true
      open: {source}"""


CONFIG = "\n".join(
    [
        "log: {format: json}",
        f"auth: {{jwt: {{secret: {SECRET}}}}}",
        "url:",
        endpoint("all", "args.get('nothing')"),
        endpoint("mine", "args.update(recipient=[handler.current_user.id])"),
        endpoint("appended", "rules.mine(handler)"),
        endpoint("now", "args.update(_since=['now'])"),
        *(endpoint(kind, f"rules.restrict(handler, '{kind}')") for kind in WRONG),
    ]
)
URLS = (
    "",
    "recipient=me",
    "recipient=bob",
    "recipient=me&recipient=bob",
    "recipient=",
    "_c=body&_c=recipient",
    "_sort=recipient&_limit=-1&_offset=-5",
)
OF_NOTHING = ("recipient!=", "recipient!=me", "recipient~=b", "recipient*=B", "body*=secret")
"""Queries for rows that the reader may not see; a bare client would wait for one in vain."""


def login(user: str) -> dict[str, str]:
    claims = {"sub": user, "exp": int(time.time()) + 36_000}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET)}"}


ME = login("me")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file, with rows of two users in one table."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG, {"rules.py": RULES}) as hub:
        asyncio.run(fill(hub))
        yield hub


async def write(hub: Hub, method: str, **message: Any) -> None:
    status, reply = await request(method, f"{hub.url}/all", headers=ME, json=message)
    assert status in (200, 201), reply


async def fill(hub: Hub) -> None:
    """Write rows that are mine, that never were, and that became mine or ceased to be."""
    await write(hub, "POST", id="mine", recipient="me", body="for me")
    await write(hub, "POST", id="bobs", recipient="bob", body="secret 1")
    await write(hub, "PUT", id="bobs", body="secret 2")
    await write(hub, "POST", id="comes", recipient="bob", body="secret 3")
    await write(hub, "PUT", id="comes", recipient="me", body="from bob")
    await write(hub, "POST", id="goes", recipient="me", body="to bob")
    await write(hub, "PUT", id="goes", recipient="bob", body="secret 4")
    await write(hub, "PUT", id="goes", body="secret 5")
    await write(hub, "DELETE", id="goes")
    await write(hub, "POST", id="ends", recipient="bob", body="secret 6")
    await write(hub, "DELETE", id="ends")


@pytest.mark.parametrize("name", ["mine", "appended"])
@pytest.mark.parametrize("surface", READS)
async def test_no_surface_and_no_url_shows_a_row_outside(hub: Hub, surface: str, name: str) -> None:
    read = READS[surface]
    everything = await read(f"{hub.url}/all", ME, "")
    assert "secret" in everything.text, "else this test could not fail"
    for query in URLS if surface.startswith("bare") else URLS + OF_NOTHING:
        code, text = await read(f"{hub.url}/{name}", ME, query)
        assert code is None, text
        assert "secret" not in text, query
        assert "bobs" not in text, query
        assert query or "for me" in text


@pytest.mark.parametrize("kind", WRONG)
async def test_an_open_that_restricts_nothing_admits_no_client(hub: Hub, kind: str) -> None:
    codes = {}
    for surface, ask in {**READS, **WRITES}.items():
        code, text = await ask(f"{hub.url}/{kind}", ME, "")
        assert "secret" not in text, surface
        codes[surface] = code
    assert codes == dict.fromkeys(codes, "internal")
    lines = [msgspec.json.decode(line) for line in hub.stderr().splitlines() if line[:1] == "{"]
    event = "hook_failed" if kind in HOOKS else "restriction_unknown"
    logged = [line for line in lines if line["event"] == event and line["endpoint"] == kind]
    assert 1 <= len(logged) <= len(codes)
    if kind == "misspelt":
        assert logged[0]["key"] == "recpient"
        assert "did you mean recipient?" in logged[0]["detail"]


async def test_the_history_of_a_row_is_cut_to_what_the_reader_may_see(hub: Hub) -> None:
    async with connect(f"{hub.url}/mine?_replay=log", headers=ME) as client:
        frames = await client.until(lambda frame: "_ready" in frame)
    records: dict[str, list[Any]] = {"comes": [], "goes": []}
    for record in frames:
        if record.get("id") in records:
            row, was = record["row"], record["was"]
            records[record["id"]].append(
                (record["_method"], row and row["body"], was and was["body"])
            )
    assert records["comes"] == [("POST", "from bob", None)]
    assert records["goes"] == [("POST", "to bob", None), ("DELETE", None, "to bob")]


async def test_a_header_does_not_override_what_open_set(hub: Hub) -> None:
    headers = {**ME, "Last-Event-ID": "earliest"}
    async with events(f"{hub.url}/now", headers) as stream:
        assert not isinstance(stream, tuple)
        assert (await anext(stream))["_resume"]["reason"] == "now"
        assert "_ready" in await anext(stream)


def test_check_suggests_the_column_for_a_misspelled_argument(tmp_path: Path) -> None:
    source = "args.update(recpient=[handler.current_user.id])"
    file = written(tmp_path, "url:" + endpoint("inbox", source))
    output = refused(2, run("check", file))
    assert "'recpient' is not a column: did you mean recipient?" in output
