"""A server answers before it counts as started, and says why it does not start."""

import os
import signal
from pathlib import Path

import pytest

import eventhub.broker.embedded
import eventhub.broker.server
import eventhub.broker.staging
from eventhub.broker.folder import held_lock
from eventhub.broker.server import Server, write_configs
from eventhub.errors import Misconfigured


async def test_a_server_that_does_not_get_ready_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventhub.broker.server, "START_SECONDS", 0.2)
    write_configs(tmp_path, "token")
    async with held_lock(tmp_path) as lock:
        server = await Server.spawn(tmp_path, port=-1, lock=lock, stores_nothing=False)
        os.kill(server.pid, signal.SIGSTOP)
        with pytest.raises(Misconfigured, match="did not start"):
            await server.ready("token")
        await server.kill()
        assert await server.wait() == -signal.SIGKILL
