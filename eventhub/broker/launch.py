"""Launch: starts nats-server in such a way that it ends with the hub, however the hub ends.

The kernel sees to that where it has prctl(2). Elsewhere, a second process holds the reading end of
a pipe whose writing end only the hub has: when the pipe ends, it ends the server.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Sequence
from functools import cache

import structlog

from eventhub.cores import half_of_cores

# Runs in the child, which becomes the server. A `preexec_fn` would run between fork and exec, where
# threads deadlock. PR_SET_PDEATHSIG is 1, PR_SET_TIMERSLACK 29. The server gets half of the cores:
# with all of them, its idle threads look for work on the core that the hub works on. On two cores
# that was 5 to 10 % of all CPU, and as much of the throughput.
_LAUNCH = """
import ctypes, os, select, signal, sys
hub, cores, pipe = map(int, sys.argv[1:4])
if pipe < 0:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
    ctypes.CDLL(None).prctl(29, ctypes.c_ulong(1_000_000), 0, 0, 0)
server = os.getpid()
if os.getppid() != hub: sys.exit("the hub is gone")
if pipe >= 0 and os.fork() == 0:
    os.closerange(3, pipe)  # the lock of the data folder is the server's alone
    os.closerange(pipe + 1, 1 << 16)
    while os.getppid() == server:
        if select.select([pipe], [], [], 1.0)[0]:
            if os.getppid() == server: os.kill(server, signal.SIGTERM)
            break
    os._exit(0)
os.environ.setdefault("GOMAXPROCS", str(cores))
os.execv(sys.argv[4], sys.argv[4:])
"""

logger = structlog.get_logger(__name__)


async def launch(
    command: Sequence[str], *, lock: int, output: int
) -> tuple[asyncio.subprocess.Process, int]:
    """Start a server.

    Args:
        command: the path of the program, and its arguments.
        lock: a descriptor that the server keeps open as long as it lives.
        output: a descriptor for what the server prints.

    Returns:
        The process, and the writing end of the pipe, to be closed once the process has ended; -1
        if there is none.
    """
    pipe, end = (-1, -1) if _kernel_ends_children() else os.pipe()
    arguments = map(str, (os.getpid(), half_of_cores(), pipe))
    kept = (lock,) if pipe < 0 else (lock, pipe)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _LAUNCH, *arguments, *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=kept,
            start_new_session=True,  # Ctrl-C is for the hub, which then stops its broker
        )
    except BaseException:
        close(end)
        raise
    finally:
        close(pipe)
    return process, end


def close(descriptor: int) -> None:
    """Close a descriptor, unless it is -1."""
    if descriptor >= 0:
        os.close(descriptor)


@cache
def _kernel_ends_children() -> bool:
    """Tell whether prctl(2) works, by asking for what `_LAUNCH` sets (PR_GET_PDEATHSIG is 2)."""
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (AttributeError, OSError) as error:
        logger.debug("system_without_prctl", error=str(error))
        return False
    if prctl(2, ctypes.byref(ctypes.c_int()), 0, 0, 0) == 0:
        return True
    logger.debug("system_without_prctl", error=os.strerror(ctypes.get_errno()))
    return False
