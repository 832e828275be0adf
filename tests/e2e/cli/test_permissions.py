"""A hub whose parts are users of a nats-server, each allowed what its role needs, works entirely.

The server is a real one, over TLS with certificates of both sides.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from eventhub.jetstream.certificates import TlsFiles
from eventhub.jetstream.permissions import PREFIX, ROLES, USERS
from tests.e2e.client import connect, request
from tests.e2e.command import GOOD, output, refused, run, written
from tests.e2e.hub import DEADLINE_SECONDS, Hub, HubFactory
from tests.e2e.reload import said, until
from tests.e2e.test_recording import SECRET, entries, login
from tests.e2e.test_tls import make_certificate
from tests.integration.alerts.sink import Sink
from tests.nats_server import nats_server

pytestmark = pytest.mark.usefixtures("collected")
PASSWORDS = {f"EVENTHUB_{user.upper()}": f'"12-{user}"' for user in USERS}
ACCOUNTS = """
accounts: {
  HUB: { jetstream: enabled, include users.conf }
  OTHER: { users: [{ user: o, password: o }] }
}
"""
CONFIG = """
log: {{format: json}}
server: {{admin: {{port: 0}}}}
auth: {{jwt: {{secret: {secret}}}, session: {{secret: {secret}}}}}
email: {{sink: {{type: smtp, host: 127.0.0.1, port: {port}, email: hub@example.org}}}}
archive: {{to: archive, every: 1s}}
projection: {{snapshots: {{every: 20}}}}
broker:
  url: {url}
  user: eventhub-{user}
  password: 12-{user}
  ca_file: {folder}/hub.pem
  cert_file: {folder}/hub.pem
  key_file: {folder}/hub.key
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {{body: TEXT}}
      alert: {{to: ann@example.org, subject: "{{{{ body }}}}"}}
      log: {{keep: 1s}}
  plain:
    pattern: /plain
    handler: MessageHandler
    kwargs: {{columns: {{body: TEXT}}, send: true, presence: true}}
  mirrored:
    pattern: /mirrored
    handler: MessageHandler
    kwargs: {{url: "sqlite:///{folder}/old.db", columns: {{body: TEXT}}}}
  audit:
    pattern: /audit
    handler: MessageHandler
    kwargs: {{table: _audit, auth: {{membership: {{role: auditor}}}}}}
  sql: {{pattern: /sql, handler: SQLHandler}}
"""


class Site:
    """A nats-server with the users of a hub."""

    def __init__(self, folder: Path, url: str, port: int) -> None:
        self.folder = folder
        self.url = url
        self._port = port

    def text(self, user: str) -> str:
        """Return the configuration of a process that is one of the users."""
        names = {"folder": self.folder, "url": self.url, "port": self._port, "secret": SECRET}
        return CONFIG.format(user=user, **names)

    @asynccontextmanager
    async def client(self, user: str, password: str | None = None) -> AsyncIterator["Guest"]:
        """Connect as a user, with a client that is none of the hub."""
        pem, key = str(self.folder / "hub.pem"), str(self.folder / "hub.key")
        guest = Guest()
        await guest.client.connect(
            self.url,
            user=user,
            password=password or f"12-{user.removeprefix(PREFIX)}",
            tls=TlsFiles(pem, pem, key).context(),
            inbox_prefix=f"_INBOX.{user}",
            error_cb=guest.on_error,
        )
        try:
            yield guest
        finally:
            await guest.client.close()


class Guest:
    """A client that asks for what its user may not have."""

    def __init__(self) -> None:
        self.client = Client()
        self._errors: asyncio.Queue[str] = asyncio.Queue()

    async def on_error(self, error: Exception) -> None:
        await self._errors.put(str(error))

    async def refused(self) -> str:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self._errors.get()


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink.running() as started:
        yield started


@pytest.fixture
def site(tmp_path: Path, sink: Sink) -> Iterator[Site]:
    with running_site(tmp_path / "nats", sink.port) as made:
        yield made


@contextmanager
def running_site(folder: Path, port: int) -> Iterator[Site]:
    """Run a nats-server with the users that the command prints."""
    folder.mkdir()
    made = Site(folder, "tls://127.0.0.1:1", port)
    (folder / "eventhub.yaml").write_text(made.text("hub"))
    printed = output("nats-permissions", folder / "eventhub.yaml")
    assert "12-" not in printed
    (folder / "users.conf").write_text(printed)
    make_certificate(folder, "nats")
    pair = {"cert_file": f"{folder}/hub.pem", "key_file": f"{folder}/hub.key"}
    config = {
        "max_payload": 9_000_000,
        "jetstream": {"store_dir": str(folder)},
        "tls": pair | {"ca_file": f"{folder}/hub.pem", "verify": True},
    }
    with nats_server(folder, config, text=ACCOUNTS, environment=PASSWORDS) as url:
        made.url = url.replace("nats://", "tls://")
        yield made


async def works(hub: Hub) -> None:
    """Wait until a process without a gateway says that it works."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while '"serving"' not in hub.stderr():
            assert hub.process is not None
            assert hub.process.poll() is None, hub.stderr()
            await asyncio.sleep(0.02)


