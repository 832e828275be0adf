"""A hub answers its commands one after the other, and no command can keep it busy."""

import asyncio
import stat
from collections.abc import Hashable
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from eventhub.background import background
from eventhub.errors import Misconfigured, Rejected
from eventhub.memory import MemoryStream
from eventhub.queries import Answer, Question
from projections import tables_server as module
from projections.projector import Projector
from projections.remote import RemoteListing, RemotePast
from projections.store import Store
from projections.tables_server import TablesServer
from projections.tables_socket import NAME, Request, asked, is_served
from tests.projecting import write
from tests.unit.projections.serving import CHAT, EVENTS, filled, served


async def test_the_socket_is_the_users_alone_and_gone_after_the_end(tmp_path: Path) -> None:
    async with filled(tmp_path) as store:
        async with served(tmp_path, store):
            assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
        assert not is_served(tmp_path)
        assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n", b'{"want": "everything"}\n'])
async def test_a_command_of_another_version_is_told_so(tmp_path: Path, line: bytes) -> None:
    async with filled(tmp_path) as store, served(tmp_path, store):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / NAME))
        writer.write(line)
        assert b"another version than this command" in await reader.read()
        writer.close()


async def test_a_handler_that_the_hub_does_not_have_is_refused(tmp_path: Path) -> None:
    async with (
        filled(tmp_path) as store,
        served(tmp_path, store),
        asked(tmp_path, Request(want="query", handler="none")) as reply,
    ):
        with pytest.raises(Rejected, match="no SQLHandler 'none'"):
            await reply.begin()


async def test_a_command_that_says_nothing_is_given_up_and_others_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALLED_SECONDS", 0.05)
    async with filled(tmp_path) as store, served(tmp_path, store):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / NAME))
        async with RemoteListing.open(tmp_path, "chat") as listing:
            assert [len(chunk) async for chunk in listing.history()] == [7]
        assert await reader.read() == b""
        writer.close()


async def test_a_command_that_only_looks_whether_a_hub_runs_leaves_no_line(tmp_path: Path) -> None:
    async with filled(tmp_path) as store, served(tmp_path, store):
        with capture_logs() as logs:
            assert is_served(tmp_path)
            async with RemoteListing.open(tmp_path, "chat") as listing:
                assert [len(chunk) async for chunk in listing.history()] == [7]
    assert logs == []


class Endless:
    """A handler that never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def ask(self, question: Question, client: Hashable) -> Answer:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_stop_ends_what_is_being_answered(tmp_path: Path) -> None:
    endless = Endless()
    async with filled(tmp_path) as store:
        async with served(tmp_path, store, {"ask": endless}):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / NAME))
            writer.write(msgspec.json.encode(Request(want="query", handler="ask")) + b"\n")
            await endless.asked.wait()
        assert await reader.read() == b""
        writer.close()


async def test_a_command_gets_events_that_are_not_in_the_tables_yet(tmp_path: Path) -> None:
    stream = MemoryStream(CHAT)
    async with Store(tmp_path / "p", [CHAT]) as store, background() as tasks:
        projector = Projector(store, stream, few_seconds=3600)
        tasks.start(projector.run(), name="projector")
        await write(stream, EVENTS[:1])
        await projector.caught_up(1, 10)
        async with served(tmp_path, store, projectors={"chat": projector}):
            await write(stream, EVENTS[1:])
            past = RemotePast(tmp_path, "chat", at_least=len(EVENTS))
            found = [version.sequence async for part in past.versions("r1") for version in part]
    assert found == [2, 6]


async def test_a_folder_without_a_place_for_the_socket_is_named(tmp_path: Path) -> None:
    async with filled(tmp_path) as store:
        server = TablesServer(tmp_path / "nowhere", store)
        with pytest.raises(Misconfigured, match=f"{NAME}: cannot listen"):
            await server.run(asyncio.Event())
