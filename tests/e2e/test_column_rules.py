"""A column that a rule hides is no column: on no surface, in no error, and for no write."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from tests.e2e.client import Frame, connect, request
from tests.e2e.command import run, written
from tests.e2e.hub import Hub, running_hub
from tests.e2e.surfaces import OTHER_READS, READS, ROW_ID, Headers

KEY = "0123456789abcdef0123456789abcdef"
IS_HR = "handler.current_user.role == 'hr'"


def endpoint(name: str, more: str = "") -> str:
    return f"""
  {name}:
    pattern: /{name}
    handler: MessageHandler
    kwargs:
      table: people
      columns:
        recipient: TEXT
        name: TEXT
        salary: {{type: INTEGER, default: 4000}}
        tip: TEXT
        stars: INTEGER
        state: TEXT
      auth: true
      rules:
        columns:
          salary: {{read: "{IS_HR}"}}
          tip: {{read: "{IS_HR}", write: any}}
          stars: {{write: "{IS_HR}"}}
          state: {{write: "row['user'] == handler.current_user.id"}}
{more}"""


ANONYMOUS = """
  anonymous:
    pattern: /anonymous
    handler: MessageHandler
    kwargs:
      table: people
      columns: {recipient: TEXT, name: TEXT}
      auth: true
      timestamps: [hub, z]
      rules: {columns: {user: {read: none}, timestamp: {read: none}, salary: {read: none}}}"""
CONFIG = "\n".join(
    [
        f"auth: {{jwt: {{secret: {KEY}}}}}",
        "url:",
        endpoint("people"),
        endpoint("strict", "      unknown: refuse"),
        endpoint("paid", "      open: \"args.update({'salary>': ['3000'], '_c': ['-salary']})\""),
        endpoint("copied", '      open: "args.update({k: list(v) for k, v in args.items()})"'),
        endpoint("hooked", "      prepare: msg.update(salary=len(msg.get('name', '')))"),
        ANONYMOUS,
        endpoint("broken", "      message_default: {POST: {salary: \"'lots of 7777'\"}}"),
    ]
)


def login(user: str, role: str) -> Headers:
    claims = {"sub": user, "exp": int(time.time()) + 36_000, "role": role}
    return {"Authorization": f"Bearer {jwt.encode(claims, KEY)}"}


ME, HR, BOB = login("me", "staff"), login("author", "hr"), login("bob", "staff")
HIDDEN = ("salary", "98765432", "tip", "psst")
"""Names and values of hidden columns."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        asyncio.run(fill(hub))
        yield hub


async def fill(hub: Hub) -> None:
    hidden: Frame = {"salary": 987654320, "tip": "psst"}
    assert await write(hub, HR, "POST", id=ROW_ID, name="Ann", recipient="me", **hidden) == ""
    assert await write(hub, HR, "PUT", id=ROW_ID, salary=987654321, tip="psst!") == ""
    assert await write(hub, HR, "PUT", id=ROW_ID, salary=987654322, name="Anne") == ""
    assert await write(hub, HR, "POST", id="gone", salary=987654323, name="Gone") == ""
    assert await write(hub, HR, "DELETE", id="gone") == ""


async def ask(
    hub: Hub, who: Headers, method: str, path: str = "people", **sent: Any
) -> tuple[int, Frame]:
    return await request(method, f"{hub.url}/{path}", headers=who, json=sent)


async def write(hub: Hub, who: Headers, method: str, path: str = "people", **sent: Any) -> str:
    """Return the code of the error, or nothing."""
    return str((await ask(hub, who, method, path, **sent))[1].get("_error", {}).get("code", ""))


async def row(hub: Hub, row_id: str, who: Headers = HR) -> Frame:
    found: Frame = (await request("GET", f"{hub.url}/people/{row_id}", headers=who))[1]
    return found


@pytest.mark.parametrize("surface", [*READS, *OTHER_READS])
async def test_no_surface_shows_a_hidden_column(hub: Hub, surface: str) -> None:
    read = {**READS, **OTHER_READS}[surface]
    code, text = await read(f"{hub.url}/people", HR, "")
    assert code is None
    # A history's lines name no column that did not change.
    assert all(each in text for each in ("salary", "98765432")), "else this cannot fail"
    for path in ("people", "paid"):
        code, text = await read(f"{hub.url}/{path}", ME, "")
        assert code is None, text
        assert not [each for each in HIDDEN if each in text]
        assert "Anne" in text