async def test_every_part_of_a_hub_works_with_the_rights_of_its_role(
    site: Site, sink: Sink, hub_factory: HubFactory, tmp_path: Path
) -> None:
    parts = []
    try:
        for role in ("projector", "alerts", "archiver"):
            folder = tmp_path / role
            folder.mkdir()
            (folder / "eventhub.yaml").write_text(site.text(role))
            parts.append(Hub(folder / "eventhub.yaml", folder, ["--role", role]))
            parts[-1].launch()
            await works(parts[-1])
        gateway = await asyncio.to_thread(hub_factory, site.text("gateway"), role=["gateway"])
        for path in ("notes", "plain", "mirrored"):
            message = {"id": "a", "body": "x"}
            assert (await request("POST", f"{gateway.url}/{path}", json=message))[0] == 201
        await sends(gateway)
        rows = [{"id": f"n{number}", "body": str(number)} for number in range(50)]
        assert (await request("POST", f"{gateway.url}/plain", json=rows))[0] == 200
        await sink.has(1)
        await is_trimmed(gateway, parts[0])
        sql = "SELECT count(*) AS n FROM plain"
        _, answer = await request("GET", f"{gateway.url}/sql?min_seq=plain%3D51&sql={sql}")
        assert answer == [{"n": 51}]
        found = await entries(gateway, least=2)
        assert [each["action"] for each in found] == ["configured", "queried"]
        archived = tmp_path / "archiver" / "archive" / "plain"
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not any(archived.rglob("*.parquet")):
                await asyncio.sleep(0.02)
        await commands(site, tmp_path)
        await begins_with_stored_tables(gateway, parts[0])
        hubs = [*parts, gateway]
        assert [await asyncio.to_thread(each.stop) for each in hubs] == [0, 0, 0, 0]
        for unwanted in ("permission", "eof_received"):
            assert [each.stderr() for each in hubs if unwanted in each.stderr()] == []
    finally:
        for part in parts:
            part.kill()


async def is_trimmed(gateway: Hub, projector: Hub) -> None:
    """Change a row, until the projector has sealed and trimmed its first event."""
    message = {"id": "a", "body": "y"}
    assert (await request("PUT", f"{gateway.url}/notes", json=message))[0] == 200
    await until(lambda: any(line["last"] >= 2 for line in said(projector, "stream_trimmed")))
    async with connect(f"{gateway.url}/notes?_replay=log&_since=earliest") as client:
        frames = await client.replay()
    assert [frame["_method"] for frame in frames[1:]] == ["POST", "PUT"]


async def sends(hub: Hub) -> None:
    """Send what is not stored, until it comes back."""
    async with connect(f"{hub.url}/plain?_since=now&_presence") as client:
        await client.until(lambda frame: frame.get("_presence", {}).get("anonymous") == 1)
        assert "_ack" in await client.ask({"_method": "SEND", "body": "x"})
        if not client.sent:
            await client.until(lambda frame: frame.get("_method") == "SEND")


async def begins_with_stored_tables(gateway: Hub, projector: Hub) -> None:
    """Empty a gateway, which takes over the tables that the projector has stored."""
    await until(lambda: bool(said(projector, "snapshot_stored")))
    assert await asyncio.to_thread(gateway.stop) == 0
    shutil.rmtree(gateway.folder / "data")
    await asyncio.to_thread(gateway.start)
    assert len(said(gateway, "snapshot_loaded")) == 1


