"""The files of `deploy/` are what the programs that read them accept, as far as these are here."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from eventhub.config import load
from eventhub.jetstream.permissions import PREFIX, USERS
from tests.deploy.commands import blocks
from tests.deploy.reverse_proxies import find
from tests.e2e.command import output, run

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCKER, KUBERNETES = DEPLOY / "docker", DEPLOY / "kubernetes"
SCRIPTS = Path(sys.executable).parent
SECRETS = (
    *("NATS_USER", "NATS_PASSWORD", "NATS_ROUTE_PASSWORD", "SESSION_SECRET", "ADMIN_TOKEN"),
    *(f"EVENTHUB_{user.upper()}" for user in USERS),
)
CLUSTERS = (
    (DOCKER / "etc" / "cluster.yaml", DEPLOY / "nats"),
    (DEPLOY / "systemd" / "eventhub.yaml", DEPLOY / "nats"),
    (KUBERNETES / "eventhub.yaml", KUBERNETES),
)
"""Configurations of clusters, and where their users of the NATS servers are."""
PROBES = ("readiness", "liveness")
SPARE_SECONDS = 5.0
"""For what follows the waits that a configuration names."""
SECRET = "a-secret-of-the-test-that-is-long-enough"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, SECRET)
    for number in range(4):
        monkeypatch.setenv(f"NATS_ROUTE{number}", f"nats://route:{SECRET}@n{number}:6222")
    monkeypatch.setenv("NATS_NAME", "n1")
    monkeypatch.setenv("NATS_DATA", str(tmp_path))
    monkeypatch.setenv("POD_NAME", "n1")


def test_the_image_is_built_as_its_linter_wants() -> None:
    subprocess.run([str(SCRIPTS / "hadolint"), DOCKER / "Dockerfile"], check=True)


def test_the_compose_file_follows_the_compose_specification() -> None:
    command = [str(SCRIPTS / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    command += ["--no-cache", str(DOCKER / "compose.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_secret_of_compose_is_in_the_example() -> None:
    wanted = set(re.findall(r"\$\{(\w+):-\}", (DOCKER / "compose.yaml").read_text()))
    given = re.findall(r"^(\w+)=$", (DOCKER / ".env.example").read_text(), re.MULTILINE)
    assert wanted == set(given)


@pytest.mark.parametrize(
    "path", [*sorted((DOCKER / "etc").glob("*.yaml")), KUBERNETES / "eventhub.yaml"]
)
def test_a_configuration_is_fine(path: Path) -> None:
    done = run("check", "--strict", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [DEPLOY / "nats" / "cluster.conf", KUBERNETES / "nats.conf"])
def test_nats_server_accepts_a_configuration(path: Path) -> None:
    command = [str(SCRIPTS / "nats-server"), "-t", "-c", str(path)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("config", "folder"), CLUSTERS)
def test_servers_know_exactly_the_users_that_a_cluster_needs(config: Path, folder: Path) -> None:
    assert (folder / "eventhub-users.conf").read_text() == output("nats-permissions", config)


@pytest.mark.skipif(find("haproxy") is None, reason="haproxy is not installed")
def test_haproxy_accepts_the_configuration_of_compose() -> None:
    command = [find("haproxy") or "", "-c", "-f", str(DOCKER / "haproxy.cfg")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(KUBERNETES.glob("*.yaml")), ids=lambda path: path.name)
def test_kubernetes_accepts_a_manifest(path: Path) -> None:
    named = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    given = [file for each in named["configMapGenerator"] for file in each["files"]]
    if path.name == "kustomization.yaml":
        assert named["kind"] == "Kustomization"
        assert all((KUBERNETES / name).exists() for name in [*named["resources"], *given])
    elif path.name not in given:
        assert path.name in named["resources"]
        command = [str(SCRIPTS / "kubernetes-validate"), "--strict", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_makes_what_the_pods_and_the_page_name(tmp_path: Path) -> None:
    made = subprocess.run(["kubectl", "kustomize", KUBERNETES], stdout=subprocess.PIPE, check=True)
    (tmp_path / "made.yaml").write_bytes(made.stdout)
    command = [str(SCRIPTS / "kubernetes-validate"), "--strict", str(tmp_path / "made.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    objects = list(yaml.safe_load_all(made.stdout))
    namespaces = {each["metadata"].get("namespace") for each in objects}
    assert namespaces == {"eventhub", None}  # the namespace itself has none
    maps = {each["metadata"]["name"] for each in objects if each["kind"] == "ConfigMap"}
    text = made.stdout.decode()
    assert set(re.findall(r"configMap:\s+name: (\S+)", text)) == maps
    wanted = set(re.findall(r"secretKeyRef:\s+key: (\S+)\s+name: eventhub\n", text))
    [commands] = blocks("Kubernetes")
    assert wanted == set(re.findall(r"--from-literal=([\w-]+)=", commands))


def pods() -> dict[str, Any]:
    """Return the specification of the pods of each workload."""
    found = {}
    for path in KUBERNETES.glob("*.yaml"):
        for each in yaml.safe_load_all(path.read_text()):
            if isinstance(each, dict) and each.get("kind") in (
                "StatefulSet",
                "Deployment",
                "CronJob",
            ):
                spec = each["spec"].get("jobTemplate", each)["spec"]
                found[each["metadata"]["name"]] = spec["template"]["spec"]
    return found


def served() -> dict[str, Any]:
    """Return the same of those that run until they are stopped."""
    return {name: pod for name, pod in pods().items() if name != "backup"}


def seconds_to_leave(path: Path) -> float:
    """Return how long a nats-server takes that is asked to leave."""
    found = re.findall(r'lame_duck_(?:duration|grace_period): "(\d+)s"', path.read_text())
    assert len(found) == 2
    return sum(map(float, found))


def test_a_pod_has_more_time_to_stop_than_it_takes() -> None:
    server = load(KUBERNETES / "eventhub.yaml").server
    takes = dict.fromkeys(("gateway", "alerts", "projector"), server.lame_duck + server.drain)
    takes["nats"] = seconds_to_leave(KUBERNETES / "nats.conf")
    grace = {name: pod["terminationGracePeriodSeconds"] for name, pod in served().items()}
    assert grace.keys() == takes.keys()
    assert [name for name in takes if grace[name] < takes[name] + SPARE_SECONDS] == []


def test_a_container_has_more_time_to_stop_than_it_takes() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    server = load(DOCKER / "etc" / "cluster.yaml").server
    takes = dict.fromkeys(
        ("hub", "gateway1", "alerts1", "projector"), server.lame_duck + server.drain
    )
    takes["nats1"] = seconds_to_leave(DEPLOY / "nats" / "cluster.conf")
    grace = {name: float(services[name]["stop_grace_period"].removesuffix("s")) for name in takes}
    assert [name for name in takes if grace[name] < takes[name] + SPARE_SECONDS] == []


def test_every_process_is_the_user_of_its_role() -> None:
    """By its command, in compose and in Kubernetes."""
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    found = [
        (each["command"], each["environment"])
        for each in services.values()
        if "/etc/eventhub/cluster.yaml" in (each.get("command") or ())
    ]
    containers = [pod["containers"][0] for name, pod in pods().items() if name != "nats"]
    for each in containers:
        known = {
            entry["name"]: entry.get("value") or entry["valueFrom"]["secretKeyRef"]["key"]
            for entry in each["env"]
        }
        found.append((each.get("args") or each["command"], known))
    roles = Counter[str]()
    for command, environment in found:
        words = " ".join(command).split()
        role = words[words.index("--role") + 1] if "--role" in words else "backup"
        roles[role] += 1
        assert environment["NATS_USER"] == PREFIX + role
        secrets = (f"nats-{role}", f"${{EVENTHUB_{role.upper()}:-}}")
        assert environment["NATS_PASSWORD"] in secrets
    assert roles == {"gateway": 3, "alerts": 3, "projector": 2, "backup": 2}


def test_every_server_has_the_passwords_of_all_users() -> None:
    """In compose none starts with a blank one, with which everybody would be that user."""
    wanted = {f"EVENTHUB_{user.upper()}" for user in USERS}
    [server] = pods()["nats"]["containers"]
    assert wanted <= {each["name"] for each in server["env"]}
    service = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["nats1"]
    assert wanted <= service["environment"].keys()
    script = service["entrypoint"][-1].replace("$$", "$").replace("nats-server", "true")
    for blank in wanted:
        environment = os.environ | {blank: ""}
        done = subprocess.run(
            ["sh", "-c", script], env=environment, capture_output=True, check=False
        )
        assert done.returncode != 0
        assert blank in done.stderr.decode()
    assert subprocess.run(["sh", "-c", script], check=False).returncode == 0


def test_a_pod_that_stops_is_not_ready_before_its_port_is_closed() -> None:
    lame_duck = load(KUBERNETES / "eventhub.yaml").server.lame_duck
    [gateway] = pods()["gateway"]["containers"]
    probe = gateway["readinessProbe"]
    assert probe["httpGet"]["path"] == "/readyz"
    assert probe["periodSeconds"] * probe["failureThreshold"] < lame_duck


def test_every_pod_is_probed_where_it_answers() -> None:
    admin = load(KUBERNETES / "eventhub.yaml").server.admin
    assert admin is not None
    for name, pod in served().items():
        [container] = pod["containers"]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        asked = {ports[container[f"{kind}Probe"]["httpGet"]["port"]] for kind in PROBES}
        asks = {"gateway": 8080, "nats": 8222, "alerts": admin.port, "projector": admin.port}
        assert asked == {asks[name]}


def test_every_pod_is_locked_as_the_namespace_demands() -> None:
    assert len(pods()) == 5
    for pod in pods().values():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
