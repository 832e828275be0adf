"""Operators rehearse a text at a running hub: it is only read, and nothing new of it is run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import request
from tests.e2e.command import post
from tests.e2e.hub import Hub, running_hub

CONFIG = """
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {body: TEXT, n: INTEGER}
      prepare: msg.setdefault('n', 1)
      alert: {to: ann@example.org, condition: n>=10, subject: '{{ body }}'}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        for n in (5, 15):
            post(f"{hub.url}/notes", body=f"note {n}", n=n)
        yield hub


async def rehearsed(hub: Hub, text: str, query: str = "") -> dict[str, Any]:
    url = f"{hub.url}/-/configuration/rehearsal{query}"
    status, answer = await request("POST", url, data=text.encode())
    assert status == 200, answer
    found: dict[str, Any] = answer
    return found


async def test_the_file_of_the_hub_changes_nothing(hub: Hub) -> None:
    answer = await rehearsed(hub, CONFIG)
    assert answer["valid"]
    rehearsal = answer["rehearsal"]
    assert (rehearsal["events"], rehearsal["count"], rehearsal["not_taken"]) == (2, 0, [])


async def test_what_other_columns_rules_and_filters_change_is_found(hub: Hub) -> None:
    text = CONFIG.replace("n: INTEGER", "n: TEXT").replace("n>=10", "body~=5")
    text += "      rules: {create: body!=note 5, read: own}\n"
    rehearsal = (await rehearsed(hub, text))["rehearsal"]
    found = {(each["kind"], each["what"], each["count"]) for each in rehearsal["differences"]}
    assert {
        ("refused", "forbidden", 1),
        ("converted", "n", 1),
        ("seen", "the row, by other users (no longer)", 1),
    } <= found
    assert rehearsal["complete"]
    last = (await rehearsed(hub, text, "?events=1"))["rehearsal"]
    assert last["events"] == 1


async def test_code_of_a_text_is_named_and_not_run(hub: Hub, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    code = f"__import__('pathlib').Path('{trace}').touch()"
    text = CONFIG.replace("msg.setdefault('n', 1)", code)
    text += f'      rules: {{update: "row and {code}"}}\n'
    rehearsal = (await rehearsed(hub, text))["rehearsal"]
    assert rehearsal["not_taken"] == ["/notes: prepare", "/notes: rules: update"]
    assert not trace.exists()


async def test_a_text_with_mistakes_is_checked_and_not_rehearsed(hub: Hub) -> None:
    answer = await rehearsed(hub, CONFIG.replace("columns", "colums"))
    assert (answer["valid"], answer["rehearsal"]) == (False, None)
    assert "'colums'" in answer["findings"][0]["message"]
