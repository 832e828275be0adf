"""Without the guard, no attack by SQL reaches more than its process: the guard is not the wall.

The hub of these tests runs its queries in a process whose guard passes every statement. What is
left is the process with its own tables, the locked configuration, and the read-only transaction.
"""

import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.attacks import (
    BAIT,
    COSTS,
    FILES,
    OTHERS,
    PROCESS,
    WRITES,
    check_unharmed,
    send,
    started,
    table,
)
from tests.e2e.hub import Hub

DISARM = """
import sys
if "projections.sql.worker" in sys.orig_argv:
    import projections.sql.answering
    projections.sql.answering.check = lambda *_: None
"""
SETTINGS = """
SELECT name, value FROM duckdb_settings() WHERE name IN (
    'autoinstall_known_extensions', 'autoload_known_extensions', 'enable_external_access',
    'lock_configuration', 'memory_limit', 'python_enable_replacements', 'threads'
) ORDER BY name
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(DISARM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site))
        hub = started(tmp_path_factory.mktemp("hub"))
    yield hub
    check_unharmed(hub)
    hub.kill()


def history(hub: Hub) -> str:
    return send(hub, "FROM chat_history")[1]


def test_no_attack_gets_out_of_its_process(hub: Hub) -> None:
    assert send(hub, "SELECT * FROM duckdb_settings()")[0] == 200, "the guard would refuse it"
    before = [table(hub), history(hub), send(hub, SETTINGS), private_files(hub)]
    ended = hub.stderr().count("query_process_ended")  # other tests make it end
    for attack in [*WRITES, *FILES, *OTHERS, *PROCESS]:
        statement = attack.replace("{folder}", str(hub.folder))
        status, text = send(hub, statement)
        assert status in (200, 400), attack
        assert BAIT not in text, attack
        if status == 400:
            assert json.loads(text)["_error"]["code"] != "internal", attack
        now = [table(hub), history(hub), send(hub, SETTINGS), private_files(hub)]
        assert now == before, attack
    assert hub.stderr().count("query_process_ended") == ended


def private_files(hub: Hub) -> set[str]:
    """Return the names of the files of the process: no answer is left, and no other file made."""
    found = {path.name for path in (hub.folder / "data" / "sql").rglob("*") if path.is_file()}
    return {name for name in found if not name.endswith(".wal")}


def test_settings_are_those_that_contain_a_statement(hub: Hub) -> None:
    found = {row["name"]: row["value"] for row in json.loads(send(hub, SETTINGS)[1])}
    locked = {name for name, value in found.items() if value == "true"}
    open_ = {name for name, value in found.items() if value == "false"}
    assert locked == {"lock_configuration"}
    assert open_ == {
        "autoinstall_known_extensions",
        "autoload_known_extensions",
        "enable_external_access",
        "python_enable_replacements",
    }


@pytest.mark.parametrize("number", range(len(COSTS) - 6, len(COSTS)))
def test_a_statement_that_only_the_guard_finds_too_deep_is_contained(hub: Hub, number: int) -> None:
    status, text = send(hub, COSTS[number])
    assert status in (200, 400, 503)
    assert not re.search("internal", text)
    assert table(hub) == [{"id": "a", "body": "one", "n": 1}]
