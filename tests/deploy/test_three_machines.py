"""The commands of docs/deployment.md take a hub from one machine to three, and through losses.

They run as they are printed, as root, on machines that are folders and network namespaces.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.deploy.commands import INSTEAD, blocks
from tests.deploy.machines import DEADLINE_SECONDS, ROOT, Machine, three_machines
from tests.machines.network import NotAllowed
from tests.waiting import until

URL = "http://127.0.0.1:8080/messages"
NOTES_URL = "http://127.0.0.1:8080/notes"
NOTES = "  notes: {pattern: /notes, handler: MessageHandler, kwargs: {columns: {body: TEXT}}}"
"""A table that the shipped configuration does not have."""
METRICS = """
. /etc/eventhub/environment
for port in 8080 8081 8082; do
  curl -sf -H "Authorization: Bearer $ADMIN_TOKEN" "http://n1:$port/metrics" > /tmp/metrics
  grep '^eventhub_broker_connected 1' /tmp/metrics
done
"""
"""Reads what the gateway, the alert worker and the projector of n1 count, as Prometheus does."""

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("three machines")]


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Machine]]:
    """Three machines, on which every user may read the programs of this checkout."""
    try:
        with three_machines(tmp_path) as made:
            for machine in made:
                for place in (Path(sys.prefix), Path(sys.base_prefix), ROOT):
                    for folder in (place, *place.parents):
                        machine.run(f"chmod a+rx {folder}")
            yield made
            for machine in made:  # pytest shows it if the test has failed
                logs = "/var/log/eventhub@*.log /var/log/nats-server.log"
                sys.stderr.write(f"{machine.name}:\n{machine.run(f'tail -n 15 {logs} || true')}")
    except NotAllowed as error:
        pytest.skip(f"machines need root: {error}")


def do(machine: Machine, heading: str, *numbers: int) -> None:
    """Run blocks of commands below a heading on a machine, by default all."""
    found = blocks(heading)
    for number in numbers or range(len(found)):
        text = found[number].replace("name=n1", f"name={machine.name}")
        for command, instead in INSTEAD.items():
            text = text.replace(command, instead.replace("VENV", sys.prefix))
        machine.run(text)


def do_on_each(machines: Sequence[Machine], heading: str, *numbers: int) -> None:
    """Run blocks of commands on machines at the same time, as their operators would."""
    with ThreadPoolExecutor(len(machines)) as threads:
        list(threads.map(lambda machine: do(machine, heading, *numbers), machines))


def copy_site(source: Machine, *others: Machine) -> None:
    """Copy the folder `site` to other machines."""
    copied = source.run("tar -c site | base64")
    for machine in others:
        machine.run("base64 -d | tar -x", copied)


def status(machine: Machine, body: str, url: str = URL) -> str:
    """Write a message at the gateway of a machine, and return the status of the answer."""
    message = json.dumps({"body": body, "_key": body})
    shown = "--silent --output /dev/null --write-out '%{http_code}'"
    kind = "Content-Type: application/json"
    return machine.run(f"curl {shown} -H '{kind}' -d '{message}' {url} || true")


def post(machine: Machine, body: str, url: str = URL) -> None:
    """Write a message at the gateway of a machine, again and again until it is stored."""
    until(lambda: status(machine, body, url) in ("200", "201"), seconds=DEADLINE_SECONDS)


def bodies(machine: Machine, url: str = URL) -> list[str]:
    """Return the bodies of all rows, as the gateway of a machine has them."""
    rows = json.loads(machine.run(f"curl --fail --silent {url}"))
    return [row["body"] for row in rows]


def test_a_hub_grows_from_one_machine_to_three_and_outlives_losses(
    machines: list[Machine],
) -> None:
    n1, n2, n3 = machines
    do(n1, "One machine")
    post(n1, "one machine")

    do_on_each(machines, "Install on each machine")
    do(n1, "Secrets, once")
    do(n1, "Certificates, once")
    copy_site(n1, n2, n3)
    do_on_each(machines, "Put them in place")
    do_on_each(machines, "Start", 0)
    do(n1, "From one machine to three")
    do_on_each(machines, "Start", 1)
    do(n1, "Start", 2)
    post(n2, "three machines")
    assert [bodies(machine) for machine in machines] == [["one machine", "three machines"]] * 3

    n2.run(METRICS)
    for machine in machines:
        machine.run(f"sed -i 's|^broker:|{NOTES}\\n&|' /etc/eventhub/eventhub.yaml")
    do_on_each(machines, "Your own tables")
    n1.run("systemctl restart eventhub@projector")
    for machine in machines:
        do(machine, "Upgrade", 0)
        post(machine, f"note of {machine.name}", NOTES_URL)
    assert bodies(n1, NOTES_URL) == [f"note of {machine.name}" for machine in machines]

    do(n2, "Upgrade", 0)
    do(n2, "Upgrade", 1)
    post(n2, "upgraded")
    do(n3, "Add and remove a machine")
    post(n1, "without a gateway")
    do(n3, "Start", 1)

    n3.kill()
    post(n1, "without a machine")
    n3.run("rm -r /var/lib/nats /var/lib/eventhub")
    do(n3, "Start", 0)
    do(n3, "Start", 1)
    stored = ["one machine", "three machines", "upgraded", "without a gateway"]
    stored.append("without a machine")
    assert bodies(n3) == stored

    n2.kill()
    n3.kill()
    assert status(n1, "without a quorum") == "503"
    do_on_each((n2, n3), "Start", 0)
    do_on_each((n2, n3), "Start", 1)
    post(n2, "without a quorum")
    stored.append("without a quorum")
    assert bodies(n1) == stored

    do(n1, "Backup and restore", 0)
    post(n1, "after the backup")
    do_on_each(machines, "Backup and restore", 1)
    do_on_each(machines, "Backup and restore", 2)
    do(n1, "Backup and restore", 3)
    do_on_each(machines, "Start", 1)
    assert [bodies(machine) for machine in machines] == [stored] * 3
    do(n1, "Backup and restore", 4)
