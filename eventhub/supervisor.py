"""Supervisor: tells systemd how the process is (sd_notify(3)); without one, tells nobody."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

PINGS: Final = 3
"""In each period of the watchdog: one that comes late must not end the process."""


class Supervisor:
    """What started the process, and may restart it."""

    def __init__(self, address: str | None = None, watchdog_seconds: float | None = None) -> None:
        """Prepare.

        Args:
            address: path of its datagram socket; `@` at the beginning stands for a zero byte.
            watchdog_seconds: without a ping for so long it ends the process; None for no limit.
        """
        is_abstract = address is not None and address.startswith("@")
        self._address = f"\0{address[1:]}" if address and is_abstract else address
        self._watchdog_seconds = watchdog_seconds

    def ready(self, status: str) -> None:
        """Say that the start, or a reload, is over."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Say that a reload begins; `ready` says that it is over."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def status(self, status: str) -> None:
        """Say in words how the process is."""
        self._tell(f"STATUS={status}")

    async def watch(self, is_alive: Callable[[], bool], stop: asyncio.Event) -> None:
        """Ping the watchdog while the loop runs and `is_alive()`; say when the stop begins."""
        seconds = None if self._watchdog_seconds is None else self._watchdog_seconds / PINGS
        while not stop.is_set():
            if seconds is not None and is_alive():
                self._tell("WATCHDOG=1")
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await stop.wait()
        self._tell("STOPPING=1", "STATUS=stopping")

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)  # a supervisor that does not read must not stop the hub
            sender.sendto("\n".join(lines).encode(), self._address)
