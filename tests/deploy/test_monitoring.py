"""`deploy/prometheus` and `deploy/grafana` ask for metrics that a hub has, in a real Prometheus."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml

from tests.e2e.command import GOOD
from tests.e2e.hub import DEADLINE_SECONDS, Hub, running_hub
from tests.nats_server import nats_server
from tests.ports import free_port
from tests.unit.test_docs import page, table
from tests.waiting import until

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus"
_NAME = re.compile(r"\b(?:eventhub|process)_[a-z_]+|\bup\b")

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed"
)


def shown() -> list[str]:
    """Return every expression of the dashboard."""
    dashboard = json.loads((DEPLOY / "grafana" / "eventhub.json").read_text())
    return [each["expr"] for panel in dashboard["panels"] for each in panel.get("targets", [])]


def conditions() -> dict[str, str]:
    """Return the expression of each rule, by its name."""
    rules = yaml.safe_load((RULES / "eventhub.rules.yml").read_text())
    return {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}


def expressions() -> list[str]:
    """Return every expression of the dashboard and of the rules, ready to be asked."""
    found = [*shown(), *conditions().values()]
    return [each.replace("$instance", ".*").replace("$__rate_interval", "1m") for each in found]


def test_the_dashboard_shows_every_metric() -> None:
    documented = {row[0].strip("`") for row in table(page("operations.md"), "Metrics")}
    names = {name for each in shown() for name in _NAME.findall(each)}
    assert documented <= {name.removesuffix("_bucket") for name in names}


@needs_prometheus
def test_the_rules_fire_when_they_should() -> None:
    subprocess.run(["promtool", "test", "rules", "eventhub.test.yml"], cwd=RULES, check=True)


def test_every_rule_is_tried() -> None:
    tests = yaml.safe_load((RULES / "eventhub.test.yml").read_text())
    fired = {
        each["alertname"]
        for test in tests["tests"]
        for each in test["alert_rule_test"]
        if each["exp_alerts"]
    }
    assert fired == conditions().keys()


@pytest.fixture
def hubs(tmp_path: Path) -> Iterator[list[Hub]]:
    """One with a broker of its own, and one with a server elsewhere."""
    store = {"store_dir": str(tmp_path / "nats"), "sync_interval": "always"}
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
    with (
        nats_server(tmp_path / "nats", {"jetstream": store, "max_payload": 9_000_000}) as url,
        running_hub(tmp_path / "own", GOOD) as own,
        running_hub(tmp_path / "other", f"{GOOD}broker: {{url: '{url}'}}\n") as other,
    ):
        yield [own, other]


@pytest.fixture
def prometheus(hubs: list[Hub], tmp_path: Path) -> Iterator[str]:
    """A Prometheus that reads the metrics of hubs each second."""
    port = free_port()
    config = yaml.safe_load((RULES / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(RULES / name) for name in config["rule_files"]]
    targets = [hub.url.partition("//")[2] for hub in hubs]
    config["scrape_configs"] = config["scrape_configs"][:1]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = targets
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stderr=subprocess.DEVNULL,
    )
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(DEADLINE_SECONDS)


def ask(url: str, path: str) -> Any:
    with urlopen(f"{url}/api/v1/{path}") as answer:
        return json.load(answer)["data"]


def wait_for_scrape(url: str) -> None:
    """Wait until the metrics of both hubs were read."""

    def found() -> Any:
        try:
            up = ask(url, "query?query=" + quote('up{job="eventhub"} == 1'))["result"]
        except (URLError, ConnectionError):
            return None
        return len(up) == 2

    until(found)


@needs_prometheus
def test_a_real_prometheus_knows_every_metric_that_is_asked_for(prometheus: str) -> None:
    wait_for_scrape(prometheus)
    described = {each["metric"] for each in ask(prometheus, "targets/metadata?limit=10000")}
    known = {"up"} | {re.sub("_total$", "", name) for name in described}
    for expression in expressions():
        assert isinstance(ask(prometheus, "query?query=" + quote(expression))["result"], list)
        for name in _NAME.findall(expression):
            assert re.sub("_(total|bucket)$", "", name) in known, expression
    for name, condition in conditions().items():
        assert ask(prometheus, "query?query=" + quote(condition))["result"] == [], name
    rules = ask(prometheus, "rules")["groups"]
    assert {rule["health"] for group in rules for rule in group["rules"]} <= {"ok", "unknown"}
