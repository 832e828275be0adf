"""Past: the table macro `<table>_as_of(moment)`, a table as it was."""

from collections.abc import Iterable

from eventhub.channel import Channel
from eventhub.filters.sql import literal, quoted, quoted_list
from projections.tables import Tables


def macro_name(channel: Channel) -> str:
    """Return the name of the macro of a table."""
    return f"{channel.name}_as_of"


def definitions(channels: Iterable[Channel]) -> list[str]:
    """Return the statements that create the macros."""
    return [_definition(Tables(channel)) for channel in channels]


def _definition(tables: Tables) -> str:
    """Take each row's last event up to a moment: a sequence, a position, or a time.

    A time without a zone is in UTC. The number after the last dot of a position is its sequence.
    """
    name = macro_name(tables.channel)
    wrong = literal(f"{name} takes a sequence, a position or a time, such as 2026-11-30T10:30:00Z")
    text = "trim(CAST(moment AS VARCHAR))"
    position = rf"regexp_extract({text}, '^(?:[0-9A-Za-z]+\.)?([0-9]{{1,18}})$', 1)"
    columns = quoted_list(tables.current_names)
    return f"""
CREATE OR REPLACE MACRO main.{quoted(name)}(moment) AS TABLE
SELECT {columns} FROM {tables.history} WHERE _method <> 'DELETE' AND _seq IN (
    SELECT max(_seq) FROM {tables.history} WHERE _seq <= (
        SELECT CASE
            WHEN {position} <> '' THEN CAST({position} AS BIGINT)
            WHEN TRY_CAST({text} AS TIMESTAMPTZ) IS NULL THEN error({wrong})
            ELSE (SELECT coalesce(max(_seq), 0) FROM {tables.history}
                  WHERE _time <= TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')
        END
    ) GROUP BY id
)
"""  # noqa: S608 - quoted
