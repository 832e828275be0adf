"""A hub listens where its configuration says, and leaves nothing behind."""

import socket
import stat
from pathlib import Path

import pytest

from eventhub.config import Server
from eventhub.errors import Misconfigured
from eventhub.gateway.sockets import Sockets


def bound(host: str, port: int = 0, access: str = "group") -> Sockets:
    return Sockets.bound(Server(host=host, port=port, socket_access=access))  # type: ignore[arg-type]


def port_of(sockets: Sockets) -> int:
    return int(sockets.url.rpartition(":")[2])


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.sock"


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    first = bound("127.0.0.1")
    with pytest.raises(Misconfigured, match=rf"cannot listen on 127\.0\.0\.1:{port_of(first)}: "):
        bound("127.0.0.1", port_of(first))
    first.close()
    bound("127.0.0.1", port_of(first)).close()


def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(Misconfigured, match=r"cannot listen on 192\.0\.2\.1:0: "):
        bound("192.0.2.1")


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::", "localhost"])
def test_one_port_serves_both_families(host: str) -> None:
    sockets = bound(host)
    port = port_of(sockets)
    assert answers("127.0.0.1", port)
    assert answers("::1", port)
    sockets.close()
    assert not answers("127.0.0.1", port)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_a_port_that_is_taken_for_one_family_only_is_an_error() -> None:
    """Half of the clients would reach another program."""
    other = bound("::1")
    with pytest.raises(Misconfigured, match="cannot listen on localhost"):
        bound("localhost", port_of(other))
    other.close()


@pytest.mark.parametrize(
    ("access", "mode"), [("owner", 0o600), ("group", 0o660), ("everyone", 0o666)]
)
def test_a_unix_socket_has_the_mode_that_is_configured(path: Path, access: str, mode: int) -> None:
    sockets = bound(f"unix:{path}", access=access)
    assert sockets.url == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    sockets.close()
    assert not path.exists()


def test_a_unix_socket_that_a_killed_hub_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    bound(f"unix:{path}").close()
    assert not path.exists()


def test_a_unix_socket_that_another_hub_listens_on_is_an_error(path: Path) -> None:
    first = bound(f"unix:{path}")
    with pytest.raises(Misconfigured, match=r"hub\.sock: Address already in use"):
        bound(f"unix:{path}")
    assert path.exists()
    first.close()


def test_a_file_that_is_no_socket_is_never_removed(path: Path) -> None:
    path.write_text("a letter")
    with pytest.raises(Misconfigured, match="the path is not a socket"):
        bound(f"unix:{path}")
    assert path.read_text() == "a letter"


def test_a_unix_socket_in_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="No such file or directory"):
        bound(f"unix:{tmp_path}/none/hub.sock")


def test_the_unix_socket_of_a_hub_that_came_later_stays(path: Path) -> None:
    first = bound(f"unix:{path}")
    path.unlink()
    second = bound(f"unix:{path}")
    first.close()
    assert path.exists()
    second.close()
