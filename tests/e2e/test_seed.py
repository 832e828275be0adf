"""Every example of the message handler's guide runs as printed, on a running hub.

The examples are kept word for word; where the guide lost a line's indentation, it is put back.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from textwrap import dedent, indent
from urllib.request import Request, urlopen

import jwt
import pytest

from tests.databases import Sqlite
from tests.e2e.client import connect, get, request
from tests.e2e.hub import Hub, HubFactory
from tests.integration.alerts.sink import Sink

SIMPLE = """
url:
  messagehandler/simple:
    pattern: /$YAMLURL/simple
    handler: MessageHandler
    kwargs:
      url: sqlite:///$YAMLPATH/messages.db
      table: simple
      columns:
        body: TEXT
"""

MY_MODULE = """
valid_users = {"Help": ["ann"]}

def my_prepare(msg, handler):
    allowed = valid_users.get(msg['topic'], [])
    if not handler.current_user or handler.current_user['id'] not in allowed:
        raise ValueError(f"You cannot write to {msg['topic']}")
"""
SECRET = "a secret of thirty-two bytes or more"


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """An SMTP server that takes everything."""
    async with Sink.running() as started:
        yield started


def config(kwargs: str, columns: str = "{body: TEXT, message: TEXT}", top: str = "") -> str:
    """An endpoint /messages with more kwargs."""
    body = indent(dedent(kwargs).strip("\n"), "      ")
    return f"""{top}
url:
  messages:
    pattern: /messages
    handler: MessageHandler
    kwargs:
      columns: {columns}
{body}
"""


def mail_through(sink: Sink) -> str:
    """The `email:` section for a sink."""
    service = f"type: smtp, host: 127.0.0.1, port: {sink.port}, tls: false"
    return f"email: {{local: {{{service}, email: hub@example.org}}}}"


def bearer(user: str) -> dict[str, str]:
    return {
        "Authorization": "Bearer "
        + jwt.encode({"sub": user, "exp": int(time.time()) + 36_000}, SECRET, "HS256")
    }


WITH_USERS = f"auth: {{jwt: {{secret: {SECRET!r}}}}}"


async def test_the_first_configuration_stores_and_broadcasts(hub_factory: HubFactory) -> None:
    hub = hub_factory(SIMPLE)
    async with connect(f"{hub.url}/simple", bare=True) as client:
        await client.send({"_method": "POST", "body": "Hello"})
        frame = await client.receive()
    assert frame["body"] == "Hello"
    [row] = await get(f"{hub.url}/simple")
    assert list(row) == ["body", "id", "user", "timestamp"]
    messages = Sqlite(hub.folder / "messages.db")
    async with asyncio.timeout(40):
        while not messages.fetch("select * from simple"):
            await asyncio.sleep(0.01)
    assert messages.fetch("select * from simple") == [tuple(row.values())]


@pytest.mark.parametrize(
    ("query", "bodies"),
    [
        ("?topic=Help", ["a", "b"]),
        ("?timestamp>=2023-03-01", ["b", "c"]),
        ("?user=user@example.org", []),
        ("?topic=Help&timestamp>=2023", ["a", "b"]),
    ],
)
async def test_filters_restrict_what_is_received(
    filled: Hub, query: str, bodies: list[str]
) -> None:
    async with connect(f"{filled.url}/messages{query}") as client:
        assert [row["body"] for row in await client.replay()] == bodies


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with messages of several topics and times."""
    folder = tmp_path_factory.mktemp("seed")
    (folder / "eventhub.yaml").write_text(config("", "{body: TEXT, topic: TEXT}"))
    hub = Hub(folder / "eventhub.yaml", folder, [])
    hub.start()
    rows = [("a", "Help", "2023-02-01"), ("b", "Help", "2023-04-01"), ("c", "Sales", "2023-05-01")]
    for body, topic, timestamp in rows:
        _post(hub, {"body": body, "topic": topic, "timestamp": timestamp})
    yield hub
    hub.kill()


def _post(hub: Hub, message: dict[str, str]) -> None:
    with urlopen(Request(f"{hub.url}/messages", json.dumps(message).encode(), method="POST")):
        pass


async def test_open_logs_the_user(hub_factory: HubFactory) -> None:
    kwargs = "open: logging.info('MessageHandler opened by %s', handler_current_user)"
    hub = hub_factory(config(kwargs))
    async with connect(f"{hub.url}/messages") as client:
        await client.replay()
    assert "MessageHandler opened by None" in hub.stderr()


async def test_open_restricts_to_the_users_messages(hub_factory: HubFactory) -> None:
    kwargs = "open: args.update(recipient=[handler.current_user.id])"
    hub = hub_factory(config(kwargs, "{body: TEXT, recipient: TEXT}", WITH_USERS))
    url = f"{hub.url}/messages"
    async with (
        connect(url, headers=bearer("ann")) as ann,
        connect(f"{url}?recipient=ann", headers=bearer("bob")) as bob,
    ):
        await ann.replay()
        await bob.replay()
        await bob.ask({"recipient": "ann", "body": "for ann"})
        await ann.ask({"recipient": "bob", "body": "for bob"})
        for client in (ann, bob):
            while not client.table:
                await client.receive()
        assert [row["body"] for row in ann.table.values()] == ["for ann"]
        assert [row["body"] for row in bob.table.values()] == ["for bob"]
    async with connect(url, bare=True) as nobody:
        assert (await nobody.receive())["_error"]["code"] == "internal"


