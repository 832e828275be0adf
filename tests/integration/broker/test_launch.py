"""A server starts with the lock of its folder, half of the cores, and a terminal's Ctrl-C far."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from eventhub.broker import launch as module
from eventhub.broker.launch import close, launch
from eventhub.cores import half_of_cores

SCRIPT = """
import json, os, sys, time
print(json.dumps([os.environ["GOMAXPROCS"], os.getsid(0), os.fstat(int(sys.argv[1])).st_ino]))
sys.stdout.flush()
time.sleep(60)
"""


@pytest.mark.parametrize("kernel_ends_children", [True, False])
async def test_a_server_gets_what_it_needs_and_ends_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel_ends_children: bool
) -> None:
    monkeypatch.setattr(module, "_kernel_ends_children", lambda: kernel_ends_children)
    monkeypatch.delenv("GOMAXPROCS", raising=False)
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    output = os.open(tmp_path / "output", os.O_CREAT | os.O_WRONLY)
    command = (sys.executable, "-c", SCRIPT, str(lock))
    process, pipe = await launch(command, lock=lock, output=output)
    try:
        assert (pipe < 0) is kernel_ends_children
        async with asyncio.timeout(20):
            while not os.stat(tmp_path / "output").st_size:
                await asyncio.sleep(0.005)
            cores, session, inode = json.loads((tmp_path / "output").read_text())
            assert (cores, session) == (str(half_of_cores()), process.pid)
            assert inode == os.fstat(lock).st_ino
            if kernel_ends_children:
                process.terminate()
            else:
                close(pipe)  # as the end of the hub does
            assert await process.wait() < 0
    finally:
        if process.returncode is None:
            process.kill()
        os.close(lock)
        os.close(output)
