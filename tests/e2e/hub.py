"""Hub: `eventhub serve` as a process, which can be stopped, killed and started again."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port

READY = re.compile(r"^EventHub ready on (https?://\S+?:(\d+)|unix:\S+)$", re.MULTILINE)
DEADLINE_SECONDS = 40.0
"""For a hub to take traffic, and for it to stop. A slow, shared machine needs many seconds."""


class Hub:
    """One `eventhub serve`: can be stopped or killed, and started again on its data and port.

    Args:
        config: its file.
        folder: for its data and what it prints.
        flags: of the command.
        program: what Python runs as `eventhub`.
        port: on which it listens; by default one that is free.
        inside: the command that runs another one in a place of its own, such as a namespace.
    """

    def __init__(
        self,
        config: Path,
        folder: Path,
        flags: list[str],
        program: Sequence[str] = ("eventhub",),
        *,
        port: int = 0,
        inside: Sequence[str] = (),
    ) -> None:
        self.config = config
        self._command = [*inside, sys.executable, "-m", *program, "serve", str(config), *flags]
        self._command += ["--data", str(folder / "data")]
        self.folder = folder
        """Of the configuration and the data."""
        self._out = folder / "stdout.txt"
        self._err = folder / "stderr.txt"
        self._port = str(port or free_port())  # a restart needs the same one
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        """Without a slash at the end; known once it was ready, and the same ever after."""

    @property
    def port(self) -> int:
        """Known once it was ready."""
        return int(self._port)

    def start(self, seconds: float = DEADLINE_SECONDS) -> None:
        """Start it and return when it takes traffic; fail if that takes longer than `seconds`."""
        self.launch()
        self.wait(seconds)

    def wait(self, seconds: float = DEADLINE_SECONDS) -> None:
        """Return when it takes traffic after `launch`; fail if that takes longer."""
        self.url, self._port = self._ready(seconds)

    def launch(self) -> None:
        """Start it and return at once."""
        # Files and not pipes: a pipe that is not read would stop the hub when it is full.
        with self._out.open("wb") as out, self._err.open("ab") as err:
            self.process = subprocess.Popen(
                [*self._command, "--port", self._port],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    def stop(self) -> int:
        """Ask it to stop, as systemd and Kubernetes do; return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill -9 it and all that it started: the power cut."""
        self._end(signal.SIGKILL)

    def stderr(self) -> str:
        """What it has logged, over all its starts."""
        return self._err.read_text(errors="replace") if self._err.exists() else ""

    def _ready(self, seconds: float) -> tuple[str, str]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if match := READY.search(self._out.read_text(errors="replace")):
                return match[1], match[2] or "0"
            if self.process is not None and self.process.poll() is not None:
                pytest.fail(f"the hub ended with {self.process.returncode}:\n{self.stderr()}")
            time.sleep(0.02)
        self.kill()
        pytest.fail(f"the hub was not ready in {seconds} s:\n{self.stderr()}")

    def _end(self, signal_number: signal.Signals) -> int:
        assert self.process is not None, "it was not started"
        if self.process.poll() is None:
            # SIGTERM is for the hub alone, which ends its broker itself.
            whole = signal_number is signal.SIGKILL
            (os.killpg if whole else os.kill)(self.process.pid, signal_number)
        try:
            return self.process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(DEADLINE_SECONDS)
            pytest.fail(f"the hub did not end in {DEADLINE_SECONDS} s:\n{self.stderr()}")


@contextmanager
def running_hub(folder: Path, config: str, files: Mapping[str, str] | None = None) -> Iterator[Hub]:
    """Run a hub for the length of a block: for fixtures that all tests of a file share.

    Args:
        folder: an empty one.
        config: the text of its configuration.
        files: the texts of files next to it, by their paths.
    """
    for name, text in {**(files or {}), "eventhub.yaml": config}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    hub = Hub(folder / "eventhub.yaml", folder, [])
    hub.start()
    try:
        yield hub
    finally:
        hub.kill()


HubFactory = Callable[..., Hub]
"""`hub_factory(path or YAML text, **flags)`: a started hub; `host="::1"` becomes `--host ::1`."""