async def test_open_restricts_by_time(hub_factory: HubFactory) -> None:
    kwargs = """
    open: >
      args.update({"timestamp>~": ["2023-04"]})
    """
    hub = hub_factory(config(kwargs))
    for timestamp in ("2023-03-31", "2023-04-01"):
        await request("POST", f"{hub.url}/messages", json={"timestamp": timestamp})
    async with connect(f"{hub.url}/messages") as client:
        assert [row["timestamp"] for row in await client.replay()] == ["2023-04-01T00:00:00"]


async def test_message_default(hub_factory: HubFactory) -> None:
    kwargs = """
    message_default:
      POST:
        to: f'all@example.org'
        length: msg['message'].length
        session: handler.session['id']
      PUT:
        length: msg['message'].length
    """
    columns = "{message: TEXT, to: TEXT, length: INTEGER, session: TEXT}"
    hub = hub_factory(config(kwargs, columns))
    async with connect(f"{hub.url}/messages") as client:
        await client.replay()
        row_id = (await client.write({"message": "four", "to": "me", "length": 77}))["id"]
        row = client.table[row_id]
        assert (row["to"], row["length"]) == ("all@example.org", 4)
        assert len(row["session"]) > 10
        await client.write({"_method": "PUT", "id": row_id, "message": "seven!!"})
        assert client.table[row_id]["length"] == 7
        reply = await client.ask({"_method": "PUT", "id": row_id})
        assert reply["_error"]["code"] == "internal"


async def test_the_built_in_defaults_as_the_guide_spells_them(hub_factory: HubFactory) -> None:
    kwargs = """
    message_default:
      POST:
        id: base64.urlsafe_b64encode(uuid.uuid4().bytes).strip(b"=").decode('utf-8')
        user: handler.current_user.get('id', None) if handler.current_user else None
        timestamp: datetime.datetime.utcnow().isoformat()
    """
    hub = hub_factory(config(kwargs, top=WITH_USERS))
    url = f"{hub.url}/messages"
    assert (await request("POST", url, json={"body": "x"}))[0] == 201
    assert (await request("POST", url, json={"body": "y"}, headers=bearer("ann")))[0] == 201
    rows = await get(url)
    assert [row["user"] for row in rows] == [None, "ann"]
    assert all(len(row["id"]) == 22 and row["timestamp"] > "2026" for row in rows)


@pytest.mark.parametrize(("hook", "stored"), [("prepare", "MSG: hi"), ("modify", "hi")])
async def test_prepare_and_modify(hub_factory: HubFactory, hook: str, stored: str) -> None:
    kwargs = f"""
    {hook}: >
      msg.update(message='MSG: ' + msg['message']) if msg['_method'] == 'POST' else ''
    """
    hub = hub_factory(config(kwargs))
    async with connect(f"{hub.url}/messages") as client:
        await client.replay()
        row_id = (await client.write({"message": "hi"}))["id"]
        assert client.table[row_id]["message"] == "MSG: hi"
        [row] = await get(f"{hub.url}/messages")
        assert row["message"] == stored
        assert "_ack" in await client.ask({"_method": "DELETE", "id": row_id})


async def test_prepare_in_a_module_refuses(hub_factory: HubFactory) -> None:
    kwargs = "prepare: mymodule.my_prepare(msg, handler)"
    text = config(kwargs, "{topic: TEXT}", WITH_USERS)
    hub = hub_factory(text, files={"mymodule.py": MY_MODULE})
    url = f"{hub.url}/messages"
    async with connect(url, headers=bearer("ann")) as ann, connect(url) as nobody:
        await ann.replay()
        await nobody.replay()
        assert "_ack" in await ann.ask({"topic": "Help"})
        reply = (await nobody.ask({"topic": "Help"}))["_error"]
        assert (reply["code"], reply["message"]) == ("refused", "You cannot write to Help")


async def test_alert_template_imports_pandas(hub_factory: HubFactory, sink: Sink) -> None:
    kwargs = """
    alert:
      to: "{{ to }}"
      subject: "Message: {{ body }}"
      html: >
        {% import pandas as pd %}
        {% import time %}
        <p>Message from {{ user }} at {{ pd.to_datetime(time.time() * 1E9).strftime('%d %b %Y %H:%M') }}.</p>
        <p>{{ body }}</p>
    """  # noqa: E501 - as printed
    email = mail_through(sink)
    hub = hub_factory(config(kwargs, "{body: TEXT, to: TEXT}", email))
    message = {"to": "ann@example.org", "body": "<Hello> & bye"}
    assert (await request("POST", f"{hub.url}/messages", json=message))[0] == 201
    [taken] = await sink.has(1)
    assert taken.mail["Subject"] == "Message: <Hello> & bye"
    assert taken.recipients == ["ann@example.org"]
    html = taken.mail.get_body(("html",))
    assert html is not None
    assert "<p>&lt;Hello&gt; &amp; bye</p>" in html.get_content()
    assert datetime.now(UTC).strftime("%d %b %Y") in html.get_content()


async def test_alerts_for_other_methods(hub_factory: HubFactory, sink: Sink) -> None:
    kwargs = """
    alert:
      methods: [POST, PUT, DELETE]
      to: ann@example.org
      subject: "{{ _method }}"
    """
    email = mail_through(sink)
    hub = hub_factory(config(kwargs, top=email))
    url = f"{hub.url}/messages"
    row_id = (await request("POST", url, json={"body": "x"}))[1]["id"]
    await request("PUT", url, json={"id": row_id, "body": "y"})
    await request("DELETE", url, json={"id": row_id})
    subjects = [taken.mail["Subject"] for taken in await sink.has(3)]
    assert sorted(subjects) == ["DELETE", "POST", "PUT"]
