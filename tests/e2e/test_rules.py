"""Rules of rows hold for every user, operation and surface; a hidden row is a row that is not."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.e2e.client import Frame, connect, request
from tests.e2e.hub import Hub, running_hub
from tests.e2e.surfaces import READS, Headers

SECRET = "0123456789abcdef0123456789abcdef"
CONFIG = f"""
auth: {{jwt: {{secret: {SECRET}}}}}
url:
  all:
    pattern: /all
    handler: MessageHandler
    kwargs:
      table: notes
      columns: {{user: TEXT, recipient: TEXT, body: TEXT}}
      message_default: {{POST: {{user: "msg.get('by') or handler.current_user.id"}}}}
      auth: {{membership: {{role: admin}}}}
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      table: notes
      columns: {{user: TEXT, recipient: TEXT, body: TEXT}}
      message_default: {{PUT: {{user: "msg.get('user') or 'x'"}}}}
      rules:
        read: recipient=$user.mailboxes
        create: msg.get('body') != 'forbidden'
        update: recipient=$user.id
        delete: "handler.current_user.role == 'admin' and row['body'] != 'kept'"
  mine:
    pattern: /mine
    handler: MessageHandler
    kwargs:
      table: notes
      columns: {{user: TEXT, recipient: TEXT, body: TEXT}}
      open: args.update(recipient=[handler.current_user.id])
      auth: true
  closed:
    pattern: /closed
    handler: MessageHandler
    kwargs:
      table: notes
      columns: {{user: TEXT, recipient: TEXT, body: TEXT}}
      rules: {{read: none, create: none, update: none, delete: none}}
  own:
    pattern: /own
    handler: MessageHandler
    kwargs: {{columns: {{user: TEXT, body: TEXT}}, rules: {{update: own, delete: own}}}}
"""


def login(user: str, **claims: Any) -> Headers:
    claims = {"sub": user, "exp": int(time.time()) + 36_000, "mailboxes": [user, "team"], **claims}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET)}"}


ME, ADMIN, EVE = login("me"), login("root", role="admin"), login("eve", mailboxes=[])
OF_NOTHING = ("recipient=bob", "recipient!=me", "body*=secret", "_sort=body", "_c=recipient")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        asyncio.run(fill(hub))
        yield hub


async def fill(hub: Hub) -> None:
    for row_id, recipient, body in (
        ("mine", "me", "for me"),
        ("ours", "team", "for us"),
        ("theirs", "bob", "secret 1"),
        ("kept", "me", "kept"),
        ("gone", "bob", "secret 2"),
    ):
        assert (await write(hub, ADMIN, "POST", "all", row_id, recipient, body=body))[0] == 201
    assert (await write(hub, ADMIN, "DELETE", "all", "gone"))[0] == 200


async def write(
    hub: Hub,
    who: Headers,
    method: str,
    path: str,
    row_id: str,
    recipient: str | None = None,
    **message: Any,
) -> tuple[int, str]:
    """Return the status, and the code of the error."""
    sent = {"id": row_id, **message}
    if recipient is not None:
        sent["recipient"] = recipient
    status, reply = await request(method, f"{hub.url}/{path}", headers=who, json=sent)
    return status, reply.get("_error", {}).get("code", "")


@pytest.mark.parametrize("surface", [name for name in READS if not name.startswith("bare")])
async def test_no_surface_shows_a_row_outside_the_rule(hub: Hub, surface: str) -> None:
    read = READS[surface]
    assert "secret" in (await read(f"{hub.url}/all", ADMIN, "")).text, "else this cannot fail"
    for query in ("", *OF_NOTHING):
        code, text = await read(f"{hub.url}/notes", ME, query)
        assert (code, "secret" in text, "theirs" in text) == (None, False, False)
        assert query or ("for me" in text and "for us" in text)
    for who in (EVE, {}):
        code, text = await read(f"{hub.url}/notes", who, "")
        assert (code, "for" in text, "secret" in text) == (None, False, False)
    code, text = await read(f"{hub.url}/closed", ADMIN, "")
    assert (code, "for" in text, "secret" in text) == (None, False, False)


@pytest.mark.parametrize("message", [{}, {"_if_seq": 0}, {"_method": "PUT", "_upsert": True}])
async def test_who_may_not_create_a_row_does_not_learn_which_ids_are_taken(
    hub: Hub, message: Frame
) -> None:
    for who, path, body in (
        (ME, "notes", "forbidden"),
        (ADMIN, "closed", "x"),
        ({}, "closed", "x"),
    ):
        answers = set()
        for row_id in ("theirs", "never was", "gone"):
            sent = {"id": row_id, "body": body, **message}
            status, reply = await request("POST", f"{hub.url}/{path}", headers=who, json=sent)
            answers.add((status, str(reply).replace(row_id, "ID")))
        assert len(answers) == 1
        assert answers.pop()[0] == 403


@pytest.mark.parametrize("path", ["notes", "mine"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    "message", [{}, {"_if_seq": 1}, {"_if_seq": 0}, {"_key": "k"}, {"recipient": "me"}]
)
async def test_a_hidden_row_is_refused_like_one_that_is_not_there(
    hub: Hub, method: str, path: str, message: Frame
) -> None:
    answers = []
    for row_id in ("theirs", "never was", "gone"):
        sent = {"id": row_id, **message}
        status, reply = await request(method, f"{hub.url}/{path}", headers=ME, json=sent)
        answers.append((status, str(reply).replace(row_id, "ID")))
    assert len(set(answers)) == 1
    assert answers[0][0] in (404, 412)
    rows = {
        row["id"]: row["recipient"]
        for row in (await request("GET", f"{hub.url}/all", headers=ADMIN))[1]
    }
    assert rows["theirs"] == "bob"


async def test_the_id_of_a_hidden_row_cannot_be_used(hub: Hub) -> None:
    for sent in ({}, {"_upsert": True}):
        assert await write(hub, ME, "POST", "notes", "theirs", "me", **sent) == (403, "forbidden")
    assert await write(hub, ME, "POST", "notes", "mine", "me") == (409, "exists")


async def test_a_change_is_decided_before_and_after(hub: Hub) -> None:
    assert await write(hub, ME, "PUT", "notes", "mine", body="for me, again") == (200, "")
    assert await write(hub, ME, "PUT", "notes", "ours", "me") == (403, "forbidden")
    assert await write(hub, ME, "PUT", "notes", "mine", "bob") == (403, "forbidden")
    assert await write(hub, ME, "PUT", "notes", "mine", body="for me") == (200, "")


async def test_creating_and_deleting_have_rules_of_their_own(hub: Hub) -> None:
    assert await write(hub, ME, "POST", "notes", "f", "me", body="forbidden") == (403, "forbidden")
    assert await write(hub, ME, "POST", "notes", "new", "me", body="new") == (201, "")
    assert await write(hub, ME, "DELETE", "notes", "new") == (403, "forbidden")
    boss = login("me", role="admin")
    assert await write(hub, boss, "DELETE", "notes", "kept") == (403, "forbidden")
    assert await write(hub, boss, "DELETE", "notes", "new") == (200, "")
    for method, row_id in (("POST", "c"), ("PUT", "mine"), ("DELETE", "mine")):
        status, _ = await write(hub, ADMIN, method, "closed", row_id)
        assert status in (403, 404)


async def test_a_retry_of_an_own_write_gets_its_receipt(hub: Hub) -> None:
    """The row is the sender's no more, but what was stored stays stored."""
    sent = {"id": "sent", "recipient": "bob", "body": "to bob", "_key": "once"}
    for _ in range(2):
        status, reply = await request("POST", f"{hub.url}/notes", headers=ME, json=sent)
        assert status in (200, 201), reply


