"""A FileHandler serves what is in its folder, and nothing that is not meant to be seen."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from eventhub.config import Config, FileEndpoint, Projection
from eventhub.gateway.admin import Condition
from eventhub.gateway.app import add_routes
from eventhub.gateway.compression import Compression
from eventhub.gateway.files import Files
from eventhub.gateway.live import Live
from eventhub.gateway.private import PrivateFiles

OWN = {"cache-control": "private", "X-Own": "1"}


@dataclass
class Site:
    """A server, asked without a client that would tidy the path up first."""

    port: int

    async def get(self, path: str, *headers: str) -> tuple[int, bytes]:
        """Return the status and what follows the status line: headers and body."""
        async with asyncio.timeout(40):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            lines = [
                f"GET {path} HTTP/1.1",
                "Host: 127.0.0.1",
                "Connection: close",
                *headers,
                "",
                "",
            ]
            writer.write("\r\n".join(lines).encode())
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
        status, _, rest = answer.partition(b"\r\n")
        return int(status.split()[1]), rest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of the configuration, which is served."""
    root = tmp_path / "site"
    for folder in (root / "sub", root / "empty", root / ".git", root / "data", tmp_path / "other"):
        folder.mkdir(parents=True)
    for name in (
        "index.html",
        "page.html",
        "é ü.html",
        "a%2fb.html",
        "sub/index.html",
        "sub/.env",
        ".git/config",
        ".hidden",
        "eventhub.yaml",
        "data/projection.duckdb",
        "rows.duckdb",
        "rows.duckdb.wal",
        "../secret.txt",
        "../other/secret.txt",
        "../site-secret.txt",
    ):
        (root / name).write_text(f"<{name}>")
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "outside").symlink_to(tmp_path / "other")
    (root / "visible").symlink_to(root / ".hidden")
    (root / "config").symlink_to(root / "eventhub.yaml")
    (root / "inside.html").symlink_to(root / "page.html")
    (root / "loop").symlink_to(root / "loop")
    (root / "link.html").hardlink_to(root / "eventhub.yaml")
    (root / ".dot.html").symlink_to(root / "page.html")
    (root / "inside.html.bak").symlink_to(root / "page.html")
    (root / "both.css").write_text("<both.css>")
    (root / "both.css.gz").hardlink_to(root / "eventhub.yaml")
    (root / "core" / "app.old").mkdir(parents=True)
    for name in ("core/index.html", "core/app.old/page.html", "core/app.old/index.html"):
        (root / name).write_text("<page.html>")
    (root / ".links").mkdir()
    (root / ".links" / "up").symlink_to(root)
    (root / "copy" / "jetstream" / "jetstream").mkdir(parents=True)
    for name in ("page.html", "jetstream/jetstream/a.txt"):
        (root / "copy" / name).write_text("<copy>")
    return root


@pytest.fixture
async def site(root: Path) -> AsyncIterator[Site]:
    config = Config(
        path=root / "eventhub.yaml",
        data=root / "data",
        projection=Projection(path=str(root / "rows.duckdb")),
        endpoints=(
            FileEndpoint(name="all", pattern="/s/", path=root),
            FileEndpoint(name="one", pattern="/one", path=root / "page.html"),
            FileEndpoint(name="gone", pattern="/gone", path=root / "nothing"),
            FileEndpoint(
                name="sub", pattern="/sub/", path=root, default_filename="page.html", headers=OWN
            ),
        ),
    )
    app = web.Application()
    compression = Compression()
    health = Condition(["the broker does not answer"], [])
    private = PrivateFiles(config)
    files = {
        each.pattern: Files(each, private, compression) for each in config.of_kind(FileEndpoint)
    }
    add_routes(app, config, [], Live(), lambda: health, files)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Site(runner.addresses[0][1])
    await runner.cleanup()
    compression.close()


async def test_configured_headers_replace_those_of_the_hub(site: Site) -> None:
    _, answer = await site.get("/sub/")
    head = answer.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    assert b"x-own: 1" in head
    assert [line for line in head if b"cache-control" in line] == [b"cache-control: private"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/s/page.html", "page.html"),
        ("/s/", "index.html"),
        ("/s/sub/", "sub/index.html"),
        ("/s/sub/../page.html", "page.html"),
        ("/s/page.html?x=../..", "page.html"),
        ("/s/%C3%A9%20%C3%BC.html", "é ü.html"),
        ("/s/a%252fb.html", "a%2fb.html"),
        ("/s/inside.html", "page.html"),
        ("/s/./page.html", "page.html"),
        ("/s/core/app.old/page.html", "page.html"),
        ("/s/core/app.old/", "page.html"),
        ("/s/core/", "page.html"),
        ("/one", "page.html"),
        ("/sub/", "page.html"),
    ],
)
async def test_public_files_are_served(site: Site, path: str, name: str) -> None:
    status, answer = await site.get(path)
    assert status == 200
    assert answer.endswith(f"\r\n\r\n<{name}>".encode())
    assert b"nosniff" in answer


