"""Files that are kept for a while have limits, and are gone after it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from eventhub.errors import Rejected, Unavailable
from eventhub.gateway import kept_file
from eventhub.gateway import kept_files as module
from eventhub.gateway.kept_file import KeptFile, State
from eventhub.gateway.kept_files import KeptFiles

STATE = State("epoch.7", (7,))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptFiles]:
    files = KeptFiles(tmp_path)
    yield files
    files.close()


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def make(
    kept: KeptFiles, key: str, *parts: bytes, client: str = "ann", sequence: int = 7
) -> KeptFile:
    return await kept.make(
        key, client, State(f"epoch.{sequence}", (sequence,)), pieces(*(parts or (b"abc",)))
    )


async def read(file: KeptFile, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([part async for part in file.parts(start, stop or file.size)])


async def until_gone(kept: KeptFiles, file: KeptFile) -> None:
    async with asyncio.timeout(40):
        while kept.tagged(file.key, [file.tag]) is not None:
            await asyncio.sleep(0.01)


async def test_a_file_has_the_bytes_of_its_parts(kept: KeptFiles, tmp_path: Path) -> None:
    file = await make(kept, "a", b"one ", b"", b"two")
    assert (file.size, await read(file), await read(file, 2, 5)) == (7, b"one two", b"e t")
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


async def test_equal_keys_and_positions_have_tags_that_begin_alike(kept: KeptFiles) -> None:
    prefix = kept.tag_prefix("a", STATE.position)
    one, two = await make(kept, "a"), await make(kept, "a")
    later, other = await make(kept, "a", sequence=8), await make(kept, "b")
    assert len({file.tag for file in (one, two, later, other)}) == 4
    begins_alike = [file.tag.startswith(prefix) for file in (one, two, later, other)]
    assert begins_alike == [True, True, False, False]
    assert kept.tagged("a", ["x", one.tag]) is one
    assert kept.tagged("b", [one.tag]) is None


async def test_each_client_goes_on_in_the_file_that_it_opened(kept: KeptFiles) -> None:
    old = await make(kept, "a", client="ann", sequence=7)
    new = await make(kept, "a", client="bob", sequence=9)
    assert (kept.opened_by("ann", "a"), kept.opened_by("bob", "a")) == (old, new)
    assert (kept.at("a", (9,)), kept.at("a", (10,))) == (new, None)
    kept.open(new, "ann")
    assert kept.opened_by("ann", "a") is new
    assert kept.opened_by("eve", "a") is None


async def test_a_file_is_gone_a_while_after_its_last_reader(
    kept: KeptFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_SECONDS", 0.05)
    file = await make(kept, "a")
    with kept.reading(file):
        other = await make(kept, "b")
        await until_gone(kept, other)
        assert kept.tagged("a", [file.tag]) is file
        assert await read(file) == b"abc"
    await until_gone(kept, file)
    with pytest.raises(Unavailable):
        await read(file)


async def test_too_many_files_of_a_client_drop_its_oldest_one_that_is_not_read(
    kept: KeptFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EACH_FILES", 2)
    others = await make(kept, "a", client="bob")
    first, second = await make(kept, "a"), await make(kept, "b")
    with kept.reading(first):
        await make(kept, "c")
        assert kept.tagged("a", [first.tag]) is first
        assert kept.tagged("b", [second.tag]) is None
    assert kept.tagged("a", [others.tag]) is others


async def test_files_of_others_are_never_dropped(
    kept: KeptFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ALL_BYTES", 5)
    others = await make(kept, "a", client="bob")
    with pytest.raises(Unavailable, match="try again in a minute") as refused:
        await make(kept, "b")
    assert refused.value.code == "too_many_reads"
    assert kept.tagged("a", [others.tag]) is others
    await make(kept, "b", b"ab")


async def test_a_file_that_is_too_large_is_refused_and_leaves_no_bytes(
    kept: KeptFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EACH_BYTES", 5)
    with pytest.raises(Rejected) as refused:
        await make(kept, "a", b"abc", b"def")
    assert refused.value.code == "too_costly"
    assert await read(await make(kept, "a", b"abcde")) == b"abcde"


async def test_a_file_that_fails_leaves_no_bytes(
    kept: KeptFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"abc"
        raise Unavailable("the projection does not answer")

    monkeypatch.setattr(module, "ALL_BYTES", 3)
    for _ in range(2):
        with pytest.raises(Unavailable, match="does not answer"):
            await kept.make("a", "ann", STATE, failing())
    await make(kept, "a", b"abc", client="bob")


async def test_a_file_that_takes_too_long_is_given_up(
    kept: KeptFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    monkeypatch.setattr(module, "MAKE_SECONDS", 0.05)
    with pytest.raises(Unavailable, match="narrow the query"):
        await kept.make("a", "ann", STATE, endless())


async def test_room_is_left_on_the_disk(kept: KeptFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_file, "RESERVED_BYTES", 1 << 62)
    with pytest.raises(Unavailable, match="no room"):
        await make(kept, "a")


async def test_one_client_at_a_time_makes_a_file(kept: KeptFiles) -> None:
    inside: list[str] = []

    async def enter(key: str, name: str, leave: asyncio.Event) -> None:
        async with kept.turn(key):
            inside.append(name)
            await leave.wait()

    leave, never = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(enter("a", "first", leave))
        second = group.create_task(enter("a", "second", never))
        third = group.create_task(enter("a", "third", leave))
        group.create_task(enter("b", "other", leave))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert inside == ["first", "other"]
        second.cancel()
        leave.set()
        await third
    assert inside == ["first", "other", "third"]
