"""A socket is in its folder, however deep, for its user alone, and replaces one that was left."""

import socket
import stat
from pathlib import Path

import pytest

from eventhub.unix_socket import address_of, bound

NAME = "hub.sock"


def connects(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client, address_of(folder, NAME) as address:
        return client.connect_ex(address) == 0


def test_a_socket_is_the_users_alone(tmp_path: Path) -> None:
    with bound(tmp_path, NAME) as listening:
        assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
        assert not listening.getblocking()
        assert connects(tmp_path)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_folder_may_be_as_deep_as_one_likes(tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["deep" * 30] * depth)
    folder.mkdir(parents=True)
    with address_of(folder, NAME) as address:
        assert len(address) <= 107
    with bound(folder, NAME):
        assert connects(folder)


def test_a_socket_that_a_killed_hub_left_is_replaced(tmp_path: Path) -> None:
    bound(tmp_path, NAME).close()
    assert not connects(tmp_path)
    with bound(tmp_path, NAME):
        assert connects(tmp_path)


def test_a_folder_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        bound(tmp_path / "nowhere", NAME)
