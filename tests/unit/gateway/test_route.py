"""A route admits clients, and gives each the view that it may have."""

from pathlib import Path

import pytest
from aiohttp import ClientResponse

from tests.unit.gateway.serving import Running, running


async def code_of(answer: ClientResponse) -> str:
    return str((await answer.json())["_error"]["code"])


async def post(hub: Running, **message: object) -> None:
    async with hub.http.post(hub.url, json=message) as answer:
        assert answer.status == 201, await answer.text()


async def test_defaults_apply_where_the_client_says_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, default={"text": ["a"]}) as hub:
        for text in ("a", "b"):
            await post(hub, text=text)
        for query, found in (("", ["a"]), ("?text=b", ["b"]), ("?text=a&text=b", ["a", "b"])):
            async with hub.http.get(hub.url + query) as answer:
                assert [row["text"] for row in await answer.json()] == found


async def test_open_sets_arguments_that_the_client_cannot_change(tmp_path: Path) -> None:
    async with running(tmp_path, open="args.update(text=['a'])") as hub:
        for text in ("a", "b"):
            await post(hub, text=text)
        for query in ("", "?text=b", "?text!=a"):
            async with hub.http.get(hub.url + query) as answer:
                assert "b" not in {row["text"] for row in await answer.json()}
        async with hub.http.get(hub.url) as answer:
            assert [row["text"] for row in await answer.json()] == ["a"]


async def test_open_that_restricts_by_an_unknown_key_admits_no_client(tmp_path: Path) -> None:
    opening = "args.update(txet=['a'])"
    async with running(tmp_path, open=opening) as hub, hub.http.get(hub.url) as answer:
        assert (answer.status, await code_of(answer)) == (500, "internal")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_rule_that_is_not_met_admits_no_client(tmp_path: Path, method: str) -> None:
    async with running(tmp_path, auth=True) as hub, hub.http.request(method, hub.url) as answer:
        assert (answer.status, await code_of(answer)) == (401, "unauthorized")


async def test_a_page_of_another_origin_is_admitted_only_if_it_is_listed(tmp_path: Path) -> None:
    async with running(tmp_path, origins=["https://good.example"]) as hub:
        for origin, status in (("https://good.example", 200), ("https://bad.example", 403)):
            async with hub.http.get(hub.url, headers={"Origin": origin}) as answer:
                assert answer.status == status
                allowed = answer.headers.get("Access-Control-Allow-Origin")
                assert allowed == (origin if status == 200 else None)


@pytest.mark.parametrize(
    ("query", "code"),
    [("?votes=x", "bad_filter"), ("?_replay=all", "bad_request"), ("?_sort=x", "bad_filter")],
)
async def test_a_query_that_cannot_be_understood_is_refused(
    tmp_path: Path, query: str, code: str
) -> None:
    async with running(tmp_path) as hub, hub.http.get(hub.url + query) as answer:
        assert (answer.status, await code_of(answer)) == (400, code)
