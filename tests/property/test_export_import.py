"""Whatever the events of a log are, their export in any format makes the same events again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from eventhub.event import Event, StoredEvent
from eventhub.ingest.loading import BadRow
from eventhub.ingest.restoring import Restorer
from eventhub.memory import MemoryStream
from projections.export import export_events_to_file
from projections.formats import FORMATS
from projections.load_files import open_path
from projections.manifest import Scope
from tests.examples import examples
from tests.projecting import EVERY_KIND, Change, history, write
from tests.property.test_projection import CHANGES
from tests.values import TEXT


def ignore(_reached: int, _last: int) -> None:
    """The progress is of no interest here."""


def comparable(event: Event) -> str:
    """Everything but what an import changes; tells 1, 1.0 and true apart, and orders of keys."""
    return repr(replace(event, write=event.write.removeprefix("i"), alert=False))


@pytest.mark.parametrize("form", list(FORMATS))
@settings(max_examples=examples(25), deadline=None)
@given(changes=CHANGES, user=st.none() | TEXT, extra=st.none() | st.dictionaries(TEXT, TEXT))
def test_an_exported_log_is_imported_equal(
    form: str, changes: list[Change], user: str | None, extra: dict[str, Any] | None
) -> None:
    events = [
        StoredEvent(each.sequence, replace(each.event, user=user, broadcast=extra))
        for each in history(EVERY_KIND, changes)
    ]

    async def scenario(path: Path) -> None:
        old, new = MemoryStream(EVERY_KIND), MemoryStream(EVERY_KIND)
        await write(old, events)
        scope = Scope(table=EVERY_KIND.name, what="events", format=form)
        await export_events_to_file(old, scope, path, ignore)
        source = open_path(path, EVERY_KIND.columns)
        bad: list[BadRow] = []

        async def arrays() -> AsyncIterator[list[dict[str, Any]]]:
            for array in source.arrays():
                yield array

        await Restorer(new).restore(arrays(), bad.append)
        assert bad == []
        found = [comparable(new.at(n).event) for n in range(1, new.length + 1)]
        assert found == [comparable(each.event) for each in events]

    with TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder) / f"events{FORMATS[form].suffix}"))
