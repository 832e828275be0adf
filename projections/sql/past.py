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
    Errors begin with the name of the macro and a colon.
    """
    name = macro_name(tables.channel)
    text = "trim(CAST(moment AS VARCHAR))"
    pattern = r"^(?:([0-9A-Za-z]+)\.)?([0-9]{1,18})$"
    epoch, sequence = (f"regexp_extract({text}, '{pattern}', {group})" for group in (1, 2))
    time = f"TRY_CAST({text} AS TIMESTAMPTZ)"
    checkpoint = f"FROM main._checkpoint WHERE channel = {literal(tables.channel.name)}"
    head = f"(SELECT coalesce(max(seq), 0) {checkpoint})"

    def wrong(*words: str) -> str:
        return f"error(concat({literal(f'{name}: ')}, {', '.join(words)}))"

    no_moment = wrong(
        f"{text}, ' is not a sequence, a position or a time, such as 2026-11-30T10:30:00Z'"
    )
    columns = quoted_list(tables.current_names)
    return f"""
CREATE OR REPLACE MACRO main.{quoted(name)}(moment) AS TABLE
SELECT {columns} FROM {tables.history} WHERE _method <> 'DELETE' AND _seq IN (
    SELECT max(_seq) FROM {tables.history} WHERE _seq <= (
        SELECT CASE
            WHEN {epoch} <> '' AND {epoch} <> (SELECT coalesce(any_value(epoch), '') {checkpoint})
                THEN {wrong(text, "' is a position of a log that no longer exists'")}
            WHEN {sequence} <> '' AND TRY_CAST({sequence} AS BIGINT) > {head}
                THEN {wrong("'there is no event '", sequence, "' yet: the last one is '", head)}
            WHEN {sequence} <> '' THEN CAST({sequence} AS BIGINT)
            WHEN {time} IS NULL THEN {no_moment}
            WHEN {time} > now() AND {time} AT TIME ZONE 'UTC' >
                    (SELECT coalesce(max(_time), '-infinity') FROM {tables.history})
                THEN {wrong(text, "' is in the future'")}
            ELSE (SELECT coalesce(max(_seq), 0) FROM {tables.history}
                  WHERE _time <= {time} AT TIME ZONE 'UTC')
        END
    ) GROUP BY id
)
"""  # noqa: S608 - quoted
