"""A download is attached only if the URL answered it whole, in time, and with 200."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from eventhub.alerts import attachment
from eventhub.alerts.attachment import Attachment, load
from eventhub.alerts.template import Templates
from eventhub.errors import Rejected, Unavailable


class Site(BaseHTTPRequestHandler):
    """Answers each path with the status it is named after, and /drip without an end."""

    served: ClassVar[bytes] = b"a,b\n1,2\n"

    def do_GET(self) -> None:
        status = self.path.strip("/").partition("/")[0]
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


def fetched(url: str) -> Attachment:
    template = Templates(Path(), []).compile("here", url)
    return load(template, {"name": "report"}, Path())


def test_a_download_keeps_its_name_and_type(site: str) -> None:
    found = fetched(site + "/200/{{ name }}.csv?x=1")
    assert (found.name, found.media_type, found.data) == ("report.csv", "text/csv", Site.served)


@pytest.mark.parametrize(
    ("status", "error"),
    [(204, Rejected), (404, Rejected), (403, Rejected), (429, Unavailable), (503, Unavailable)],
)
def test_any_answer_but_200_is_a_failure(site: str, status: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"answered {status}"):
        fetched(f"{site}/{status}/x")


def test_a_site_that_is_not_there_may_be_later(unused_port: int) -> None:
    with pytest.raises(Unavailable):
        fetched(f"http://127.0.0.1:{unused_port}/x")


def test_a_download_without_end_is_cut_by_size(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachment, "MAX_BYTES", 1 << 20)
    with pytest.raises(Rejected, match="larger than 1 MiB"):
        fetched(site + "/drip")


def test_a_download_without_end_is_cut_by_time(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachment, "MAX_BYTES", 1 << 40)
    monkeypatch.setattr(attachment, "DOWNLOAD_SECONDS", 0.1)
    with pytest.raises(Unavailable, match="took longer"):
        fetched(site + "/drip")
