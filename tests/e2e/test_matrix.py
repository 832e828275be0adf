"""Every kind of client, by every way to read and to write: nothing leaks, and no way is left out.

What is read is sealed history, but for each row's last event; `test_rules.py` reads what is not.

A way that is added to the hub fails these tests until it is in `matrix.py`.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from eventhub.config import ColumnRule, Rules
from eventhub.delivery.frames import Form
from eventhub.event import POSITION_HEADER
from eventhub.filters.arguments import CONTROLS
from eventhub.gateway import alert_routes, client_module, file_answer, row, snapshot_file
from eventhub.gateway.configuration import PATH as CONFIGURATION_PATH
from eventhub.gateway.configuration import REHEARSAL_PATH
from eventhub.gateway.controls import HONOURED, Surface
from eventhub.gateway.file_answer import SUFFIXES
from eventhub.gateway.server import ALL_METHODS
from eventhub.ingest import command
from tests.e2e import matrix
from tests.e2e.client import DEADLINE_SECONDS, Client, Frame, connect, request
from tests.e2e.hub import Hub, running_hub
from tests.e2e.matrix import Role, Way
from tests.e2e.reload import said
from tests.e2e.surfaces import events
from tests.subscribing import append
from tests.unit.gateway.serving import running

ROLES = matrix.roles()
ADMIN = ROLES["admin"].headers
ENDPOINTS = ("closed", "open")
"""With and without `auth: true`."""
TABLES = ("read", "written")


def configuration() -> str:
    """Return a file with endpoints of their own for each role: too many refusals make one wait."""
    lines = [
        f"auth: {{jwt: {{secret: {matrix.SECRET}}}}}",
        "server: {limits: {connects: 100000}}",
        "url:",
        "  login: {pattern: /login, handler: SimpleAuth, kwargs: {credentials: {gone: secret}}}",
        "  logout: {pattern: /logout, handler: LogoutHandler}",
    ]
    for table in TABLES:
        lines.append(_entry(f"all-{table}", table, "{membership: {role: admin}}", rules=False))
        for name in ROLES:
            for endpoint in ENDPOINTS:
                auth = str(endpoint == "closed").lower()
                lines.append(_entry(f"{endpoint}-{table}-{_slug(name)}", table, auth, rules=True))
    return "\n".join(lines)


def _entry(name: str, table: str, auth: str, *, rules: bool) -> str:
    text = f"""
  {name}:
    pattern: /{name}
    handler: MessageHandler
    kwargs:
      table: {table}
      columns: {{recipient: TEXT, body: TEXT, wages: TEXT}}
      send: true
      presence: true
      log: {{keep: {"1s" if table == "read" else "30d"}}}
      auth: {auth}"""
    if not rules:
        return text
    return f"""{text}
      rules:
        read: recipient=$user.boxes
        create: recipient=$user.boxes
        update: recipient=$user.boxes
        delete: recipient=$user.boxes
        columns: {{wages: {{read: "handler.current_user.role == 'admin'"}}}}"""


def _slug(name: str) -> str:
    return name.replace(" ", "-")


def url_of(hub: Hub, endpoint: str, table: str, name: str) -> str:
    return f"{hub.url}/{endpoint}-{table}-{_slug(name)}"


ROWS = {"me": "row-of-me", "bob": "row-of-bob"}
GONE = {"me": "gone-of-me", "bob": "gone-of-bob"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub"), configuration()) as hub:
        asyncio.run(fill(hub))
        yield hub


async def admin(hub: Hub, method: str, row_id: str, table: str = "read", **values: Any) -> int:
    url = f"{hub.url}/all-{table}"
    status, reply = await request(method, url, headers=ADMIN, json={"id": row_id, **values})
    assert status < 300, reply
    return int(reply["_seq"])


async def revoke(hub: Hub) -> None:
    """Log a user out everywhere; before that, its token is as good as any."""
    role = ROLES["revoked"]
    status, _ = await request("GET", url_of(hub, "closed", "read", "revoked"), headers=role.headers)
    assert status == 200
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        sent = {"user": matrix.REVOKED, "password": "secret"}
        for path, body in (("login", sent), ("logout", {"everywhere": True})):
            async with session.post(f"{hub.url}/{path}", json=body) as answer:
                assert answer.status == 200, await answer.text()


async def fill(hub: Hub) -> None:
    await revoke(hub)
    last = await write_rows(hub)
    await _until(lambda: any(line["last"] >= last for line in said(hub, "segment_sealed")))


async def write_rows(hub: Hub) -> int:
    """Write rows of two users: some were deleted, and one went from one to the other.

    Returns:
        The sequence of the last event.
    """
    for box in ("me", "bob"):
        for row_id in (ROWS[box], GONE[box]):
            await admin(hub, "POST", row_id, recipient=box, body=f"1-for-{box}", wages="payslip-1")
            await admin(hub, "PUT", row_id, body=f"2-for-{box}")
            await admin(hub, "PUT", row_id, wages="payslip-2")
        await admin(hub, "DELETE", GONE[box])
    await admin(hub, "POST", "moved", recipient="me", body="3-for-me", wages="payslip-3")
    return await admin(hub, "PUT", "moved", recipient="bob", body="3-for-bob", wages="payslip-4")


def secrets_of(role: Role, *, is_admitted: bool) -> list[str]:
    """Return texts that no answer to a client may contain."""
    boxes = {"me", "bob"} if not is_admitted else {"me", "bob"} - {role.box}
    if role.is_admin:
        return []
    others = [f"{text}-{box}" for box in boxes for text in ("for", "row-of", "gone-of")]
    return [*others, "wages", "payslip-1", "payslip-2", "payslip-3", "payslip-4"]


def refusal_of(role: Role, endpoint: str) -> str:
    """Return why a role is refused at once: only a request without a login is let in by `open`."""
    return "" if endpoint == "open" and not role.headers else role.refusal


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", ROLES)
async def test_no_way_to_read_shows_what_a_client_may_not_see(
    hub: Hub, name: str, endpoint: str
) -> None:
    role, url = ROLES[name], url_of(hub, endpoint, "read", name)
    admitted = not role.refusal
    for way in matrix.ways():
        if way.form is Form.BARE and not role.headers and endpoint == "open":
            continue  # it may create no row, whose frame would end its reading
        own = ROWS[role.box or "me"] if way.needs_row else ""
        code, text = await way.of_row(own)(url, role.headers, "", role.box)
        told = _comparable(text, own or "-") if code == "not_found" else text
        assert not [each for each in secrets_of(role, is_admitted=admitted) if each in told], (
            way.name,
            text,
        )
        if not admitted:
            expected = refusal_of(role, endpoint)
            if not expected and way.surface is Surface.ROW:
                expected = "not_found"
            assert (code or "") == expected, (way.name, text)
            continue
        assert code is None, (way.name, text)
        if way.surface is not Surface.SCHEMA:  # it describes rows, and shows none
            assert f"2-for-{role.box}" in text, (way.name, text)
        assert "wages" in text or not role.is_admin or "HISTORY" in way.name, way.name
        if way.needs_row and not role.is_admin:
            await _check_hidden_row(url, role, way)


async def _check_hidden_row(url: str, role: Role, way: Way) -> None:
    """A row of another user, one that was deleted, and none at all get the same answer."""
    other = {"me": "bob", "bob": "me"}[role.box]
    answers = []
    for row_id in ("never-was", ROWS[other], GONE[other]):
        code, text = await way.of_row(row_id)(url, role.headers, "", role.box)
        answers.append((code, _comparable(text, row_id)))
    assert answers[0] == answers[1] == answers[2], way.name


def _comparable(text: str, row_id: str) -> str:
    """Return an answer without what differs for any two requests: the id that was asked for."""
    return text.replace(row_id, "ID")


NUMBERS = count()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", ROLES)
async def test_no_way_to_write_does_what_a_client_may_not(
    hub: Hub, name: str, endpoint: str
) -> None:
    role, url = ROLES[name], url_of(hub, endpoint, "written", name)
    refusal = refusal_of(role, endpoint)
    box = role.box or "me"
    other = {"me": "bob", "bob": "me"}[box]
    for way, write in matrix.WRITES.items():

        async def outcome(method: str, row_id: str, write: Any = write, **values: Any) -> str:
            return str(await write(url, role.headers, method, {"id": row_id, **values}))

        mine, theirs, gone = (f"{kind}-{next(NUMBERS)}" for kind in ("mine", "theirs", "gone"))
        first = 0
        for row_id, recipient in ((mine, box), (gone, other), (theirs, other)):
            values = {"recipient": recipient, "body": "as it was", "wages": "payslip-1"}
            first = await admin(hub, "POST", row_id, "written", **values)
        last = await admin(hub, "PUT", theirs, "written", wages="payslip-2")
        await admin(hub, "DELETE", gone, "written")
        back = {"_revert": first, "_if_seq": last}
        found = {"restore hidden": await outcome("PUT", theirs, **back)}
        absent_rows = {"hidden": theirs, "deleted": gone, "never": f"x-{mine}"}
        if refusal:  # at once, whatever the row; and after a hundred times, later
            absent_rows = {"hidden": theirs}
        for absent, row_id in absent_rows.items():
            found[f"change {absent}"] = await outcome("PUT", row_id, body="x")
            found[f"take {absent}"] = await outcome("PUT", row_id, recipient=box)
            found[f"delete {absent}"] = await outcome("DELETE", row_id)
        found["create for another"] = await outcome("POST", f"c-{mine}", recipient=other)
        found["take a hidden id"] = await outcome("POST", theirs, recipient=box)
        found["upsert a hidden id"] = await outcome("PUT", theirs, recipient=box, _upsert=True)
        found["give away"] = await outcome("PUT", mine, recipient=other)
        found["create"] = await outcome("POST", f"n-{mine}", recipient=box, wages="payslip-9")
        found["change"] = await outcome("PUT", mine, body="changed", wages="payslip-9")
        found["delete"] = await outcome("DELETE", f"n-{mine}")
        expected = _expected(role, refusal, found)
        assert found == expected, way
        everything = {
            each["id"]: each
            for each in (await request("GET", f"{hub.url}/all-written", headers=ADMIN))[1]
        }
        after = everything[mine]
        if not role.is_admin:
            assert (everything[theirs]["body"], after["wages"]) == ("as it was", "payslip-1")
            assert everything[theirs]["recipient"] == other
            assert after["recipient"] == box
        assert after["body"] == ("changed" if not role.refusal else "as it was")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", ROLES)
async def test_no_way_to_send_what_is_not_stored_says_what_a_client_may_not(
    hub: Hub, name: str, endpoint: str
) -> None:
    role, url = ROLES[name], url_of(hub, endpoint, "written", name)
    refusal = refusal_of(role, endpoint)
    other = {"me": "bob", "bob": "me"}[role.box or "me"]
    for way, send in matrix.SENDS.items():

        async def outcome(send: Any = send, **values: Any) -> str:
            return str(await send(url, role.headers, "SEND", {"id": "x", **values}))

        found = {
            "to mine": await outcome(recipient=role.box or "me", body="x"),
            "to theirs": await outcome(recipient=other, body="x"),
            "to nobody": await outcome(body="x"),
        }
        expected = dict.fromkeys(found, "forbidden")
        if not role.refusal:
            expected["to mine"] = ""
        if role.is_admin:
            expected["to theirs"] = ""
        assert found == (dict.fromkeys(found, refusal) if refusal else expected), way
    assert not await _rows(hub, "x")


async def _rows(hub: Hub, row_id: str) -> list[Frame]:
    return (await _get(f"{hub.url}/all-written?id={row_id}", ADMIN))[1]


def _expected(role: Role, refusal: str, found: dict[str, str]) -> dict[str, str]:
    """Return the outcomes that a role must have."""
    absent = {each for each in found if each.split()[-1] in ("hidden", "deleted", "never")}
    forbidden = {"create for another", "take a hidden id", "upsert a hidden id", "give away"}
    if refusal:
        return dict.fromkeys(found, refusal)
    if role.is_admin:  # nothing is hidden from it, and by its POST that row is deleted
        absent, forbidden = {each for each in absent if "hidden" not in each}, set()
    elif role.refusal:  # without a login it sees no row, and creates none
        absent |= {"give away", "change", "delete"}
        forbidden = forbidden - absent | {"create"}
    return {
        each: "not_found" if each in absent else "forbidden" if each in forbidden else ""
        for each in found
    }


@asynccontextmanager
async def _listeners(hub: Hub, name: str) -> AsyncIterator[dict[str, list[Frame]]]:
    """Follow the rows by every form, until the block ends; yields the frames by form."""
    heard: dict[str, list[Frame]] = {}
    url, headers = url_of(hub, "closed", "read", name), ROLES[name].headers
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for form, args in (
            (Form.BARE, ""),
            (Form.V1, ""),
            (Form.V1, "?_replay=log"),
            (Form.V2, ""),
        ):
            client = await stack.enter_async_context(
                connect(f"{url}{args}", form=form, headers=headers)
            )
            frames = heard[f"{form.value}{args}"] = []
            group.create_task(_listen(client, frames))
        for args in ("", "?_replay=log"):
            stream = await stack.enter_async_context(events(f"{url}{args}", headers))
            assert not isinstance(stream, tuple)
            frames = heard[f"{Form.SSE.value}{args}"] = []
            group.create_task(_follow(stream, frames))
        for replay in ("rows", "log"):
            frames = heard[f"{Form.POLL.value} {replay}"] = []
            position, _ = await _get(f"{url}?_since=now", headers)
            asked = f"{url}?_wait=20&_replay={replay}&_since="
            group.create_task(_poll(asked, headers, position, frames))
        while not all("_ready" in str(each) for form, each in heard.items() if form[0] == "v"):
            await asyncio.sleep(0)
        yield heard


def _is_last(frame: Frame) -> bool:
    return frame.get("id") == "last"


async def _listen(client: Client, frames: list[Frame]) -> None:
    while not (frames and _is_last(frames[-1])):
        frames.append(await client.receive())


async def _follow(stream: AsyncIterator[Frame], frames: list[Frame]) -> None:
    async for frame in stream:
        frames.append(frame)
        if _is_last(frame):
            return


async def _get(url: str, headers: dict[str, str]) -> tuple[str, list[Frame]]:
    """Return the position of an answer, and its frames."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return answer.headers[POSITION_HEADER], await answer.json()


