"""Fixtures for tests against the real broker, and how all property tests run."""

import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from eventhub.broker import EmbeddedBroker
from eventhub.garbage import collect_rarely
from eventhub.jetstream import JetStreamLog
from eventhub.logs import limited
from tests.cluster import Cluster, cluster

ROOT = Path(__file__).parent
LAST = ("conformance", "unit")
"""Folders of short files. They come last, so that no worker is alone with a long one at the end."""
pytest_plugins = ["tests.databases"]

# Hubs and commands that a test starts are not measured: they would take a third more of their time,
# which is most of the time of all tests. Workers of pytest have begun to be measured already.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)

collect_rarely()  # as commands do: a worker of pytest has a million objects

# No test is of time: the first one to draw a text in a fresh checkout builds Hypothesis's table of
# Unicode, a second or more, and a machine that is shared may pause anywhere.
settings.register_profile("eventhub", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("eventhub"), max_examples=10)
settings.register_profile("fuzz", settings.get_profile("eventhub"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "eventhub"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the tests of a file to one worker: what they share starts once; the short ones last."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(ROOT).as_posix()))
    items.sort(key=lambda item: item.path.relative_to(ROOT).parts[0] in LAST)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    """A nats-server of its own, in a folder of its own."""
    async with EmbeddedBroker(tmp_path / "data") as started:
        yield started


@pytest.fixture
async def log(broker: EmbeddedBroker) -> AsyncIterator[JetStreamLog]:
    """A log connected to `broker`."""
    async with JetStreamLog.connect(broker.url, token=broker.token) as connected:
        yield connected


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nats-servers for all tests that end none of them; they start once."""
    with cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
async def servers(shared_cluster: Cluster) -> AsyncIterator[Cluster]:
    """The shared servers, without any stream."""
    yield shared_cluster
    await shared_cluster.delete_streams()


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect garbage after a test over TLS, in which its warnings are expected.

    asyncio leaves the transport below TLS to the collector if the other side ends first.
    """
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _unlimited() -> Iterator[None]:
    """Begin each test with a log that has left nothing out."""
    limited.flush()
    yield
    limited.flush()
