"""A cluster of three machines outlives every fault of the table: `make test-cluster`."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.machines.faults import FAULTS, survive
from tests.machines.network import NotAllowed
from tests.machines.site import Site, running_site

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    try:
        async with running_site(tmp_path_factory.mktemp("machines")) as started:
            yield started
    except NotAllowed as error:
        pytest.skip(f"network namespaces need root: {error}")


@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_acknowledged_is_lost_repeated_or_moved(site: Site, fault: str) -> None:
    print(await survive(site, fault))