async def test_only_authors_change_and_delete_their_rows(hub: Hub) -> None:
    ann, bob = login("ann"), login("bob")
    assert await write(hub, ann, "POST", "own", "a", body="by ann") == (201, "")
    for who in (bob, {}):
        for method in ("PUT", "DELETE"):
            assert await write(hub, who, method, "own", "a", body="x") == (403, "forbidden")
    assert [row["body"] for row in (await request("GET", f"{hub.url}/own", headers=bob))[1]] == [
        "by ann"
    ]
    assert await write(hub, ann, "PUT", "own", "a", body="better") == (200, "")
    assert await write(hub, ann, "DELETE", "own", "a") == (200, "")


async def test_a_row_that_leaves_the_reach_is_deleted_and_one_that_comes_is_created(
    hub: Hub,
) -> None:
    await write(hub, ADMIN, "POST", "all", "moves", "bob", body="secret 3")
    async with connect(f"{hub.url}/notes?id=moves", headers=ME) as client:
        await client.replay()
        await write(hub, ADMIN, "PUT", "all", "moves", "me", body="handed over")
        frame = await client.receive()
        assert (frame["_method"], frame["body"]) == ("POST", "handed over")
        await write(hub, ADMIN, "PUT", "all", "moves", "bob", body="secret 4")
        frame = await client.receive()
        assert (frame["_method"], "secret" in str(frame)) == ("DELETE", False)
    await write(hub, ADMIN, "DELETE", "all", "moves")


async def test_a_socket_obeys_the_same_rules(hub: Hub) -> None:
    async with connect(f"{hub.url}/notes", headers=ME) as client:
        await client.replay()
        for message, code in (
            ({"_method": "PUT", "id": "theirs", "recipient": "me"}, "not_found"),
            ({"_method": "DELETE", "id": "mine"}, "forbidden"),
            ({"id": "theirs"}, "forbidden"),
            ({"_method": "PUT", "id": "theirs", "_revert": 1, "_if_seq": 3}, "not_found"),
        ):
            assert (await client.ask(message))["_error"]["code"] == code