@pytest.mark.parametrize("path", ["people", "strict"])
@pytest.mark.parametrize(
    "query",
    [
        *("NAME>=4000", "NAME=987654322", "NAME!", "NAME>~=1&_limit=1", "NAME*=43"),
        *("_sort=NAME", "_sort=-NAME", "_c=NAME", "_c=-NAME", "_c=name&_c=NAME", "NAME.x=1"),
    ],
)
async def test_a_hidden_column_is_answered_like_one_that_is_not_there(
    hub: Hub, path: str, query: str
) -> None:
    answers = []
    for name in ("salary", "vatary"):
        answer = await request("GET", f"{hub.url}/{path}?{query.replace('NAME', name)}", headers=ME)
        answers.append((answer[0], str(answer[1]).replace(name, "NAME")))
    assert answers[0] == answers[1]
    assert (await request("GET", f"{hub.url}/{path}?salary>=4000", headers=HR))[0] == 200


@pytest.mark.parametrize("surface", [*READS, *OTHER_READS])
async def test_the_author_and_the_time_of_a_row_can_be_hidden(hub: Hub, surface: str) -> None:
    read = {**READS, **OTHER_READS}[surface]
    code, text = await read(f"{hub.url}/anonymous", HR, "")
    assert code is None, text
    assert "Anne" in text
    text = text.replace("timestamp[us", "")  # the type of `_time`
    assert not [each for each in ("author", "timestamp", "salary") if each in text]
    shown = (await read(f"{hub.url}/people", HR, "")).text
    assert "author" in shown, "else this cannot fail"


async def test_the_description_names_no_hidden_column(hub: Hub) -> None:
    for who, is_named in ((HR, True), (ME, False), (HR, True)):
        status, described = await request("GET", f"{hub.url}/openapi.json", headers=who)
        assert (status, "stars" in str(described)) == (200, True)
        assert ("salary" in str(described)) is is_named


async def test_no_error_suggests_a_hidden_column(hub: Hub) -> None:
    for query in ("salry=1", "_sort=salry", "_c=salry", "Salary=1", "salary[x]=1", "tpi>=1"):
        status, reply = await request("GET", f"{hub.url}/strict?{query}", headers=ME)
        assert status == 400
        assert "salary" not in str(reply).replace(query.partition("=")[0], "")
        status, reply = await request("GET", f"{hub.url}/strict?{query}", headers=HR)
        assert "salary" in str(reply) or "tip" in str(reply), "else this cannot fail"


async def test_a_hook_that_copies_arguments_opens_no_oracle(hub: Hub) -> None:
    for who, status in ((ME, 500), (HR, 200)):
        answer = await request("GET", f"{hub.url}/copied?salary>=1", headers=who)
        assert answer[0] == status
        assert answer[0] == 200 or "salary" not in str(answer[1])


async def test_a_live_client_gets_what_it_may_read_and_not_more(hub: Hub) -> None:
    url = f"{hub.url}/people"
    async with (
        connect(f"{url}?id=live", headers=ME) as me,
        connect(f"{url}?id=live&_replay=log", headers=ME) as log,
        connect(f"{url}?id=live", headers=HR) as boss,
    ):
        for client in (me, log, boss):
            await client.replay()
        for method, sent in (
            ("POST", {"name": "L", "salary": 1, "tip": "a"}),
            ("PUT", {"salary": 2}),
            ("PUT", {"tip": "b", "salary": 2}),
            ("PUT", {"name": "M", "salary": 3}),
            ("DELETE", {}),
        ):
            assert await write(hub, HR, method, id="live", **sent) == ""
        seen = [await boss.receive() for _ in range(5)]
        assert [frame.get("salary") for frame in seen] == [1, 2, 2, 3, None]
        for client in (me, log):
            frames = await client.until(lambda frame: frame.get("_method") == "DELETE")
            assert [frame["_method"] for frame in frames] == ["POST", "PUT", "DELETE"]
            assert "salary" not in str(frames)
            assert "tip" not in str(frames)


