"""A cluster of three machines outlives the loss of a leader; `make test-cluster` has the rest."""

from pathlib import Path

import pytest

from tests.machines.faults import survive
from tests.machines.network import NotAllowed
from tests.machines.site import running_site


@pytest.mark.timeout(300)
async def test_a_leader_that_is_killed_costs_nothing_acknowledged(tmp_path: Path) -> None:
    try:
        async with running_site(tmp_path) as site:
            await survive(site, "leader killed")
    except NotAllowed as error:
        pytest.skip(f"network namespaces need root: {error}")
