"""Supervision: what systemd tells a process that it starts, in the environment (sd_notify(3))."""

import os
from collections.abc import Mapping


def notify_socket(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the address of the supervisor's socket, if there is one."""
    return (os.environ if environ is None else environ).get("NOTIFY_SOCKET") or None


def watchdog_seconds(environ: Mapping[str, str] | None = None) -> float | None:
    """Return how often the supervisor wants to hear from this process, if it does."""
    environ = os.environ if environ is None else environ
    text, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID")
    if not text.isdecimal() or int(text) == 0 or pid not in (None, str(os.getpid())):
        return None
    return int(text) / 1_000_000
