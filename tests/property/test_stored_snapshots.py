"""To load a snapshot at any event, and to follow the log from there, is to follow all of it."""

import asyncio
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from projections.rebuilding import catch_up
from projections.store import Store
from projections.stored.advancing import Advance
from projections.stored.folder import FolderObjects
from tests.examples import examples
from tests.projecting import EVERY_KIND, Change, history, proved
from tests.property.test_projection import CHANGES
from tests.storing import filled, load, opened_objects, rows, take

NAME = EVERY_KIND.name


@settings(max_examples=examples(15), deadline=None)
@given(CHANGES, st.data())
def test_a_snapshot_and_the_rest_of_the_log_are_the_whole_log(
    changes: list[Change], data: st.DataObject
) -> None:
    events = history(EVERY_KIND, changes)
    stored, folded = sorted(data.draw(st.tuples(*[st.integers(0, len(events))] * 2)), reverse=True)

    async def scenario(folder: Path) -> None:
        stream = await filled(EVERY_KIND, events)
        objects = FolderObjects(folder / "objects")
        async with Store(folder / "projector", [EVERY_KIND]) as store:
            await store.begin(NAME, stream.epoch)
            await store.append(NAME, events[:folded])
            await store.fold(NAME)
            await store.append(NAME, events[:stored])
            made = await take(store, objects)
            await catch_up(store, stream, lambda _reached, _last: None)
        assert await load(folder / "gateway", objects, stream) == made
        async with Store(folder / "gateway", [EVERY_KIND]) as store:
            assert (await store.begin(NAME, stream.epoch)).head == (stored if made else 0)
            await catch_up(store, stream, lambda _reached, _last: None)
            report, found = await proved(store, stream)
        assert (report.is_equal, found) == (True, [])
        for table in (NAME, f"{NAME}_history"):
            assert rows(folder / "gateway", table) == rows(folder / "projector", table)

    with TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))


@settings(max_examples=examples(15), deadline=None)
@given(CHANGES, st.data())
def test_old_tables_with_the_rest_of_a_snapshot_are_those_of_the_whole_log(
    changes: list[Change], data: st.DataObject
) -> None:
    events = history(EVERY_KIND, changes)
    cuts = sorted(data.draw(st.tuples(*[st.integers(0, len(events))] * 3)))
    folded, have, stored = cuts

    async def scenario(folder: Path) -> None:
        stream = await filled(EVERY_KIND, events)
        objects = FolderObjects(folder / "objects")
        async with Store(folder / "projector", [EVERY_KIND]) as store:
            await store.begin(NAME, stream.epoch)
            await store.append(NAME, events[:stored])
            made = await take(store, objects)
            await catch_up(store, stream, lambda _reached, _last: None)
        async with Store(folder / "gateway", [EVERY_KIND]) as store:
            await store.begin(NAME, stream.epoch)
            await store.append(NAME, events[:folded])
            await store.fold(NAME)
            await store.append(NAME, events[:have])
            advance = Advance(store.path, partial(opened_objects, objects), 1)
            at = await advance.take_up(store, stream)
            assert at.head == (stored if made else have)
            await catch_up(store, stream, lambda _reached, _last: None)
            report, found = await proved(store, stream)
        assert (report.is_equal, found) == (True, [])
        for table in (NAME, f"{NAME}_history"):
            assert rows(folder / "gateway", table) == rows(folder / "projector", table)

    with TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))
