"""`hub_factory` starts `eventhub serve` as a user does; a failed test shows what it logged."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.hub import Hub, HubFactory

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=40_000)  # machines that run all tests at once are slow
_HUBS = pytest.StashKey[list[Hub]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the stderr of a failed test's hubs."""
    report = yield
    if report.failed:
        for hub in item.stash.get(_HUBS, []):
            report.sections.append(("Captured stderr of the hub", hub.stderr()))
    return report


@pytest.fixture
def hub_factory(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[HubFactory]:
    """Start hubs, each with data of its own; all are gone after the test."""
    hubs: list[Hub] = []
    request.node.stash[_HUBS] = hubs

    def start(config: Path | str, *, files: dict[str, str] | None = None, **flags: object) -> Hub:
        folder = tmp_path / f"hub-{len(hubs)}"
        folder.mkdir()
        for name, text in (files or {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        hub = Hub(_config_file(config, folder), folder, _arguments(flags))
        hubs.append(hub)
        hub.start()
        return hub

    yield start
    for hub in hubs:
        hub.kill()


def _config_file(config: Path | str, folder: Path) -> Path:
    if isinstance(config, Path):
        return config.resolve()
    path = folder / "eventhub.yaml"
    path.write_text(config, encoding="utf-8")
    return path


def _arguments(flags: dict[str, object]) -> list[str]:
    """`role=["gateway", "alerts"]` becomes `--role gateway --role alerts`."""
    arguments: list[str] = []
    for name, value in flags.items():
        for one in value if isinstance(value, list) else [value]:
            arguments += [f"--{name.replace('_', '-')}", str(one)]
    return arguments


# Of the module, not of the session: Playwright keeps an event loop running in this thread, which
# tests with one of their own cannot have around them.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real headless Chromium."""
    if not CHROMIUM.exists():
        pytest.skip(f"needs Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, hub: Hub) -> Iterator[Page]:
    """The page at `/` of the `hub` of a test file, in a browser without cookies."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(hub.url)
    yield page
    context.close()
