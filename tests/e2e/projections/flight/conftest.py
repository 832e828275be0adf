"""`hub` is one hub for all tests of this folder, which leave its tables as they were."""

from collections.abc import Iterator

import pytest

from tests.e2e.command import post
from tests.e2e.flight import CONFIG, await_rows, connect
from tests.e2e.hub import Hub


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "eventhub.yaml").write_text(CONFIG)
    started = Hub(folder / "eventhub.yaml", folder, [])
    started.start()
    post(f"{started.url}/notes", id="a", body="one", n=5, price=1.5, tags={"x": [1, None]})
    post(f"{started.url}/notes", id="b", body="two", n=7, seen="2026-01-02T03:04:05+01:00")
    post(f"{started.url}/secret", id="s", x="hidden")
    with connect(started) as connection:
        await_rows(connection, "FROM notes", 2)
    yield started
    started.kill()
