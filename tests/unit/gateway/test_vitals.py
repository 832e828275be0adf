"""`/-/vitals` is for operators, and costs the same however many of them look."""

from pathlib import Path

import pytest

from eventhub.gateway import vitals
from eventhub.gateway.admin import Condition
from eventhub.gateway.vitals import PATH
from tests.unit.gateway.serving import running


async def test_only_operators_get_them(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        url = f"{hub.front.url}{PATH}"
        async with hub.http.get(url) as answer:
            found = await answer.json()
        assert found["problems"] == []
        assert found["roles"] == ["gateway"]
        assert [each["process"] for each in found["processes"]] == [found["process"]]
        for headers in ({"X-Forwarded-For": "192.0.2.7"}, {"Origin": "https://evil.example"}):
            async with hub.http.get(url, headers=headers) as answer:
                assert answer.status == 403
                assert "version" not in await answer.text()


async def test_all_who_ask_within_a_second_get_one_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = list[str]()
    monkeypatch.setattr(vitals, "SHARED_SECONDS", 1_000)
    async with running(tmp_path, health=lambda: Condition([*problems], [])) as hub:

        async def shown() -> list[str]:
            async with hub.http.get(f"{hub.front.url}{PATH}") as answer:
                found: list[str] = (await answer.json())["problems"]
                return found

        assert await shown() == []
        problems.append("the disk is full")
        assert await shown() == []
        monkeypatch.setattr(vitals, "SHARED_SECONDS", 0)
        assert await shown() == ["the disk is full"]
