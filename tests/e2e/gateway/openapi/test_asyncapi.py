"""`/-/asyncapi.json` describes the frames that the hub really sends and takes, to each client."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from eventhub.delivery.frames import Form
from eventhub.gateway.openapi.asyncapi import PATH, SOCKET
from tests.e2e.client import Frame, connect, request
from tests.e2e.hub import Hub, running_hub
from tests.tokens import SECRET, token_of

CONFIG = f"""
auth: {{jwt: {{secret: {SECRET}}}}}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {{body: TEXT, n: INTEGER, pay: REAL, tags: JSON}}
      rules: {{columns: {{pay: {{read: "handler.current_user.role == 'hr'"}}}}}}
      presence: true
      send: true
  private:
    {{pattern: /private, handler: MessageHandler, kwargs: {{columns: {{a: TEXT}}, auth: true}}}}
"""
PARSER = "@asyncapi/parser@3"
CHECK = """
const { Parser } = require("@asyncapi/parser")
const text = require("node:fs").readFileSync(process.argv[2], "utf8")
new Parser().parse(text).then(({ document, diagnostics }) => {
  const errors = diagnostics.filter(({ severity }) => severity === 0)
  const wrong = errors.map(({ message, path }) => [path.join("."), message])
  const channels = document ? document.channels().all().map((each) => each.id()) : []
  console.log(JSON.stringify({ wrong, channels }))
})
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


async def described(hub: Hub, *, role: str | None = None) -> dict[str, Any]:
    headers = {} if role is None else bearer(role)
    status, document = await request("GET", f"{hub.url}{PATH}", headers=headers)
    assert status == 200
    return dict(document)


def bearer(role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_of('ann', role=role)}"}


def kinds(document: dict[str, Any], channel: str, action: str, frame: Any) -> list[str]:
    """Return the messages of a channel that a frame is one of."""
    operation = document["operations"][f"{channel}.{action}"]
    names = [each["$ref"].rpartition("/")[2] for each in operation["messages"]]
    found = []
    for name in names:
        payload = document["components"]["messages"][name]["payload"]
        schema = {**payload, "components": document["components"]}
        if jsonschema_rs.Draft202012Validator(schema).is_valid(frame):
            found.append(name)
    return found


async def test_each_frame_is_one_of_those_that_are_described(hub: Hub) -> None:
    document, seen = await described(hub, role="user"), set[str]()

    def check(action: str, frame: Frame) -> None:
        found = kinds(document, SOCKET, action, frame)
        assert found, frame
        seen.update(found)

    async with connect(f"{hub.url}/-/socket", form=Form.V2, headers=bearer("user")) as client:
        frames: list[Frame] = [
            {"_subscribe": 1, "path": "/notes", "query": "_presence", "_ref": "a"},
            {"_sub": 1, "id": "x", "body": "first", "n": 1, "tags": {"a": [1]}, "_ref": 1},
            {"_sub": 1, "_method": "PUT", "id": "x", "n": None, "_ref": 2},
            {"_sub": 1, "_method": "SEND", "body": "typing", "_ref": 3},
            {"_sub": 1, "id": "x", "_ref": 4},
            {"_subscribe": 2, "path": "/notes", "since": "earliest"},
            {"_subscribe": 3, "path": "/nope"},
            {"_auth": token_of("ann", role="user")},
            {"_subscribe": 4, "path": "/notes", "query": "_replay=log"},
            {"_sub": 1, "_method": "DELETE", "id": "x", "_ref": 5},
            {"_unsubscribe": 2, "_ref": "b"},
        ]
        for frame in frames:
            check("receive", frame)
            await client.socket.send_str(json.dumps(frame))
            while frame is frames[0] and "Ready" not in seen:  # only who is up to date gets a SEND
                check("send", json.loads((await client.socket.receive(timeout=15)).data))
        while not {"End", "Presence", "notes.Sent"} <= seen:
            check("send", json.loads((await client.socket.receive(timeout=15)).data))
    assert {"notes.Message", "Token", "Subscribe", "Unsubscribe"} <= seen
    assert {"notes.Changes", "notes.Sent", "Ack", "Error", "Auth", "Ready", "Resume"} <= seen
    assert not kinds(document, SOCKET, "send", {"_sub": 1, "_rows": [{"id": "x"}]})
    assert not kinds(document, SOCKET, "receive", {"_subscribe": 65, "path": "/notes"})


async def test_a_client_reads_of_what_it_may_use(hub: Hub) -> None:
    nobody, user = await described(hub), await described(hub, role="user")
    assert set(nobody["channels"]) == {"notes", SOCKET}
    assert set(user["channels"]) == {"notes", "private", SOCKET}
    of_hr = await described(hub, role="hr")
    assert "pay" in json.dumps(of_hr)
    assert "pay" not in json.dumps(user).replace("payload", "")
    assert "security" in user["operations"]["private.send"]


def run(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_parser_of_asyncapi_accepts_it(hub: Hub, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    installed = run(tmp_path, "npm", "install", "--no-audit", "--no-fund", PARSER)
    if installed.returncode:
        pytest.skip(f"npm cannot install {PARSER}: {installed.stderr[-300:]}")
    (tmp_path / "document.json").write_text(json.dumps(asyncio.run(described(hub, role="hr"))))
    (tmp_path / "check.cjs").write_text(CHECK)
    ran = run(tmp_path, "node", "check.cjs", "document.json")
    found = json.loads(ran.stdout)
    assert found["wrong"] == []
    assert sorted(found["channels"]) == [SOCKET, "notes", "private"]
