"""A SQLHandler names tables that exist, and limits that can be kept."""

import pytest

from eventhub.config import SqlEndpoint
from tests.unit.config.folder import Folder

CHAT = "chat: {pattern: /chat, handler: MessageHandler, kwargs: {%s}}"


def with_sql(kwargs: str, chat: str = "") -> str:
    sql = f"sql: {{pattern: /sql, handler: SQLHandler, kwargs: {{{kwargs}}}}}"
    return f"url:\n  {sql}\n  {CHAT % chat}\n"


def test_without_keys_all_tables_can_be_queried_within_the_usual_limits(folder: Folder) -> None:
    (sql,) = folder.load(with_sql("")).of_kind(SqlEndpoint)
    assert (sql.tables, sql.limits.memory_bytes, sql.limits.seconds) == ("all", 1 << 30, 30)


def test_one_table_needs_no_list(folder: Folder) -> None:
    (sql,) = folder.load(with_sql("tables: chat, limits: {memory: 512 MiB}")).of_kind(SqlEndpoint)
    assert (sql.tables, sql.limits.memory_bytes) == (["chat"], 512 << 20)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ("tables: [chats]", "no MessageHandler has a table 'chats'; there are chat"),
        ("tables: []", "name the tables, or write all"),
        ("limits: {memory: 1GB}", "expected at least 256MiB"),
        ("limits: {memory: 100MiB}", "expected at least 256MiB"),
        ("limits: {seconds: 0}", "expected a number of more than 0"),
        ("limits: {concurrent: 7}", "from 1 to 6"),
        ("limits: {second: 3}", "second"),
        ("auth: {}", "auth is blank"),
        ("open: 'True'", "open"),
    ],
)
def test_a_mistake_is_a_problem(folder: Folder, kwargs: str, words: str) -> None:
    [problem] = folder.problems(with_sql(kwargs))
    assert words in problem


def test_a_handler_without_any_table_is_a_problem(folder: Folder) -> None:
    [problem] = folder.problems("url: {sql: {pattern: /sql, handler: SQLHandler}}")
    assert "no MessageHandler has a table" in problem


@pytest.mark.parametrize("restriction", ["auth: true", "open: 'handler.args'"])
def test_to_open_what_another_entry_restricts_is_a_warning(
    folder: Folder, restriction: str
) -> None:
    [warning] = folder.warnings(with_sql("", restriction))
    assert "everybody can query chat, which 'chat' restricts" in warning
    assert folder.warnings(with_sql("auth: true", restriction)) == []