async def test_a_waiting_poll_is_not_answered_by_a_hidden_change(hub: Hub) -> None:
    url = f"{hub.url}/people"
    await write(hub, HR, "POST", id="polled", salary=1)
    async with aiohttp.ClientSession(headers=ME) as session:
        async with session.get(f"{url}?id=polled") as answer:
            position = answer.headers["EventHub-Position"]
        await write(hub, HR, "PUT", id="polled", salary=2)
        async with session.get(f"{url}?id=polled&_since={position}&_wait=0.2") as answer:
            assert await answer.json() == []
            assert answer.headers["EventHub-Position"] != position, "it goes on after the change"


@pytest.mark.parametrize("is_live", [False, True], ids=["HTTP", "WebSocket"])
async def test_a_value_for_a_hidden_column_is_like_one_for_no_column(
    hub: Hub, is_live: bool
) -> None:
    """The row gets the default or keeps its value; the broadcast has neither key."""
    answers = []
    async with connect(f"{hub.url}/people", headers=HR) as boss:
        await boss.replay()
        for index, name in enumerate(("salary", "vatary")):
            row_id = f"new {is_live} {index}"
            for sent in (
                {"id": row_id, "name": "N", name: 5},
                {"_method": "PUT", "id": row_id, name: "x"},
            ):
                if is_live:
                    async with connect(f"{hub.url}/people?id={row_id}", headers=ME) as me:
                        await me.replay()
                        reply = await me.write(sent) if "name" in sent else await me.ask(sent)
                        echo = [me.table[row_id].get(key) for key in ("name", name)]
                        reply = {**reply, "echo": echo}
                else:
                    _, reply = await ask(hub, ME, "POST", **sent)
                answers.append(str({**reply, "_seq": 0}).replace(name, "K").replace(row_id, "ID"))
            assert (await row(hub, row_id))["salary"] == 4000
            heard = await boss.until(lambda f: f.get("_method") == "PUT")
            assert not [f for f in heard if f.get("salary") not in (None, 4000) or "vatary" in f]
    assert answers[:2] == answers[2:]
    assert "'ignored': ['K']" in answers[0]
    for name in ("salary", "vatary"):
        status, reply = await ask(hub, ME, "POST", "strict", name="N", **{name: 5})
        assert (status, reply["_error"]["code"]) == (400, "bad_value")
        text = str(reply).replace(name, "K")
        assert "choose among recipient, name, stars, state, id, user, timestamp" in text


async def test_a_put_keeps_what_its_sender_cannot_see(hub: Hub) -> None:
    await write(hub, HR, "POST", id="kept", name="K", salary=9, tip="t")
    assert await write(hub, ME, "PUT", id="kept", name="K2") == ""
    whole = await row(hub, "kept", ME)
    assert await write(hub, ME, "PUT", id="kept", name=whole["name"] + "!") == ""
    after = await row(hub, "kept")
    assert (after["name"], after["salary"], after["tip"]) == ("K2!", 9, "t")


async def test_a_column_may_be_written_and_not_read(hub: Hub) -> None:
    assert await write(hub, ME, "POST", id="box", tip="the butler") == ""
    assert (await row(hub, "box"))["tip"] == "the butler"
    assert "tip" not in await row(hub, "box", ME)
    assert await write(hub, ME, "PUT", id="box", tip="the gardener") == ""
    assert (await row(hub, "box"))["tip"] == "the gardener"


async def test_a_visible_column_that_may_not_be_written_is_forbidden_by_name(hub: Hub) -> None:
    assert await write(hub, ME, "POST", id="starry", name="S") == ""
    for method, sent in (("POST", {"id": "s2"}), ("PUT", {"id": "starry"})):
        status, reply = await ask(hub, ME, method, stars=5, **sent)
        assert (status, reply["_error"]["column"]) == (403, "stars")
        assert await write(hub, ME, method, stars=None, **sent) == "forbidden"
    assert await write(hub, HR, "PUT", id="starry", stars=5) == ""
    assert (await row(hub, "starry", ME))["stars"] == 5
    # of one row mine, of another not
    assert await write(hub, ME, "PUT", id="starry", state="done") == ""
    assert await write(hub, BOB, "PUT", id="starry", state="open") == "forbidden"
    assert await write(hub, BOB, "PUT", id="starry", name="S2") == ""


