"""Systemctl: a stand-in for systemd, which starts and stops what the units of a machine say.

It knows what the units of `deploy/systemd` use: users, folders, environment, oneshot, notify, and
the command of a stop. `systemd-analyze verify` checks the rest of them.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

UNITS = Path("/etc/systemd/system")
DEADLINE_SECONDS = 90.0


class Unit:
    """One service, by its name without `.service`; `a@b` is the unit `a@` with the instance `b`."""

    def __init__(self, name: str) -> None:
        self.name = name
        stem, at, instance = name.partition("@")
        text = (UNITS / f"{stem}{at}.service").read_text().replace("%i", instance)
        self._text = text.replace("%%", "%")
        self._pid_file = Path(f"/run/{name}.pid")

    def get(self, key: str) -> list[str]:
        """Return the values of a key."""
        return re.findall(rf"^{key}=(.*)$", self._text, re.MULTILINE)

    @property
    def pid(self) -> int | None:
        """Return the process that runs."""
        try:
            pid = int(self._pid_file.read_text())
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        return pid

    def start(self) -> None:
        """Start it, and wait until it is ready, as systemd does."""
        if self.pid is not None:
            return
        [user] = self.get("User")
        for key, place in (("StateDirectory", "/var/lib"), ("RuntimeDirectory", "/run")):
            for name in self.get(key):
                self._make(Path(place, name), user)
        address = f"/run/{self.name}.notify"
        environment = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": address, **self._environment()}
        command = self.get("ExecStart")[0].replace("$$", "$")
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        Path(address).unlink(missing_ok=True)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
            Path(f"/var/log/{self.name}.log").open("ab") as log,
        ):
            notified.bind(address)
            os.chmod(address, 0o666)
            process = subprocess.Popen(
                [*as_user, *shlex.split(command)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            self._pid_file.write_text(str(process.pid))
            kind = self.get("Type")[0]
            if kind == "oneshot" and process.wait(DEADLINE_SECONDS):
                sys.exit(f"{self.name} has failed: {Path(log.name).read_text()[-2000:]}")
            if kind == "notify":
                self._wait(process, notified)

    def _wait(self, process: "subprocess.Popen[bytes]", notified: socket.socket) -> None:
        notified.settimeout(1.0)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            try:
                if b"READY=1" in notified.recv(4096):
                    return
            except TimeoutError:
                pass
        log = Path(f"/var/log/{self.name}.log").read_text()
        sys.exit(f"{self.name} is not ready: {log[-3000:]}")

    @staticmethod
    def _make(folder: Path, user: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["chown", "-R", f"{user}:{user}", folder], check=True)
        folder.chmod(0o700)

    def _environment(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self._lines() if "=" in line)

    def _lines(self) -> Iterator[str]:
        yield from self.get("Environment")
        for name in self.get("EnvironmentFile"):
            path = Path(name.removeprefix("-"))
            if path.exists() or not name.startswith("-"):
                yield from path.read_text().splitlines()

    def reload(self) -> None:
        """Run the commands of a reload."""
        environment = {"PATH": os.environ["PATH"], **self._environment()}
        for command in self.get("ExecReload"):
            words = shlex.split(command.replace("$MAINPID", str(self.pid)))
            subprocess.run(words, env=environment, check=True)

    def stop(self) -> None:
        """Run the command of a stop, ask it to end, and wait until it has."""
        pid = self.pid
        if pid is None:
            return
        for command in self.get("ExecStop"):
            subprocess.run(shlex.split(command.replace("$MAINPID", str(pid))), check=True)
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.pid is not None:
            if time.monotonic() > deadline:
                os.killpg(pid, signal.SIGKILL)
            time.sleep(0.05)


def main() -> None:
    """Run one command of systemctl."""
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    verb, names = words[0], [name.removesuffix(".service") for name in words[1:]]
    if verb == "daemon-reload" or (verb == "enable" and "--now" not in sys.argv):
        return
    for name in names:
        if name.endswith(".timer"):
            assert (UNITS / name).exists()
            continue
        unit = Unit(name)
        if verb in ("stop", "restart", "disable"):
            unit.stop()
        if verb in ("enable", "start", "restart"):
            unit.start()
        if verb == "reload":
            unit.reload()


if __name__ == "__main__":
    main()
