"""A download is attached only if it is complete, in time, and has status 200."""

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import quote, unquote

import pytest

from eventhub.alerts import download
from eventhub.alerts.attachment import Attachment, load
from eventhub.alerts.sources import Sources
from eventhub.alerts.template import Templates
from eventhub.errors import Rejected, Unavailable


class Site(BaseHTTPRequestHandler):
    """Answers each path with the status it is named after, and /drip without an end."""

    served: ClassVar[bytes] = b"a,b\n1,2\n"
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status, _, rest = self.path.strip("/").partition("/")
        if status in ("to", "loop"):
            self.send_response(302)
            self.send_header("Location", unquote(rest) or self.path)
            self.end_headers()
            return
        self.send_response(int(status) if status.isdigit() else 200)
        self.send_header("Content-Type", "text/csv; charset=utf-8")
        self.end_headers()
        if status == "drip":
            while True:
                self.wfile.write(b"x" * 1000)
        self.wfile.write(self.served)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the output of tests clean."""

    def handle(self) -> None:
        """Let a client leave in the middle."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True


@pytest.fixture
def site() -> Iterator[str]:
    """The address of a web server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def fetched(url: str, name: str = "report") -> Attachment:
    template = Templates(Path(), []).compile("here", url)
    return load(template, {"name": name}, Sources(Path()))


def test_a_download_keeps_its_name_and_type(site: str) -> None:
    found = fetched(site + "/200/{{ name }}.csv?x=1")
    assert (found.name, found.media_type, found.data) == ("report.csv", "text/csv", Site.served)


@pytest.mark.parametrize(
    ("status", "error"),
    [(204, Rejected), (404, Rejected), (403, Rejected), (429, Unavailable), (503, Unavailable)],
)
def test_any_status_but_200_is_a_failure(site: str, status: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"answered {status}"):
        fetched(f"{site}/{status}/x")


def test_a_site_that_does_not_answer_is_unavailable(unused_port: int) -> None:
    with pytest.raises(Unavailable):
        fetched(f"http://127.0.0.1:{unused_port}/x")


def test_an_endless_download_ends_at_the_size_limit(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 1 << 20)
    with pytest.raises(Rejected, match="larger than 1 MiB"):
        fetched(site + "/drip")


def test_an_endless_download_ends_at_the_deadline(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 1 << 40)
    monkeypatch.setattr(download, "DOWNLOAD_SECONDS", 0.1)
    with pytest.raises(Unavailable, match="took longer"):
        fetched(site + "/drip")


def leading(site: str, to: str) -> str:
    return f"{site}/to/{quote(to, safe='')}"


def test_a_redirect_on_the_same_host_is_followed(site: str) -> None:
    assert fetched(leading(site, "/200/there.csv")).name == "there.csv"
    assert fetched(leading(site, f"{site}/200/there.csv")).data == Site.served
    with pytest.raises(Rejected, match="more than 5 times"):
        fetched(f"{site}/loop")


def test_a_redirect_to_any_other_address_is_not_followed(site: str, unused_port: int) -> None:
    port = site.rpartition(":")[2]
    Site.asked.clear()
    for to in (
        f"http://127.0.0.1:{unused_port}/200/x",
        f"http://localhost:{port}/200/x",
        f"http://[::ffff:127.0.0.1]:{port}/200/x",
        f"http://127.1:{port}/200/x",
        f"//127.0.0.2:{port}/200/x",
        f"https://127.0.0.1:{port}/200/x",
        "http://169.254.169.254/latest/meta-data",
        f"http://x@127.0.0.1:{port}/200/x",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
    ):
        with pytest.raises(Rejected):
            fetched(leading(site, to))
    assert all(path.startswith("/to/") for path in Site.asked)


@pytest.mark.parametrize(
    ("address", "is_refused"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("169.254.169.254", True),
        ("0.0.0.0", True),
        ("224.0.0.1", True),
        ("::1", True),
        ("::", True),
        ("fe80::1%eth0", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:169.254.169.254", True),
        ("64:ff9b::7f00:1", True),
        ("2002:7f00:1::", True),
        ("10.1.2.3", False),
        ("192.168.1.2", False),
        ("fd12::1", False),
        ("93.184.216.34", False),
    ],
)
def test_a_name_that_resolves_to_this_machine_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str, is_refused: bool
) -> None:
    connected: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(where: tuple[str, int], *_: Any) -> socket.socket:
        connected.append(where[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(Rejected if is_refused else Unavailable):
        fetched("http://rebound.example/{{ name }}")
    assert connected == ([] if is_refused else [address])


def test_a_name_is_resolved_once(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved: list[str] = []
    genuine = socket.getaddrinfo

    def resolve(host: str, port: int, *_: Any, **options: Any) -> list[Any]:
        if host == "127.0.0.1":  # what is connected to
            return list(genuine(host, port, **options))
        resolved.append(host)
        return list(genuine("127.0.0.1", port, **options))

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    name = f"http://localhost:{site.rpartition(':')[2]}"
    assert fetched(leading(name, "/200/x.csv")).data == Site.served
    assert resolved == ["localhost"]


@pytest.mark.parametrize("name", ["a b", "é", "a?b", "a#b", "=?utf-8?q?x?="])
def test_a_value_in_the_path_of_a_url_is_encoded(site: str, name: str) -> None:
    assert fetched(site + "/200/{{ name }}", name).data == Site.served


@pytest.mark.parametrize("name", ["a\r\nX: y", "a\0", "a\tb", "a\x85"])
def test_a_control_character_in_a_url_is_refused(site: str, name: str) -> None:
    with pytest.raises(Rejected, match="is not an http or https URL"):
        fetched(site + "/200/{{ name }}x", name)
