"""`deploy/docker` builds an image, and runs it alone and as a cluster, with podman.

The base image is made from Debian's packages, with HAProxy in it for the proxy. Needs root, podman,
podman-compose and debootstrap; `make test-containers` installs them.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from eventhub.jetstream.permissions import USERS
from tests.ports import free_port
from tests.waiting import until

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
BASE, IMAGE = "localhost/eventhub-test-base", "localhost/eventhub-test"
LONG = "&".join(f"body=none{number:04}" for number in range(4000))
"""A filter in a URL of 56 KB."""
DEADLINE_SECONDS = 120.0
PROGRAMS = ("podman", "debootstrap", "runc")
LIMITS = ["--runtime", "runc", "--ulimit", "nproc=4096:4096"]

pytestmark = [
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, PROGRAMS)),
        reason="needs root, and " + ", ".join(PROGRAMS),
    ),
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("containers"),
]


def podman(*args: str | Path) -> str:
    """Run podman, and return what it prints."""
    done = subprocess.run(["podman", *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian with Python and HAProxy, made once and then kept by podman."""
    if not podman("images", "-q", BASE):
        folder = tmp_path_factory.mktemp("base") / "root"
        packages = "python3,python3-venv,ca-certificates,haproxy"
        command = ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm"]
        subprocess.run([*command, folder], stdout=subprocess.DEVNULL, check=True)
        archive = folder.with_name("base.tar")
        subprocess.run(["tar", "-C", folder, "-cf", archive, "."], check=True)
        podman("import", archive, BASE)
    return BASE


@pytest.fixture(scope="session")
def image(base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of this checkout; what pip and npm know of this machine is lent to the build."""
    lent = [f"--volume={path}:{path}:ro" for path in places_of_pip()]
    npmrc = tmp_path_factory.mktemp("npm") / "npmrc"
    npmrc.write_text(settings_of_npm())
    lent.append(f"--volume={npmrc}:/root/.npmrc:ro")
    file = DOCKER / "Dockerfile"
    how = ["--isolation=chroot", "--network=host", "--format=docker", f"--build-arg=BASE={base}"]
    podman("build", *how, *lent, "--file", file, "--tag", IMAGE, ROOT)
    return IMAGE


def places_of_pip() -> list[str]:
    """Return the files and folders that pip reads on this machine."""
    shown = subprocess.run(["pip", "config", "debug"], capture_output=True, text=True, check=True)
    files = re.findall(r"^ *(/\S+), exists: True", shown.stdout, re.MULTILINE)
    listed = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=True)
    values = re.findall(r"(?<![\w/])(?:file:/)?(?:/)?(/[\w./-]+)", listed.stdout)
    folders = [value.removesuffix("/simple") for value in values if Path(value).exists()]
    return sorted({*files, *folders, "/etc/ssl/certs"})


def settings_of_npm() -> str:
    """Return where npm finds packages on this machine, if it has one."""
    if shutil.which("npm") is None:
        return ""
    command = ["npm", "config", "list", "--json"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    known = json.loads(shown.stdout)
    return "".join(f"{key}={known[key]}\n" for key in ("registry", "cafile") if known.get(key))


def is_healthy(container: str) -> bool:
    """Run the check of a container's health; podman needs systemd to repeat it."""
    command = ["podman", "healthcheck", "run", container]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Compose:
    """One project of `compose.yaml`."""

    def __init__(self, profile: str, image: str, base: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = f"eventhub-test-{self.port}"
        self._profile = profile
        secret = "a-secret-of-the-test-that-is-long-enough"
        self._environment = os.environ | {
            "EVENTHUB_IMAGE": image,
            "PROXY_IMAGE": base,
            "PORT": str(self.port),
            "NOFILE": "4096",
            **{f"EVENTHUB_{user.upper()}": f"of-{user}-{secret}" for user in USERS},
            "NATS_ROUTE_PASSWORD": secret,
            "SESSION_SECRET": secret,
            "ADMIN_TOKEN": secret,
        }

    def __call__(self, *args: str, profile: str = "") -> None:
        """Run podman-compose, by default with the profile of this project."""
        command = ["podman-compose", "--podman-run-args=" + " ".join(LIMITS)]
        command += ["--project-name", self.name, "--profile", profile or self._profile, *args]
        done = subprocess.run(
            command,
            cwd=DOCKER,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    def container(self, service: str) -> str:
        """Return the name of a container."""
        return f"{self.name}_{service}_1"

    def post(self, body: str) -> int:
        """Write a message, and return its sequence."""
        data = json.dumps({"body": body, "_key": body}).encode()
        return int(self._ask(data)["_seq"])

    def bodies(self, query: str = "") -> list[str]:
        """Return the bodies of all rows, or of those that a query names."""
        return [row["body"] for row in self._ask(None, query)]

    def _ask(self, data: bytes | None, query: str = "") -> Any:
        """Ask until there is an answer: a message has a key, so that it is stored once."""

        def asked() -> Any:
            try:
                with urlopen(f"{self.url}/messages{query}", data, timeout=20) as answer:
                    return json.load(answer)
            except (URLError, ConnectionError, TimeoutError):
                return None

        return until(asked, seconds=DEADLINE_SECONDS)


@pytest.fixture
def compose(image: str, base: str) -> Iterator[Callable[[str], Compose]]:
    """Makes projects, which are removed with everything that they stored."""
    made: list[Compose] = []

    def make(profile: str) -> Compose:
        made.append(Compose(profile, image, base))
        return made[-1]

    yield make
    for each in made:
        each("down", profile="backup")
        each("down", "--volumes")


def test_a_hub_keeps_its_messages_on_its_volume(compose: Callable[[str], Compose]) -> None:
    project = compose("single")
    project("up", "--detach")
    assert project.post("first") == 1
    project("down")
    project("up", "--detach")
    assert project.post("second") == 2
    assert project.bodies() == ["first", "second"]
    facts = json.loads(podman("inspect", project.container("hub")))[0]
    assert facts["Config"]["User"] == "10001"
    assert facts["HostConfig"]["ReadonlyRootfs"]


def test_the_image_contains_the_console(image: str) -> None:
    """It is built with the image, whether the checkout has it or not."""
    limits = [*LIMITS, "--ulimit", "nofile=4096:4096"]
    listing = "import eventhub.gateway.console.serving as it, os; print(*os.listdir(it.FOLDER))"
    listed = podman("run", "--rm", *limits, "--entrypoint=python3", image, "-c", listing).split()
    assert {"index.html", "main.js", "style.css"} <= set(listed)


def test_a_cluster_outlives_a_server_and_starts_again_with_what_it_stored(
    compose: Callable[[str], Compose],
) -> None:
    project = compose("cluster")
    project("up", "--detach")
    assert project.post("all three") == 1
    assert project.bodies(f"?{LONG}&body=all+three") == ["all three"]
    for service in ("gateway2", "alerts2", "projector", "nats3"):
        until(partial(is_healthy, project.container(service)), seconds=DEADLINE_SECONDS)
    project("up", profile="backup")
    assert "EH_messages: 1 messages" in podman("logs", project.container("backup"))
    podman("kill", project.container("nats1"))
    assert project.post("two are enough") == 2
    podman("stop", project.container("gateway1"))
    assert project.post("by the other gateway") == 3
    project("down")
    project("up", "--detach")
    assert project.post("again") == 4
    assert project.bodies() == ["all three", "two are enough", "by the other gateway", "again"]
