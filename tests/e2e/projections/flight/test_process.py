"""The hub starts with Flight or not at all, and renews its certificate."""

import signal
import socket
import time
from pathlib import Path

from adbc_driver_flightsql import DatabaseOptions

from tests.e2e.flight import (
    CONFIG,
    DEADLINE_SECONDS,
    connect,
    flight_pid,
    flight_port,
    refused,
    rows,
)
from tests.e2e.hub import Hub
from tests.e2e.test_tls import make_certificate


def test_a_port_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = tmp_path / "eventhub.yaml"
        config.write_text(CONFIG.replace("flight_port: 0", f"flight_port: {port}"))
        hub = Hub(config, tmp_path, [])
        hub.launch()
        assert hub.process is not None
        assert hub.process.wait(DEADLINE_SECONDS) == 2
    text = f"cannot listen on 127.0.0.1:{port} (server.flight_port): Address already in use"
    assert text in hub.stderr()


def test_a_hub_with_tls_speaks_it_and_takes_a_renewed_certificate(tmp_path: Path) -> None:
    make_certificate(tmp_path, "first")
    tls = "stalled_after: 3, tls: {cert_file: hub.pem, key_file: hub.key}"
    (tmp_path / "eventhub.yaml").write_text(CONFIG.replace("stalled_after: 3", tls))
    hub = Hub(tmp_path / "eventhub.yaml", tmp_path, [])
    hub.start()
    try:
        with connect(hub, **trusted(tmp_path)) as connection:
            assert rows(connection, "SELECT 1") == [(1,)]
        with connect(hub) as connection:
            assert "SELECT 1" not in refused(connection, "SELECT 1")
        pid = flight_pid(hub)
        make_certificate(tmp_path, "second")
        give_up = time.monotonic() + DEADLINE_SECONDS
        while flight_pid(hub) == pid:
            assert time.monotonic() < give_up
        with connect(hub, **trusted(tmp_path)) as connection:
            assert rows(connection, "SELECT 1") == [(1,)]
    finally:
        hub.kill()


def test_a_reload_serves_other_handlers_on_the_same_port(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "eventhub.yaml", tmp_path, [])
    hub.config.write_text(CONFIG)
    hub.start()
    try:
        port, pid = flight_port(hub), flight_pid(hub)
        hub.config.write_text(CONFIG.replace("  ask:", "  query:"))
        assert hub.process is not None
        hub.process.send_signal(signal.SIGHUP)
        give_up = time.monotonic() + DEADLINE_SECONDS
        while flight_pid(hub) == pid:
            assert time.monotonic() < give_up
        assert flight_port(hub) == port
        with connect(hub, "query") as connection:
            assert rows(connection, "SELECT 1") == [(1,)]
        with connect(hub, "ask") as connection:
            assert "there is no SQLHandler 'ask'" in refused(connection, "SELECT 1")
    finally:
        hub.kill()


def trusted(folder: Path) -> dict[str, str]:
    """Return the options of a client that trusts the certificate of now."""
    return {DatabaseOptions.TLS_ROOT_CERTS.value: (folder / "hub.pem").read_text()}