async def commands(site: Site, tmp_path: Path) -> None:
    """Run commands as their user, with tables of their own."""
    folder = tmp_path / "commands"
    folder.mkdir()
    file = folder / "eventhub.yaml"
    file.write_text(site.text("commands"))
    for command in (
        ("rebuild", file),
        ("verify", file),
        ("revert", file, "plain", "a", 0),
        ("export", file, "notes", "--events", "--to", folder / "notes"),
        ("alerts", "list", file),
        ("token", file, "create", "--user", "robot"),
    ):
        done = await asyncio.to_thread(run, *command)
        assert done.returncode == 0, (command, done)
        assert "permission" not in done.stderr
        assert "eof_received" not in done.stderr


async def test_a_hub_in_one_process_is_a_user_too(site: Site, hub_factory: HubFactory) -> None:
    hub = await asyncio.to_thread(hub_factory, site.text("hub"))
    assert (await request("POST", f"{hub.url}/notes", json={"body": "x"}))[0] == 201
    _, rows = await request("GET", f"{hub.url}/notes", headers=login("ann"))
    assert [row["body"] for row in rows] == ["x"]
    await sends(hub)
    assert "permission" not in hub.stderr()


async def test_a_backup_is_made_and_restored_with_the_rights_of_its_user(
    site: Site, sink: Sink, hub_factory: HubFactory, tmp_path: Path
) -> None:
    """A gateway, which may change no stream, then works at the server that was restored."""
    hub = await asyncio.to_thread(hub_factory, site.text("hub"))
    for path in ("notes", "plain"):
        assert (await request("POST", f"{hub.url}/{path}", json={"body": path}))[0] == 201
    file, archive = tmp_path / "backup.yaml", tmp_path / "hub.zip"
    with running_site(tmp_path / "other", sink.port) as other:
        for command, place in (("backup", site), ("restore", other)):
            file.write_text(place.text("backup"))
            done = await asyncio.to_thread(run, command, file, archive, "--data", tmp_path / "none")
            assert done.returncode == 0, done
        gateway = await asyncio.to_thread(hub_factory, other.text("gateway"), role=["gateway"])
        for path in ("notes", "plain"):
            _, rows = await request("GET", f"{gateway.url}/{path}", headers=login("ann"))
            assert [row["body"] for row in rows] == [path]
        assert "permission" not in gateway.stderr()
        await asyncio.to_thread(gateway.kill)


async def test_each_user_is_refused_what_its_role_does_not_need(
    site: Site, hub_factory: HubFactory
) -> None:
    await asyncio.to_thread(hub_factory, site.text("hub"))
    for user in (*ROLES, "hub", "commands"):
        forbidden = [
            "$JS.API.STREAM.DELETE.EH_plain",
            "$JS.API.STREAM.PURGE.EH_plain",
            "$JS.API.STREAM.MSG.DELETE.EH_plain",
            "$JS.API.STREAM.SNAPSHOT.EH_plain",
            "$JS.API.STREAM.LIST",
            "$JS.API.STREAM.CREATE.OTHER",
            "$JS.API.CONSUMER.DELETE.EH_notes.alerts",
            "eh.other.a",
            "eh-now.notes.sent",
            "eh-now.processes.sent",
            "$JS.API.STREAM.DELETE.OBJ_EVENTHUB_snapshots",
            "$JS.API.STREAM.DELETE.OBJ_EVENTHUB_segments",
            "_INBOX.eventhub-gateway.x" if user != "gateway" else "_INBOX.eventhub-alerts.x",
        ]
        if user not in ("hub", "gateway", "commands"):
            forbidden += ["eh.plain.a", "eh._audit.a"]
        if user not in ("hub", "projector", "commands"):
            forbidden.append("$JS.API.STREAM.UPDATE.EH_plain")
        if user not in ("hub", "alerts"):
            forbidden.append("$JS.API.CONSUMER.MSG.NEXT.EH_notes.alerts")
        if user == "gateway":
            forbidden.append("eventhub.alerts-dead.x")
        if user not in ("hub", "projector"):
            purge = "$JS.API.STREAM.PURGE.OBJ_EVENTHUB_snapshots"
            forbidden += ["$O.EVENTHUB_snapshots.M.x", purge]
            forbidden += ["$O.EVENTHUB_segments.M.x", "$JS.API.STREAM.PURGE.EH_notes"]
        async with site.client(PREFIX + user) as guest:
            for subject in forbidden:
                await guest.client.publish(subject, b"")
                said = await guest.refused()
                assert "permissions violation for publish" in said, (user, subject)
                assert f'"{subject.lower()}"' in said
            unheard = ["eh.>", "eh-now.>", "_INBOX.>", "$JS.API.>", ">"]
            if user not in ("hub", "gateway"):
                unheard.append("eh-now.processes")
            for subject in unheard:
                await guest.client.subscribe(subject)
                assert "permissions violation for subscription" in await guest.refused()
    async with site.client("o", "o") as stranger:  # of another account
        await stranger.client.publish("$JS.API.STREAM.INFO.EH_plain", b"", reply="_INBOX.o.x")
        heard = await stranger.client.subscribe("eh.>")
        await stranger.client.flush()
        assert heard.pending_msgs == 0


