"""A file of the hub is recognized under every name, and no other file is."""

from pathlib import Path

import pytest

from eventhub.config import Auth, Broker, Config, Jwt, Projection, Server, Tls
from eventhub.config.hub_files import HubFiles


@pytest.fixture
def hub(tmp_path: Path) -> HubFiles:
    """The files of a hub, in a folder with files of others."""
    (tmp_path / "data" / "log").mkdir(parents=True)
    for name in NAMES:
        if name.startswith("data/"):
            continue
        (tmp_path / name).write_text(name)
    (tmp_path / "data/log/1.blk").write_text("block")
    (tmp_path / "page.html").write_text("page")
    (tmp_path / "template.md").write_text("template")
    config = Config(
        path=tmp_path / "hub.yaml",
        data=tmp_path / "data",
        sources=(tmp_path / "included.yaml",),
        auth=Auth(jwt=Jwt(jwks=str(tmp_path / "keys.json"))),
        broker=Broker(url="tls://a", key_file=str(tmp_path / "nats.key")),
        server=Server(tls=Tls(str(tmp_path / "hub.pem"), str(tmp_path / "hub.key"))),
        projection=Projection(path=str(tmp_path / "rows.duckdb")),
    )
    return HubFiles.of(config, tmp_path / "template.md")


NAMES = (
    "hub.yaml",
    "included.yaml",
    "keys.json",
    "nats.key",
    "hub.pem",
    "hub.key",
    "rows.duckdb",
    "rows.duckdb.wal",
    "data/log/1.blk",
    "template.md",
)


@pytest.mark.parametrize("name", NAMES)
def test_file_of_the_hub_is_held_by_its_name_and_by_a_second_one(
    hub: HubFiles, tmp_path: Path, name: str
) -> None:
    assert hub.holds(tmp_path / name)
    (tmp_path / "copy.txt").hardlink_to(tmp_path / name)
    assert hub.holds(tmp_path / "copy.txt")


def test_file_of_others_is_not_held(hub: HubFiles, tmp_path: Path) -> None:
    (tmp_path / "second.html").hardlink_to(tmp_path / "page.html")
    assert not hub.holds(tmp_path / "page.html")
    assert not hub.holds(tmp_path / "second.html")
    assert not hub.holds(tmp_path / "missing.html")


def test_file_that_replaces_one_of_the_hub_is_held(hub: HubFiles, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "new").replace(tmp_path / "hub.yaml")
    assert hub.holds(tmp_path / "hub.yaml")


def test_target_of_a_link_is_held_after_the_link_points_elsewhere(tmp_path: Path) -> None:
    for name in ("old.yaml", "new.yaml"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "linked.yaml"
    link.symlink_to("old.yaml")
    config = Config(path=tmp_path / "hub.yaml", data=tmp_path / "data", sources=(link,))
    hub = HubFiles.of(config)
    link.unlink()
    link.symlink_to("new.yaml")
    assert hub.holds(tmp_path / "old.yaml")
    assert hub.holds(tmp_path / "new.yaml")
