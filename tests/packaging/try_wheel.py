"""Build the wheel, install it into an empty environment of each Python, and take the first steps.

In an empty folder, `eventhub init` writes a file that is then served, and `eventhub demo` serves
its chat. Pythons that this machine does not have are named, and left out. The wheel of the Python
client writes and reads from an environment of its own. Run by `make wheel`.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "python"
CLIENT_PACKAGES = {
    *("anyio", "certifi", "h11", "httpcore", "httpx", "idna", "typing-extensions", "websockets")
}
"""What the client needs, with what these need."""
CLIENT_PROGRAM = """
import sys
from eventhub_client import Hub

asked = {"where": {"topic": "client"}}
with Hub(sys.argv[1]) as hub:
    stored = hub.post("messages", {"topic": "client", "body": "x"})
    assert next(hub.changes("messages", since="earliest", **asked)).seq == stored["_seq"]
    assert list(hub.rows("messages", **asked).ready(20)) == [stored["id"]]
"""
VERSIONS = ("3.11", "3.12", "3.13")
READY_SECONDS = 30.0
FILES = (
    "eventhub/py.typed",
    "projections/py.typed",
    "licenses/LICENSE",
    "eventhub/examples/chat/page/index.html",
    "eventhub/examples/start/eventhub.yaml",
    "eventhub/javascript/eventhub.js",
    "eventhub/javascript/client/outbox.js",
    "eventhub/gateway/console/static/index.html",
    "eventhub/gateway/console/static/main.js",
)
READY = re.compile(r"^EventHub ready on (http://\S+)$", re.MULTILINE)


def main() -> None:
    """Try each version; exit with 1 if one fails."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wheel = built(ROOT, folder / "dist")
        check_contents(wheel, FILES)
        client = built(CLIENT, folder / "client")
        check_contents(client, ("eventhub_client/py.typed", "licenses/LICENSE"))
        found = {version: python for version, python in pythons() if python is not None}
        for version in VERSIONS:
            if version not in found:
                print(f"{version}: not on this machine, not tried")

        def attempt(version: str) -> None:
            # One Python is enough for the client, which has no code of its own for each.
            own = client if version == next(iter(found)) else None
            try_with(found[version], wheel, folder / version, own)
            print(f"{version}: installed, served, stopped")

        with ThreadPoolExecutor() as pool:  # much of the time is installing
            list(pool.map(attempt, found))


def built(source: Path, folder: Path) -> Path:
    """Return a wheel of a package of the checkout."""
    pip(Path(sys.executable), "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source)
    [wheel] = folder.glob("*.whl")
    return wheel


def check_contents(wheel: Path, files: Sequence[str]) -> None:
    """The package is typed, licensed, and holds its examples, but no tests and no data."""
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", wheel], check=True, capture_output=True, text=True
    ).stdout
    for name in files:
        assert name in listed, name
    for name in ("tests/", "data/"):
        assert name not in listed, name


def pythons() -> Iterator[tuple[str, Path | None]]:
    """Iterate over the versions, each with its interpreter if there is one that works."""
    homes = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in VERSIONS:
        candidates = [*homes.glob(f"{version}.*/bin/python"), Path(f"/usr/bin/python{version}")]
        candidates += map(Path, filter(None, [shutil.which(f"python{version}")]))
        yield version, next((path for path in candidates if is_version(path, version)), None)


def is_version(path: Path, version: str) -> bool:
    """Tell whether an interpreter is there, and is what its name says."""
    if not path.exists():
        return False
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return answer.stdout.startswith(f"Python {version}.")


def try_with(python: Path, wheel: Path, folder: Path, client: Path | None) -> None:
    """Install the wheels with the pinned packages, and take the first steps."""
    subprocess.run([python, "-m", "venv", str(folder / "venv")], check=True)
    own = folder / "venv" / "bin"
    pip(own / "python", "install", "--require-hashes", "-r", ROOT / "requirements.txt")
    pip(own / "python", "install", "--no-deps", wheel)
    place = folder / "empty"
    place.mkdir()
    subprocess.run([own / "eventhub", "init"], cwd=place, check=True, stdout=subprocess.DEVNULL)
    with running(own / "eventhub", "serve", "eventhub.yaml", place=place) as url:
        message = b'{"topic": "Help", "body": "x"}'
        with urlopen(Request(f"{url}/messages", message, method="POST"), timeout=10) as answer:
            assert answer.status == 201
        with urlopen(f"{url}/messages?topic=Help", timeout=10) as answer:
            assert [row["body"] for row in json.load(answer)] == ["x"]
        if client is not None:
            try_client(python, client, folder / "client", url)
    with (
        running(own / "eventhub", "demo", place=place) as url,
        urlopen(f"{url}/", timeout=10) as answer,
    ):
        assert b"EventHub chat" in answer.read()


def try_client(python: Path, wheel: Path, folder: Path, url: str) -> None:
    """Install the client with its pinned packages alone, and write to a hub and read from it."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    own, pins = folder / "bin" / "python", folder / "pins.txt"
    blocks = re.split(r"^(?=\S)", (ROOT / "requirements-dev.txt").read_text(), flags=re.MULTILINE)
    pins.write_text("".join(each for each in blocks if each.partition("==")[0] in CLIENT_PACKAGES))
    pip(own, "install", "--require-hashes", "-r", pins)
    pip(own, "install", "--no-deps", wheel)
    pip(own, "check")
    subprocess.run([own, "-c", CLIENT_PROGRAM, url], cwd=folder, check=True, timeout=60)


@contextmanager
def running(program: Path, *words: str, place: Path) -> Iterator[str]:
    """Yield the URL of a hub that must stop without an error."""
    output = place / "output.txt"
    with output.open("wb") as out:
        command = [str(program), *words, "--port", "0"]
        hub = subprocess.Popen(command, cwd=place, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield ready(hub, output)
    finally:
        hub.send_signal(signal.SIGTERM)
        assert hub.wait(30) == 0, output.read_text()


def pip(python: Path, *words: str | Path) -> None:
    """Run an interpreter's pip."""
    quiet = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([str(python), "-m", "pip", *quiet, *map(str, words)], check=True)


def ready(hub: "subprocess.Popen[bytes]", output: Path) -> str:
    """Return the URL of a hub once it takes traffic."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if match := READY.search(output.read_text()):
            return match[1]
        assert hub.poll() is None, output.read_text()
        time.sleep(0.05)
    raise TimeoutError(output.read_text())


if __name__ == "__main__":
    main()
