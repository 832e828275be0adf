"""What is private is recognized by its name and by what it is, wherever it is."""

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eventhub.config import Alert, Config, MessageEndpoint
from eventhub.gateway.private import PrivateFiles, has_private_name

PRIVATE = [
    *(
        "hooks.py",
        "hooks.PY",
        "hooks.pyc",
        "hooks.py.orig",
        "hooks.py~",
        "#hooks.py#",
        "hooks.py_old",
    ),
    *(
        "eventhub.YAML",
        "eventhub.yaml.bak",
        "eventhub.yaml~",
        "eventhub.yaml.2026-11-30",
        "a.yml.gz",
    ),
    *(
        "eventhub.yaml (copy)",
        "eventhub.yaml,v",
        "eventhub.yaml.txt",
        "eventhub.yaml1",
        "a.yaml.swp",
    ),
    *("rows.db", "rows.db-wal", "rows.db-journal", "rows.db-shm", "rows.sqlite", "rows.sqlite3"),
    *("rows-wal", "rows-journal", "rows-shm", "rows.duckdb.wal", "rows.DuckDB", "rows.db3"),
    *("server.key", "server.pem", "site.p12", "prod.env", ".env", "jwt.secret", "users.htpasswd"),
    *(
        "id_rsa",
        "credentials.json",
        "secrets.txt",
        "id_ed25519",
        "nohup.out",
        "core",
        "core.1234",
        "hub.log",
        "nats.creds",
        "a.old",
    ),
    *(
        ".eventhub.yaml.swp",
        ".htaccess",
        ".git",
        "~lock",
        "eventhub.yaml.dpkg-old",
        "a.orig",
        "a.tmp",
    ),
]


PAGES = [
    *("index.html", "app.js", "app.min.js", "app.js.map", "style.css", "logo.svg", "a.b.c.png"),
    *(
        "pouch.db.js",
        "keys.html",
        "monkey",
        "donkey.jpg",
        "database.json",
        "python.pyramid",
        "x.dbf",
    ),
    *("read me.txt", "report.pdf", "archive.tar.gz", "tokens.html", "encore.mp3", "secretary.txt"),
]


@pytest.mark.parametrize("name", PRIVATE)
def test_names_of_private_files_are_recognized(name: str) -> None:
    assert has_private_name(name)
    assert has_private_name(name.upper())
    assert has_private_name(name.title())


@pytest.mark.parametrize("name", PAGES)
def test_names_of_public_files_are_recognized(name: str) -> None:
    assert not has_private_name(name)


@given(st.sampled_from(PRIVATE), st.from_regex(r"[~_#%,; ()0-9-][^/.]{0,20}", fullmatch=True))
def test_a_copy_of_a_private_file_is_private_under_any_name(name: str, end: str) -> None:
    assume(
        "." in name.strip(".") and not name.startswith(("core", "nohup", "credentials", "secrets"))
    )
    assert has_private_name(name + end)


@pytest.fixture
def hub(tmp_path: Path) -> Config:
    """A hub whose configuration and data are in the folder that is served."""
    (tmp_path / "data").mkdir()
    (tmp_path / "settings").write_text("url: {}")
    (tmp_path / "mail").write_text("text of a mail")
    alert = Alert(to=["ann@example.org"], bodyfile="mail")
    return Config(
        path=tmp_path / "settings",
        data=tmp_path / "data",
        endpoints=(MessageEndpoint(name="chat", pattern="/chat", table="chat", alert=alert),),
    )


@pytest.mark.parametrize(
    ("name", "is_private"),
    [
        ("settings", True),
        ("mail", True),
        ("data/page.html", True),
        ("copy/page.html", True),
        ("copy/sub/page.html", True),
        (".git/page.html", True),
        ("page.html", False),
        ("sub/page.html", False),
    ],
)
def test_files_of_a_hub_and_copies_of_its_data_are_private(
    hub: Config, tmp_path: Path, name: str, is_private: bool
) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "broker.lock").touch()
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert PrivateFiles(hub).holds(path, tmp_path) is is_private


def test_another_name_of_a_private_file_is_private(hub: Config, tmp_path: Path) -> None:
    files = PrivateFiles(hub)
    link = tmp_path / "page.html"
    link.hardlink_to(hub.path)
    assert files.holds(link, tmp_path)


def test_the_names_above_the_folder_that_is_served_do_not_count(
    hub: Config, tmp_path: Path
) -> None:
    root = tmp_path / ".cache" / "site"
    root.mkdir(parents=True)
    (root / "page.html").touch()
    files = PrivateFiles(hub)
    assert not files.holds(root / "page.html", root)
    assert files.holds(root / "page.html", tmp_path)