async def test_a_file_is_not_found_with_a_slash_after_its_name(site: Site, root: Path) -> None:
    """Relative links in its page would lead below it."""
    (root / "a.html").write_text("")
    assert (await site.get("/s/a.html"))[0] == 200
    assert (await site.get("/s/a.html/"))[0] == 404


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/s/sub", "./sub/"),
        ("/s/sub?x=%2F..", "./sub/?x=%2F.."),
        ("/s/core/app.old", "./app.old/"),
        ("/s/a:b", "./a%3Ab/"),
    ],
)
async def test_a_folder_is_redirected_to_its_name_with_a_slash(
    site: Site, root: Path, path: str, location: str
) -> None:
    """Relative links in its page would lead to the folder above."""
    (root / "a:b").mkdir()
    (root / "a:b" / "index.html").write_text("")
    status, answer = await site.get(path)
    assert status == 301
    assert f"\r\nLocation: {location}\r\n".encode() in answer


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((f"a.{kind}", f"text/{kind}; charset=utf-8") for kind in ("html", "css", "csv")),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.md", "text/markdown; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("A.MJS", "text/javascript; charset=utf-8"),
        ("a.webmanifest", "application/manifest+json; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.wasm", "application/wasm"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.csv.gz", "application/gzip"),
        ("a", "application/octet-stream"),
    ],
)
async def test_text_is_utf8_and_scripts_have_a_type_that_browsers_run(
    site: Site, root: Path, name: str, kind: str
) -> None:
    (root / name).write_text("ä")
    status, answer = await site.get(f"/s/{name}")
    assert (status, f"\r\nContent-Type: {kind}\r\n".encode() in answer) == (200, True)


async def test_a_file_that_has_not_changed_is_not_sent_again(site: Site) -> None:
    _, answer = await site.get("/s/page.html")
    [tag] = [line for line in answer.split(b"\r\n") if line.startswith(b"Etag: ")]
    status, again = await site.get("/s/page.html", f"If-None-Match: {tag[6:].decode()}")
    assert (status, again.partition(b"\r\n\r\n")[2]) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/s/../secret.txt",
        "/s/../site-secret.txt",
        "/s/%2e%2e/secret.txt",
        "/s/%2e%2e%2fsecret.txt",
        "/s/..%2fsecret.txt",
        "/s/sub/%2e%2e/%2e%2e/secret.txt",
        "/s/sub/..%2f..%2fsecret.txt",
        "/s/..%5csecret.txt",
        "/s/%252e%252e%252fsecret.txt",
        "/s//etc/hostname",
        "/s/%2fetc%2fhostname",
        "/s/out.txt",
        "/s/outside/secret.txt",
        "/s/.hidden",
        "/s/%2ehidden",
        "/s/visible",
        "/s/.git/config",
        "/s/sub/.env",
        "/s/eventhub.yaml",
        "/s/config",
        "/s/sub/../eventhub.yaml",
        "/s/data/projection.duckdb",
        "/s/data",
        "/s/rows.duckdb",
        "/s/rows.duckdb.wal",
        "/s/sub/%2e%2e/page.html",
        "/s/sub/.%2e/page.html",
        "/s/sub%2f..%2fpage.html",
        "/s/sub%2Findex.html",
        "/s/sub%5cindex.html",
        "/s/sub\\index.html",
        "/s//page.html",
        "/s/link.html",
        "/s/.dot.html",
        "/s/.links/up/page.html",
        "/s/inside.html.bak",
        "/s/both.css",
        "/s/copy/jetstream/jetstream/a.txt",
        "/s/copy/page.html",
    ],
)
async def test_private_files_are_not_found(site: Site, path: str) -> None:
    status, answer = await site.get(path)
    assert status == 404
    assert b"<" not in answer


@pytest.mark.parametrize(
    "path",
    [
        *("/s/none", "/s/empty", "/s/page.html/x", "/s/loop", "/s/loop/x", "/gone", "/one/x"),
        *("/s/%00", "/s/page.html%00", "/s/" + "x" * 300, "/s/" + "x/" * 2000, "/s/%ff", "/s"),
    ],
)
async def test_missing_files_are_not_found(site: Site, path: str) -> None:
    assert (await site.get(path))[0] == 404


async def test_an_unchanged_file_is_not_sent_again(site: Site) -> None:
    _, answer = await site.get("/s/page.html")
    [tag] = [line for line in answer.split(b"\r\n") if line.lower().startswith(b"etag: ")]
    status, answer = await site.get("/s/page.html", f"If-None-Match: {tag[6:].decode()}")
    assert status == 304
    assert answer.endswith(b"\r\n\r\n")


async def test_health_and_metrics_are_served_next_to_files(site: Site) -> None:
    assert (await site.get("/healthz"))[0] == 200
    status, answer = await site.get("/readyz")
    assert (status, answer.endswith(b"\r\n\r\nthe broker does not answer\n")) == (503, True)
    status, answer = await site.get("/readyz", "X-Forwarded-For: 203.0.113.9")
    assert (status, answer.endswith(b"\r\n\r\nnot ready\n")) == (503, True)
    assert b"# TYPE eventhub_connections gauge" in (await site.get("/metrics"))[1]
