"""Poor system: a hub, or another module, where the kernel lacks what the first argument lists.

A seccomp filter makes the system calls fail with ENOSYS, in this process and all that it starts.
"""

import ctypes
import errno
import platform
import runpy
import struct
import sys
from pathlib import Path
from typing import Final

CALLS: Final = {
    "x86_64": {"affinity": 204, "prctl": 157, "aio": 206},
    "aarch64": {"affinity": 123, "prctl": 167, "aio": 0},
}
"""Numbers of sched_getaffinity, prctl and io_setup."""
_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("size", ctypes.c_ushort), ("code", ctypes.c_char_p))


def forbid(numbers: list[int]) -> None:
    """Make system calls fail from now on (seccomp(2), as classic BPF)."""
    code = [struct.pack("HBBI", _LOAD, 0, 0, 0)]
    for number in numbers:
        code += [struct.pack("HBBI", _IF_EQUAL, 0, 1, number)]
        code += [struct.pack("HBBI", _RETURN, 0, 0, _FAIL | errno.ENOSYS)]
    code += [struct.pack("HBBI", _RETURN, 0, 0, _ALLOW)]
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(code), b"".join(code))
    assert libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    done = libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)
    assert done == 0, ctypes.get_errno()


if __name__ == "__main__":
    missing = sys.argv.pop(1).split(",")
    if "shm" in missing:
        from eventhub.broker import staging

        staging.MEMORY = Path("/nowhere")
    forbid([CALLS[platform.machine()][name] for name in missing if name != "shm"])
    runpy.run_module("eventhub", run_name="__main__", alter_sys=True)
