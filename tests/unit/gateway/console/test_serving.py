"""The console is served to those who may open it, and to nobody else."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from eventhub.config import Console, Server
from eventhub.gateway.console import serving
from tests.tokens import AUTH, token_of
from tests.unit.gateway.serving import running

FORWARDED = {"X-Forwarded-For": "192.0.2.7"}
"""Of a request that comes through a proxy on this machine."""
ANN = {"Authorization": f"Bearer {token_of('ann')}", **FORWARDED}


@pytest.fixture(autouse=True)
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build: the tests of the hub need none of the real page."""
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "index.html").write_text("the page")
    (folder / "main.js").write_text("the script")
    (folder / "secret.txt").write_text("no file of the page")
    monkeypatch.setattr(serving, "FOLDER", folder)
    return folder


async def got(http: aiohttp.ClientSession, url: str, headers: Any = None) -> tuple[int, str]:
    async with http.get(url, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_without_a_rule_it_is_for_browsers_on_the_machine_of_the_hub(tmp_path: Path) -> None:
    async with running(tmp_path) as hub:
        url = hub.front.url
        assert await got(hub.http, f"{url}/-/") == (200, "the page")
        assert await got(hub.http, f"{url}/-/console/main.js") == (200, "the script")
        for path in ("/-/", "/-/console/main.js", "/-/console/me"):
            status, text = await got(hub.http, url + path, FORWARDED)
            assert status == 404, path
            assert "the " not in text.partition("not_found")[0]


async def test_a_hub_that_the_network_reaches_has_none_without_a_rule(tmp_path: Path) -> None:
    async with running(tmp_path, Server(host="0.0.0.0", port=0)) as hub:
        for path in ("/-/", "/-/console/main.js", "/-/console/me"):
            assert (await got(hub.http, f"http://127.0.0.1:{hub.port}{path}"))[0] == 404


async def test_the_rule_says_who_may_open_it(tmp_path: Path) -> None:
    rule = Console(auth={"membership": {"id": ["ann"]}})
    bob = {"Authorization": f"Bearer {token_of('bob')}"}
    async with running(tmp_path, users=AUTH, console=rule) as hub:
        for path in ("/-/", "/-/console/main.js", "/-/console/me"):
            url = hub.front.url + path
            assert (await got(hub.http, url, ANN))[0] == 200
            assert (await got(hub.http, url, bob))[0] == 403
            assert (await got(hub.http, url))[0] == 401


async def test_a_caller_learns_which_views_there_are_and_why_not_others(tmp_path: Path) -> None:
    async with running(tmp_path, users=AUTH, console=Console(auth=True)) as hub:
        url = f"{hub.front.url}/-/console/me"
        async with hub.http.get(url, headers=ANN) as answer:
            found = await answer.json()
        assert (found["user"], found["operator"]) == ("ann", False)
        assert "version" not in found
        assert found["views"]["connections"]["needs"] == "operator"
        assert "for operators" in found["views"]["connections"]["why_not"]
        local = {"Authorization": ANN["Authorization"]}
        async with hub.http.get(url, headers=local) as answer:
            found = await answer.json()
        assert found["operator"] is True
        assert found["views"]["connections"]["why_not"] is None


async def test_only_files_of_the_page_are_served(tmp_path: Path) -> None:
    (tmp_path / "outside.js").write_text("outside")
    async with running(tmp_path) as hub:
        for name in ("secret.txt", "none.js", "..%2foutside.js", ".hidden.js", "index.html"):
            assert (await got(hub.http, f"{hub.front.url}/-/console/{name}"))[0] == 404


async def test_its_policy_allows_nothing_but_its_own_files(tmp_path: Path) -> None:
    async with running(tmp_path) as hub, hub.http.get(f"{hub.front.url}/-/") as answer:
        directives = answer.headers["Content-Security-Policy"].split("; ")
        assert "default-src 'self'" in directives
        assert not [each for each in directives if "unsafe" in each or "http" in each]
        assert "frame-ancestors 'none'" in directives
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_checkout_without_a_build_says_what_to_run(tmp_path: Path, built: Path) -> None:
    (built / "index.html").unlink()
    async with running(tmp_path) as hub:
        status, text = await got(hub.http, f"{hub.front.url}/-/")
    assert status == 503
    assert "make .venv/console" in text
