"""The files of `deploy/` are what the programs that read them accept, as far as these are here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.command import run

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCKER, KUBERNETES = DEPLOY / "docker", DEPLOY / "kubernetes"
SCRIPTS = Path(sys.executable).parent
SECRETS = ("NATS_PASSWORD", "NATS_ROUTE_PASSWORD", "SESSION_SECRET", "ADMIN_TOKEN")
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


def test_every_pod_is_locked_as_the_namespace_demands() -> None:
    pods = [
        each["spec"]["template"]["spec"]
        for path in KUBERNETES.glob("*.yaml")
        for each in yaml.safe_load_all(path.read_text())
        if isinstance(each, dict) and each.get("kind") in ("StatefulSet", "Deployment")
    ]
    assert len(pods) == 3
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
