"""Two gateways: hubs of one configuration on one nats-server."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.e2e.hub import Hub
from tests.e2e.matrix import SECRET
from tests.nats_server import nats_server


class Hubs(NamedTuple):
    """The gateways."""

    one: Hub
    other: Hub


@contextmanager
def two_gateways(
    folder: Path, config: str, flags: Sequence[str] = (), program: Sequence[str] = ("eventhub",)
) -> Iterator[Hubs]:
    """Run both for the length of a block.

    Args:
        folder: for their files, and those of the nats-server.
        config: has `{url}` of the server, and the `{secret}` of tokens.
        flags: of `eventhub serve`.
        program: what Python runs as `eventhub`.
    """
    settings = {"max_payload": 9_000_000, "jetstream": {"store_dir": str(folder / "nats")}}
    with nats_server(folder / "nats", settings) as url:
        hubs = []
        try:
            for name in Hubs._fields:
                (folder / name).mkdir()
                (folder / name / "eventhub.yaml").write_text(config.format(url=url, secret=SECRET))
                file = folder / name / "eventhub.yaml"
                hubs.append(Hub(file, folder / name, [*flags], program))
                hubs[-1].start()
            yield Hubs(*hubs)
        finally:
            for hub in hubs:
                hub.kill()
