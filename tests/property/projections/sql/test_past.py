"""`<table>_as_of(moment)` is the fold of the log up to that moment, at every sequence and time."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Unavailable
from projections.sql.past import definitions
from projections.store import Connection, Store
from tests.projecting import Change, history, rows_after

CHAT = Channel('chat "x"', Columns([Column("votes", Kind.INTEGER), Column("te xt")]))
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["POST", "PUT", "DELETE"]),
        st.sampled_from(["a", "b", "c"]),
        st.fixed_dictionaries({"votes": st.none() | st.integers(-9, 9)}),
    ),
    max_size=30,
)


@given(CHANGES, st.integers(0, 6))
async def test_the_past_is_the_fold_of_the_log_up_to_it(changes: list[Change], first: int) -> None:
    events = history(CHAT, changes)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tables.duckdb"
        async with Store(
            path, [CHAT], settings={"TimeZone": "UTC"}, definitions=definitions([CHAT])
        ) as store:
            await store.begin(CHAT.name, "e1")
            await store.append(CHAT.name, events)
            for sequence in range(len(events) + 1):
                expected = [
                    (row["id"], row["votes"], seq, created)
                    for seq, created, row in rows_after(events[:sequence]).values()
                ]
                moments = moments_of(sequence) if events else moments_of(sequence)[:3]
                moment = moments[(first + sequence) % len(moments)]
                assert await read(store, moment) == expected, moment
            for moment, words in (
                (str(len(events) + 1), f"no event {len(events) + 1} yet: the last one is"),
                ("'e2.0'", "a log that no longer exists"),
                ("'9999-01-01'", "is in the future"),
                ("'soon'", "is not a sequence, a position or a time"),
            ):
                with pytest.raises(Unavailable, match=f'chat "x"_as_of: .*{words}'):
                    await read(store, moment)


def moments_of(sequence: int) -> list[str]:
    """Return ways to write the moment of an event: the last four are its time."""
    return [
        str(sequence),
        f"'{sequence}'",
        f"'e1.{sequence}'",
        f"'2026-11-23T10:00:00.{sequence:06}Z'",
        f"'2026-11-23T12:00:00.{sequence:06}+02:00'",
        f"TIMESTAMP '2026-11-23 10:00:00.{sequence:06}'",
        f"TIMESTAMPTZ '2026-11-23 10:00:00.{sequence:06}+00'",
    ]


async def read(store: Store, moment: str) -> list[tuple[object, ...]]:
    sql = (
        f'SELECT id, votes, _seq, _created_seq FROM "chat ""x""_as_of"({moment})'
        " ORDER BY _created_seq"
    )

    def step(connection: Connection) -> list[tuple[object, ...]]:
        return connection.execute(sql).fetchall()

    async with store.reader() as reader:
        return await store.read(reader, step)