async def test_a_hub_without_a_right_says_which_and_what_to_do(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    added = "  new: {pattern: /new, handler: MessageHandler, kwargs: {columns: {body: TEXT}}}\n"
    file.write_text(site.text("gateway") + added)
    done = await asyncio.to_thread(run, "serve", file, "--role", "gateway", "--port", 0)
    assert done.returncode == 2, done
    last = done.stderr.splitlines()[-1]
    assert "does not allow this user to publish to $js.api.stream.info.eh_new" in last
    assert "eventhub nats-permissions FILE" in last


async def test_nothing_is_sent_to_a_server_that_does_without_tls(tmp_path: Path) -> None:
    sent: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"max_payload": 9000000, "headers": true, "auth_required": true}\r\n')
        sent.append(await reader.read(1000))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = f"broker: {{url: 'tls://127.0.0.1:{port}', user: hub, password: s3cret}}\n"
    file = tmp_path / "eventhub.yaml"
    file.write_text(text + "url: {a: {pattern: /a, handler: MessageHandler}}\n")
    async with server:
        done = await asyncio.to_thread(run, "verify", file)
    assert "does not ask for TLS" in done.stderr.splitlines()[-1]
    assert b"".join(sent) == b""


async def test_a_server_of_another_authority_is_refused(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "eventhub.yaml"
    lines = [line for line in site.text("hub").splitlines(keepends=True) if "_file:" not in line]
    file.write_text("".join(lines))
    done = await asyncio.to_thread(run, "verify", file)
    assert done.returncode == 1
    assert "certificate" in done.stderr.splitlines()[-1].lower()


def test_jwts_get_the_same_permissions(tmp_path: Path) -> None:
    file = tmp_path / "eventhub.yaml"
    file.write_text("url: {a: {pattern: /a, handler: MessageHandler}}\n")
    found: dict[str, Any] = json.loads(output("nats-permissions", file, "--json"))
    assert found.keys() == {PREFIX + user for user in USERS}
    assert "eh.a.*" in found["eventhub-gateway"]["pub"]["allow"]
    assert "eh.a.*" not in found["eventhub-projector"]["pub"]["allow"]
    assert found["eventhub-alerts"]["sub"] == {"allow": ["_INBOX.eventhub-alerts.>"]}


def test_the_servers_give_no_rights_to_snapshots_that_are_elsewhere(tmp_path: Path) -> None:
    bucket = "EVENTHUB_snapshots"
    assert bucket in output("nats-permissions", written(tmp_path, GOOD))
    for to in ("none", "a-folder", "s3://tables/hub"):
        file = written(tmp_path, f"projection: {{snapshots: {{to: '{to}'}}}}\n{GOOD}")
        assert bucket not in output("nats-permissions", file)


def test_users_are_those_of_the_domain_and_have_inboxes_of_their_own(tmp_path: Path) -> None:
    broker = "broker: {url: nats://127.0.0.1:1, user: eventhub-hub, password: x, "
    file = written(tmp_path, f"{GOOD}\n{broker} domain: far}}\n")
    publish = json.loads(output("nats-permissions", file, "--json"))["eventhub-gateway"]["pub"]
    assert "$JS.far.API.STREAM.INFO.EH_notes" in publish["allow"]
    file = written(tmp_path, f"{GOOD}\n{broker} inbox_prefix: mine}}\n")
    assert "broker.inbox_prefix: leave it out" in refused(2, run("nats-permissions", file))
