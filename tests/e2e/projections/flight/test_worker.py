"""The process of Flight is started again, and ends in time."""

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
from pyarrow import flight

from tests.e2e.flight import (
    CONFIG,
    DEADLINE_SECONDS,
    WIDE,
    connect,
    flight_pid,
    flight_port,
    hub_pid,
    raw_call,
    rows,
)
from tests.e2e.hub import Hub, HubFactory


def test_a_process_that_dies_is_started_again_on_its_port(hub: Hub) -> None:
    port, pid = flight_port(hub), flight_pid(hub)
    os.kill(pid, signal.SIGKILL)
    give_up = time.monotonic() + DEADLINE_SECONDS
    while flight_pid(hub) == pid:
        assert time.monotonic() < give_up
    with connect(hub) as connection:
        assert len(rows(connection, "FROM notes")) == 2
    assert flight_port(hub) == port


def test_the_hub_itself_does_not_load_flight(hub: Hub) -> None:
    loaded = [Path(f"/proc/{pid}/maps").read_text() for pid in (hub_pid(hub), flight_pid(hub))]
    assert ["libarrow_flight" in text for text in loaded] == [False, True]


def test_a_hub_stops_in_time_whatever_its_clients_do(hub_factory: HubFactory) -> None:
    hub = hub_factory(CONFIG)
    client, reader = raw_call(hub, WIDE)
    with closing(client):
        assert len(reader.read_chunk().data) > 0
        pid = flight_pid(hub)
        assert hub.stop() == 0
        assert "drain_cut_short" not in hub.stderr()
        assert not Path(f"/proc/{pid}").exists()
        with pytest.raises(flight.FlightUnavailableError):
            reader.read_all()
