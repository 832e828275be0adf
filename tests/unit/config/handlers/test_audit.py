"""The audit trail has columns of the hub's own, and nobody reads it without a login."""

import pytest

from eventhub.channel import endpoints_of
from eventhub.config import SqlEndpoint
from tests.unit.config.folder import Folder, messages

AUDIT = "audit: {pattern: /audit, handler: MessageHandler, kwargs: {table: _audit, %s}}"


def with_audit(kwargs: str = "auth: true", *others: str) -> str:
    return "url:\n" + "".join(f"  {each}\n" for each in (AUDIT % kwargs, *others))


def test_the_hub_decides_the_columns(folder: Folder) -> None:
    config = folder.load(with_audit())
    (entry,) = messages(config)
    assert entry.is_audit
    (endpoint,) = endpoints_of(config)
    names = ("action", "target", "address", "outcome", "count", "detail", "id", "user", "timestamp")
    assert endpoint.channel.columns.names == names


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ("", "auth is missing: everybody could read _audit"),
        ("auth: false", "auth is missing: everybody could read _audit"),
        ("auth:", "auth is blank"),
        ("auth: true, columns: {body: TEXT}", "columns has no place here"),
        ("auth: true, prepare: 'print(msg)'", "prepare has no place here"),
        ("auth: true, url: 'sqlite:///x.db'", "url has no place here"),
        ("auth: true, message_default: {POST: {outcome: 1}}", "message_default has no place"),
    ],
)
def test_what_opens_or_changes_the_trail_is_a_problem(
    folder: Folder, kwargs: str, words: str
) -> None:
    [problem] = folder.problems(with_audit(kwargs))
    assert words in problem


def test_one_entry_reads_the_trail(folder: Folder) -> None:
    second = AUDIT.replace("audit:", "again:", 1).replace("/audit", "/again") % "auth: true"
    [problem] = folder.problems(with_audit("auth: true", second))
    assert "table _audit is already used by 'audit'" in problem


def test_no_other_table_begins_with_an_underscore(folder: Folder) -> None:
    for table in ("_AUDIT", "_audit_history", "_"):
        [problem] = folder.problems(with_audit().replace("_audit", table))
        assert "does not begin with _" in problem


SQL = "sql: {pattern: /sql, handler: SQLHandler, kwargs: {%s}}"
CHAT = "chat: {pattern: /chat, handler: MessageHandler}"


def test_a_sql_handler_sees_the_trail_only_if_it_names_it(folder: Folder) -> None:
    config = folder.load(with_audit("auth: true", SQL % "", CHAT))
    (sql,) = config.of_kind(SqlEndpoint)
    assert sql.sees(["_audit", "chat"]) == ["chat"]
    (sql,) = folder.load(
        with_audit("auth: true", SQL % "auth: true, tables: _audit", CHAT)
    ).of_kind(SqlEndpoint)
    assert sql.sees(["_audit", "chat"]) == ["_audit"]


def test_an_open_sql_handler_of_the_trail_is_a_problem(folder: Folder) -> None:
    [problem] = folder.problems(with_audit("auth: true", SQL % "tables: [chat, _audit]", CHAT))
    assert "everybody could query _audit" in problem


def test_a_sql_handler_of_nothing_but_the_trail_has_to_name_it(folder: Folder) -> None:
    [problem] = folder.problems(with_audit("auth: true", SQL % "auth: true"))
    assert "no MessageHandler has a table that could be queried" in problem
