"""Commands: those of docs/deployment.md, by their headings, and why a test does not run some."""

import re

from tests.unit.test_docs import page

WALKED = {
    "One machine",
    "Install on each machine",
    "Secrets, once",
    "Certificates, once",
    "Put them in place",
    "Start",
    "Your own tables",
    "From one machine to three",
    "Upgrade",
    "Add and remove a machine",
    "Backup and restore",
}
"""What `test_three_machines` runs."""
BY_OTHERS = {
    "An image": "tests/deploy/test_containers.py",
    "Compose": "tests/deploy/test_containers.py",
}
"""What other tests do by other means: podman is not docker, and has no secrets of a user."""
NOT_RUN = {"Kubernetes": "no test has a cluster of Kubernetes; the manifests are validated"}
INSTEAD = {
    "python3 -m venv /opt/eventhub && /opt/eventhub/bin/pip install eventhub": (
        "ln -sfn VENV /opt/eventhub"
    ),
    "/opt/eventhub/bin/pip install --upgrade eventhub": "true",
}
"""What is run instead of a command: no test downloads a release, which is not there yet."""


def blocks(heading: str) -> list[str]:
    """Return the shell blocks below a heading of the page."""
    return _all()[heading]


def headings() -> set[str]:
    """Return the headings that have commands."""
    return {heading for heading, found in _all().items() if found}


def _all() -> dict[str, list[str]]:
    parts = re.split(r"^#{2,3} (.+)$", page("deployment.md"), flags=re.MULTILINE)
    sections = zip(parts[1::2], parts[2::2], strict=True)
    pattern = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return {heading: pattern.findall(text) for heading, text in sections}
