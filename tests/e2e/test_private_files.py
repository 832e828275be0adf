"""A configuration's own folder, served as a whole, shows its pages and nothing of the hub."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.command import post
from tests.e2e.hub import DEADLINE_SECONDS, Hub

CONFIG = """
import: teams/one.txt
projection: {path: tables.bin}
auth: {jwt: {secret_file: jwt.txt}}
email: {office: {host: mail.example.org, email: hub@example.org, password_file: smtp.txt}}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {body: TEXT}
      prepare: rules.checked(msg)
      alert: {to: a@example.org, subject: s, bodyfile: letter.txt, condition: "body=never"}
  page: {pattern: /(.*), handler: FileHandler, kwargs: {path: $YAMLPATH}}
"""
FILES = {
    "index.html": "page",
    "rules.py": "def checked(msg): pass",
    "jwt.txt": "0123456789abcdef0123456789abcdef",
    "smtp.txt": "the password",
    "letter.txt": "Dear {{ body }}",
}
PRIVATE = ["eventhub.yaml", "teams/one.txt", "tables.bin", *(n for n in FILES if n != "index.html")]


def answer(url: str, path: str) -> tuple[str, bytes]:
    """Return the status and all that follows, to the byte, of a path that no client tidies up."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS) as peer:
        peer.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
        )
        received = b"".join(iter(lambda: peer.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    lines = [
        line for line in head.split(b"\r\n") if not line.startswith((b"Date:", b"Set-Cookie:"))
    ]
    return lines[0].decode(), b"\r\n".join([*lines[1:], b"", body])


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams" / "one.txt").write_text("variables: {TEAM: one}")
    for name, text in {**FILES, "eventhub.yaml": CONFIG}.items():
        (tmp_path / name).write_text(text)
    hub = Hub(tmp_path / "eventhub.yaml", tmp_path, [])
    hub.start()
    yield hub
    hub.kill()


def test_no_file_of_the_hub_is_served_under_any_name(hub: Hub) -> None:
    post(f"{hub.url}/notes", body="a row")
    absent = answer(hub.url, "/absent.html")
    assert absent[0] == "HTTP/1.1 404 Not Found"
    found = [path for path in (hub.folder / "data").rglob("*") if path.is_file()]
    written = [path for path in found if path.suffix != ".tmp"]  # the broker renames those
    assert len(written) > 10
    private = [hub.folder / name for name in PRIVATE] + written
    served = hub.folder / "also"
    served.mkdir()
    for number, path in enumerate(private):
        try:
            os.link(path, served / f"hard{number}.html")
        except FileNotFoundError:  # the broker or the database has just replaced it
            assert path in written
            continue
        (served / f"soft{number}.html").symlink_to(path)
        names = (
            str(path.relative_to(hub.folder)),
            f"also/hard{number}.html",
            f"also/soft{number}.html",
        )
        for name in names:
            answered = answer(hub.url, f"/{name}")
            if not path.exists() or not path.samefile(served / f"hard{number}.html"):
                break  # the broker has replaced it, and what is served is nobody's file
            assert answered == absent, (name, path)
    assert len(list(served.iterdir())) > 2 * len(PRIVATE) + 10
    assert answer(hub.url, "/index.html")[0] == "HTTP/1.1 200 OK"


def test_copies_of_the_data_folder_are_not_served(hub: Hub) -> None:
    absent = answer(hub.url, "/absent.html")
    copy = hub.folder / "backup of november"
    unreadable = shutil.ignore_patterns("*.sock", "*.tmp")
    shutil.copytree(hub.folder / "data", copy, symlinks=True, ignore=unreadable)
    found = [path for path in copy.rglob("*") if path.is_file()]
    assert found
    for path in found:
        assert answer(hub.url, "/" + quote(str(path.relative_to(hub.folder)))) == absent, path


def test_a_page_with_two_names_is_served(hub: Hub) -> None:
    os.link(hub.folder / "index.html", hub.folder / "again.html")
    assert answer(hub.url, "/again.html")[1].endswith(b"\r\n\r\npage")
    (hub.folder / "unreadable.html").write_text("x")
    (hub.folder / "unreadable.html").chmod(0)
    if os.geteuid():  # root reads all
        assert answer(hub.url, "/unreadable.html") == answer(hub.url, "/absent.html")


def test_an_edited_configuration_is_as_private_as_before(hub: Hub) -> None:
    absent = answer(hub.url, "/absent.html")
    config = hub.folder / "eventhub.yaml"
    config.rename(hub.folder / "before.html")  # as an editor keeps a copy: the same inode
    config.write_text(CONFIG)
    os.link(config, hub.folder / "after.html")
    for name in ("before.html", "after.html", "eventhub.yaml"):
        assert answer(hub.url, f"/{name}") == absent