async def test_a_retry_gets_its_first_receipt(hub: Hub) -> None:
    sent: Frame = {"id": "once", "salary": 7, "_key": "k"}
    replies = [await ask(hub, ME, "POST", **sent) for _ in range(2)]
    assert [status for status, _ in replies] == [201, 200]
    assert replies[0][1]["_seq"] == replies[1][1]["_seq"]
    _, reply = await ask(hub, ME, "POST", **{**sent, "salary": 8})
    assert reply["_error"]["code"] == "bad_control", "another message"


async def test_hooks_may_write_what_their_sender_may_not(hub: Hub) -> None:
    assert await write(hub, ME, "POST", "hooked", id="hook", name="four", salary=1) == ""
    assert (await row(hub, "hook"))["salary"] == 4


async def test_a_value_of_the_operator_that_does_not_fit_is_not_told(hub: Hub) -> None:
    status, reply = await ask(hub, ME, "POST", "broken", name="N")
    assert status == 500
    assert not [each for each in ("salary", "7777") if each in str(reply)]
    assert "hidden_column_unfit" in hub.stderr()


async def test_a_revert_restores_no_hidden_value(hub: Hub) -> None:
    _, first = await ask(hub, HR, "POST", id="back", name="A", salary=1, stars=1)
    _, last = await ask(hub, HR, "PUT", id="back", name="B", salary=2)
    asked = {"id": "back", "_revert": first["_seq"]}
    assert await write(hub, ME, "PUT", **asked, _if_seq=last["_seq"]) == ""
    now = await row(hub, "back")
    assert (now["name"], now["salary"]) == ("A", 2)
    _, last = await ask(hub, HR, "PUT", id="back", stars=2)
    assert await write(hub, ME, "PUT", **asked, _if_seq=last["_seq"]) == "forbidden"
    _, last = await ask(hub, ME, "DELETE", id="back")
    asked = {"id": "back", "_revert": last["_seq"] - 1, "_if_seq": last["_seq"]}
    _, reply = await ask(hub, ME, "PUT", **asked)
    assert "ignored" not in reply
    assert (await row(hub, "back"))["salary"] == 2


def checked(folder: Path, rules: str) -> str:
    """Return what `eventhub check` says of some `rules: columns:`, which begin in line 10."""
    config = f"""url:
  people:
    pattern: /people
    handler: MessageHandler
    kwargs:
      columns: {{name: TEXT, salary: INTEGER, stars: INTEGER}}
      default: {{_sort: name}}
      rules:
        columns:
{rules}"""
    done = run("check", written(folder, config))
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_check_reports_a_rule_that_means_nothing(tmp_path: Path) -> None:
    for rules, *said in (
        (
            """
          name:
          salary:
            read:
            wirte: none
          stars: hidden
""",
            "11: url.people.kwargs.rules.columns.name: the rule is blank; write read or write",
            "13: url.people.kwargs.rules.columns.salary.read: read is blank; write any, none or",
            "14: url.people.kwargs.rules.columns.salary: unknown key 'wirte' (did you mean",
            "15: url.people.kwargs.rules.columns.stars: expected a mapping",
        ),
        (
            """
          salry: {read: none}
""",
            "11: url.people.kwargs.rules.columns.salry: 'salry' is not a column: did you mean sal",
        ),
        (
            """
          id: {read: none}
""",
            "11: url.people.kwargs.rules.columns.id: frames and writes name their row by id",
        ),
        (
            """
          stars:
            read: handler.current_user.role ==
""",
            "12: url.people.kwargs.rules.columns.stars.read: not a Python expression",
        ),
        (
            """
          name: {read: none}
""",
            "7: url.people.kwargs.default._sort: `rules: columns:` may hide",
        ),
    ):
        output = checked(tmp_path, rules)
        assert not [line for line in said if f"eventhub.yaml:{line}" not in output], output
