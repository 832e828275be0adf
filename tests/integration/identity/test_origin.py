"""Pages of other sites are admitted only where the operator lists them."""

import aiohttp
import pytest

from tests.integration.identity.logins import behind
from tests.integration.identity.site import Serve, Site


async def opened(site: Site, **headers: str) -> bool:
    """Return whether a WebSocket and a GET with such headers are admitted; both must agree."""
    is_open = bool(await site.who(**headers) != "forbidden")
    if is_open:
        await site.websocket(**headers)
    else:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await site.websocket(**headers)
    return is_open


async def test_own_pages_and_programs_are_admitted(serve: Serve) -> None:
    site = await serve()
    assert await opened(site)
    assert await opened(site, Origin=site.url)
    assert await opened(site, Origin=site.url.upper())
    assert await opened(site, Origin="http://Chat.Example", Host="chat.example")
    assert await opened(site, Origin="http://chat.example", Host="CHAT.EXAMPLE:80")
    assert await opened(site, Origin="https://chat.example", Host="chat.example")


async def test_pages_of_other_origins_are_refused(serve: Serve) -> None:
    site = await serve()
    for origin in (
        "null",
        "",
        "https://evil.example",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        f"http://localhost:{site.host.split(':')[1]}",
        f"{site.url}.evil.example",
        f"http://evil@{site.host}",
        f"{site.url}/",
        f"chrome-extension://{site.host}",
    ):
        assert not await opened(site, Origin=origin), origin


async def test_two_origins_are_refused(serve: Serve) -> None:
    site = await serve(origins=["https://good.example"])
    own, good, evil = (
        b"Origin: " + origin.encode()
        for origin in (site.url, "https://good.example", "https://evil.example")
    )
    for sent, status in (
        ([own], b" 200 "),
        ([good], b" 200 "),
        ([own, good], b" 403 "),
        ([good, evil], b" 403 "),
    ):
        answer = await site.raw(b"Host: " + site.host.encode(), *sent)
        assert status in answer.partition(b"\r\n")[0], sent


@pytest.mark.parametrize(
    ("origins", "good", "bad"),
    [
        (["https://a.example"], "https://a.example", "http://a.example"),
        (["https://a.example"], "https://A.example:443", "https://a.example:8443"),
        (["https://a.example:8443"], "https://a.example:8443", "https://a.example"),
        (["https://*.a.example"], "https://x.y.a.example", "https://a.example"),
        (["https://*.a.example"], "https://x.a.example", "https://evil-a.example"),
        (["https://*.a.example"], "https://b.a.example", "https://*.a.example"),
        (["capacitor://localhost"], "capacitor://localhost", "http://localhost"),
        (["ionic://localhost"], "ionic://localhost", "capacitor://localhost"),
        (["tauri://localhost"], "tauri://localhost", "https://tauri.localhost"),
        (["null"], "null", "https://a.example"),
        (["null"], "null", "file://"),
        (["file://"], "file://", "null"),
        (["file://"], "file://", "file://a.example"),
        (["https://a.example"], "https://a.example", "null"),
    ],
)
async def test_only_listed_origins_are_admitted(
    serve: Serve, origins: list[str], good: str, bad: str
) -> None:
    site = await serve(origins=origins)
    assert await opened(site, Origin=good)
    assert not await opened(site, Origin=bad)


async def test_a_star_admits_every_page_without_cookies(serve: Serve) -> None:
    site = await serve(origins=["*"])
    for origin in ("https://evil.example", "null", "nonsense"):
        assert await opened(site, Origin=origin)
        headers = await cors(site, origin)
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in headers


async def cors(site: Site, origin: str, method: str = "GET") -> dict[str, str]:
    headers = {"Origin": origin}
    async with site.client.request(method, site.url + "/who", headers=headers) as response:
        return dict(response.headers)


async def test_a_listed_page_may_read_answers_and_preflight_writes(serve: Serve) -> None:
    site = await serve(origins=["https://a.example"])
    plain = await cors(site, "https://a.example")
    assert plain["Access-Control-Allow-Origin"] == "https://a.example"
    assert plain["Access-Control-Allow-Credentials"] == "true"
    assert plain["Access-Control-Expose-Headers"].startswith("EventHub-Position, ETag, Retry-After")
    assert plain["Vary"] == "Origin"
    asked = await cors(site, "https://a.example", "OPTIONS")
    assert asked["Access-Control-Allow-Methods"] == "GET, HEAD, POST, PUT, PATCH, DELETE"
    allowed = asked["Access-Control-Allow-Headers"].split(", ")
    own = {"idempotency-key", "if-match", "if-none-match", "last-event-id"}
    assert {"content-type", "authorization", *own} <= set(allowed)
    # EventSource and fetch libraries send these by themselves.
    assert {"cache-control", "pragma", "x-requested-with"} <= set(allowed)


async def test_other_pages_get_no_cors_headers(serve: Serve) -> None:
    site = await serve(origins=["https://a.example"])
    for method in ("GET", "OPTIONS"):
        headers = await cors(site, "https://evil.example", method)
        assert not [name for name in headers if name.startswith("Access-Control")]


async def test_the_forwarded_host_counts_from_a_trusted_proxy_only(serve: Serve) -> None:
    trusted, other = await serve(behind("127.0.0.1")), await serve(behind("10.0.0.1"))
    page = {"Origin": "https://chat.example", "X_Forwarded_Host": "evil.example, chat.example"}
    assert await opened(trusted, **page)
    assert not await opened(other, **page)
    spoofed = {"Origin": "https://evil.example", "X_Forwarded_Host": "evil.example, chat.example"}
    assert not await opened(trusted, **spoofed)