async def _poll(url: str, headers: dict[str, str], position: str, frames: list[Frame]) -> None:
    """Poll until the last row comes."""
    while not (frames and _is_last(frames[-1])):
        position, found = await _get(f"{url}{position}", headers)
        frames += found


def _gets_sends(form: str) -> bool:
    """Return whether clients of a form get what is not stored; polls and history do not."""
    return not ("log" in form or form.startswith(Form.POLL.value))


def _says(frames: list[Frame], text: str) -> bool:
    return text in str(frames)


async def _until(is_done: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not is_done():
            await asyncio.sleep(0.01)


async def _send_to_each(hub: Hub, heard: dict[str, dict[str, list[Frame]]]) -> None:
    """Send what is not stored to two users, and wait until both have it."""
    for box in ("me", "bob"):
        sent = {"_method": "SEND", "recipient": box, "body": f"7-for-{box}", "wages": "payslip-1"}
        status, _ = await request("POST", f"{hub.url}/all-read", headers=ADMIN, json=sent)
        assert status == 202
    for name, box in (("user", "me"), ("other user", "bob"), ("admin", "me"), ("admin", "bob")):
        for form, frames in heard[name].items():
            if _gets_sends(form):
                await _until(partial(_says, frames, f"7-for-{box}"))


async def test_no_live_frame_shows_what_a_client_may_not_see(hub: Hub) -> None:
    async with AsyncExitStack() as stack:
        heard = {
            name: await stack.enter_async_context(_listeners(hub, name))
            for name in ("user", "other user", "admin")
        }
        for box in ("me", "bob"):
            row_id = f"live-of-{box}"
            await admin(hub, "POST", row_id, recipient=box, body=f"4-for-{box}", wages="payslip-1")
            await admin(hub, "PUT", row_id, wages="payslip-2")
            await admin(hub, "PUT", row_id, body=f"5-for-{box}")
        await admin(hub, "PUT", "live-of-me", recipient="bob", body="6-for-bob")
        await admin(hub, "PUT", "live-of-me", recipient="me", body="6-for-me")
        for box in ("me", "bob"):
            await admin(hub, "DELETE", f"live-of-{box}")
        await _send_to_each(hub, heard)
        await admin(hub, "POST", "last", recipient="all")
    await admin(hub, "DELETE", "last")
    for name, forms in heard.items():
        role = ROLES[name]
        for form, frames in forms.items():
            text = str(frames)
            assert not [each for each in secrets_of(role, is_admitted=True) if each in text], form
            if not role.is_admin:
                live = [f for f in frames if f.get("id") == f"live-of-{role.box}"]
                methods = [frame["_method"] for frame in live]
                moves = ["DELETE", "POST"] if role.box == "me" else []
                assert methods == ["POST", "PUT", *moves, "DELETE"], (form, live)
            assert ("7-for-" in text) is _gets_sends(form), form
            assert "6-for-bob" in text or role.box != "bob" or role.is_admin, form


async def test_a_hidden_row_takes_the_same_work_as_one_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the time of an answer tells nothing: the log and the tables are read as often."""
    rules = Rules(read="text=mine", update="text=mine", columns={"votes": ColumnRule(read="none")})
    async with running(tmp_path, rules=rules, message_default={}) as served:
        for row_id in ("hidden", "deleted"):
            await append(served.stream, id=row_id, text="other", votes=1)
        await append(served.stream, _method="DELETE", id="deleted")
        await append(served.stream, id="mine", text="mine")
        work: Counter[str] = Counter()
        for part, names in (
            (served.stream, ("last", "get", "read", "append", "submit")),
            (served.gateway._sources.snapshots, ("read", "versions")),
        ):
            for name in names:
                counted = _counted(work, f"{type(part).__name__}.{name}", getattr(part, name))
                monkeypatch.setattr(part, name, counted)
        found: dict[str, dict[str, tuple[int, dict[str, int]]]] = {}
        for row_id in ("hidden", "deleted", "never"):
            for what, (method, path, sent) in {
                "change": ("PUT", "", {"id": row_id, "text": "x"}),
                "take": ("PUT", "", {"id": row_id, "text": "mine"}),
                "conditional": ("PUT", "", {"id": row_id, "text": "x", "_if_seq": 1}),
                "keyed": ("PUT", "", {"id": row_id, "text": "x", "_key": f"{row_id}-1"}),
                "delete": ("DELETE", "", {"id": row_id}),
                "read": ("GET", f"/{row_id}", None),
                "versions": ("GET", f"?id={row_id}&_history", None),
                "filter": ("GET", f"?id={row_id}", None),
            }.items():
                work.clear()
                async with served.http.request(method, served.url + path, json=sent) as answer:
                    await answer.read()
                found.setdefault(what, {})[row_id] = (answer.status, dict(work))
        for what, by_row in found.items():
            assert len({str(each) for each in by_row.values()}) == 1, (what, by_row)
            assert sum(by_row["never"][1].values()), f"{what}: it was looked for"


def _counted(work: Counter[str], name: str, function: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        work[name] += 1
        return function(*args, **kwargs)

    return call


# --- The table is whole -------------------------------------------------------------------------


def test_each_surface_and_each_control_is_in_the_table() -> None:
    ways = list(matrix.ways())
    assert set(CONTROLS) == matrix.CHOOSING | matrix.SHAPING, "say what a new control does"
    assert {way.surface for way in ways} == set(Surface) == set(HONOURED)
    for surface, honoured in HONOURED.items():
        used = {name for way in ways if way.surface is surface for name in way.controls}
        assert used == (honoured & matrix.CHOOSING), surface
    assert {way.form for way in ways} - {None} == set(Form)
    assert set(command.CONTROLS) == {
        *("_method", "_upsert", "_revert"),  # each is a way to write
        *("_key", "_if_seq", "_ref", "_alert"),  # these choose no row
    }


def test_each_method_is_in_the_table() -> None:
    methods = matrix.READING | matrix.WRITING | matrix.OTHER_METHODS
    assert {*ALL_METHODS.split(", ")} == methods
    assert {*row.METHODS.split(", ")} <= methods
    assert not {*file_answer.METHODS} & matrix.WRITING


OWN_PATHS = {
    *("/healthz", "/readyz", "/metrics", "/openapi.json", "/-/asyncapi.json"),
    *("/-/connections", "/-/vitals", *client_module.MODULES),
    *("/-/", "/-/console/me", "/-/console/{file}"),
    *(CONFIGURATION_PATH, alert_routes.PATH, alert_routes.RETRY_PATH),
    *(alert_routes.PREVIEW_PATH, alert_routes.BACKTEST_PATH),
}
OF_WHOLE_HUBS = {snapshot_file.PATH, REHEARSAL_PATH}
"""Paths of a hub with tables and a log, which the one in memory lacks."""


async def test_each_path_is_in_the_table(tmp_path: Path) -> None:
    """Of an endpoint the ways have all; the others are the hub's own, and show no rows."""
    async with running(tmp_path) as served:
        app = served.gateway._site.app
        paths = {each.canonical for each in app.router.resources()}
    of_endpoint = {"/chat", "/chat/{id}", *(f"/chat.{suffix}" for suffix in SUFFIXES)}
    of_endpoint |= {"/-/socket"}  # of every endpoint
    assert paths == OWN_PATHS | of_endpoint


async def test_each_path_of_operators_is_in_the_table(hub: Hub) -> None:
    described = (await request("GET", f"{hub.url}/openapi.json"))[1]["paths"]
    own = {path for path in described if path.startswith("/-/")} - {"/-/socket"}
    assert own >= OF_WHOLE_HUBS
    assert own <= OWN_PATHS | OF_WHOLE_HUBS


@pytest.mark.parametrize("name", ROLES)
async def test_what_the_hub_itself_answers_shows_no_row_and_no_hidden_column(
    hub: Hub, name: str
) -> None:
    role = ROLES[name]
    told = secrets_of(role, is_admitted=not role.refusal)
    for path in OWN_PATHS | OF_WHOLE_HUBS:
        # A program of this machine may see everything, so these requests come through a proxy.
        through = {"Via": "1.1 proxy"} if path.startswith("/-/") else {}
        for method in ("GET", "POST"):
            text = await _text(method, hub.url + path, {**role.headers, **through})
            assert not [each for each in told if each in text], (method, path)
            is_described = (method, path) == ("GET", "/openapi.json")
            assert not is_described or not role.is_admin or "wages" in text
    for endpoint in ENDPOINTS:
        for method in ("HEAD", "OPTIONS"):
            text = await _text(method, url_of(hub, endpoint, "read", name), role.headers)
            assert not [each for each in told if each in text], endpoint


async def _text(method: str, url: str, headers: dict[str, str]) -> str:
    """Return headers and body of an answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers) as answer,
    ):
        return f"{answer.headers} {await answer.text()}"
