"""Strangers measured: what a user with a login waits for beside ten thousand clients without one.

The wait beside them is compared with that of the same hub when it is quiet, and with that of
another hub on the same machine, which nobody but the user asks: it shows what the machine itself
cannot do.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt

from tests.bench.child import Child
from tests.bench.fair import fill
from tests.bench.figures import Figure
from tests.bench.servers import CONFIG, fresh_hub

COUNT = 10_000
SECONDS = 20.0
ARRIVAL_SECONDS = 10.0
"""In which the crowd comes, before anything is measured."""
ROWS = 2_000
"""Of the table that those who never read ask for."""
MARK = 2.0
SECRET = "a secret of the benchmark, 32 bytes"
STRANGERS_CONFIG = (
    CONFIG.replace("server: {heartbeat: 600}", "server: {heartbeat: 600, LIMITS}")
    + f"""
  private:
    pattern: /private
    handler: MessageHandler
    kwargs: {{columns: {{body: TEXT}}, auth: true}}
auth: {{jwt: {{secret: "{SECRET}"}}}}
"""
)
CASES = [(kind, addresses) for addresses in (1000, 1) for kind in ("open", "garbage", "never read")]
_DO = {"open": "only open", "garbage": "only send garbage", "never read": "never read"}


def strangers(scale: float, only: str = "") -> Iterator[Figure]:
    """How much longer a user waits for a write and its delivery, beside kinds with `only`."""
    count, seconds = max(20, int(COUNT * scale)), max(3.0, SECONDS * scale)
    for kind, addresses in [each for each in CASES if only in _DO[each[0]]]:
        yield _measured(kind, addresses, count, seconds, max(2.0, ARRIVAL_SECONDS * scale))


def _measured(kind: str, addresses: int, count: int, seconds: float, arrival: float) -> Figure:
    """Measure one crowd on hubs of its own: what one leaves behind is not the next one's."""
    # Loopback is exempt from the limits of an address, unless one is configured.
    config = STRANGERS_CONFIG.replace(
        "LIMITS", f"max_connections_per_address: {max(10, count // 4)}"
    )
    with fresh_hub(config) as attacked, fresh_hub(config) as control:
        urls = [server.url.removesuffix("/bench") for server in (attacked, control)]
        for url in urls:
            fill(url, ROWS)
        token = jwt.encode({"sub": "ann", "exp": int(time.time()) + 3600}, SECRET, "HS256")
        with (
            Child("crowd", role="user", urls=urls, token=token) as user,
            Child(
                "crowd", role="crowd", url=urls[0], kind=kind, count=count, addresses=addresses
            ) as crowd,
            ThreadPoolExecutor(1) as pool,
        ):
            user.ask(seconds=1.0)  # warm-up
            quiet = user.ask(seconds=seconds)
            coming = pool.submit(crowd.ask, seconds=arrival + seconds + 1)
            time.sleep(arrival)
            beside = user.ask(seconds=seconds)
            came = coming.result()
    source = "one address" if addresses == 1 else f"{addresses:,} addresses"
    return Figure(
        what=f"user's p99 beside {count:,} from {source} that {_DO[kind]}",
        value=max(_ratio(beside, quiet, name, 0) for name in ("writes", "deliveries")),
        unit="times quiet",
        mark=MARK,
        is_ceiling=True,
        more=f"control {max(_ratio(beside, quiet, n, 1) for n in ('writes', 'deliveries')):.1f};"
        f" write {_pair(beside, quiet, 'writes')}, delivery {_pair(beside, quiet, 'deliveries')},"
        f" GET of a newcomer {_pair(beside, quiet, 'newcomers')}; {came['held']:,} held,"
        f" {came['opened']:,} opened, {came['closed by the hub']:,} closed by the hub",
    )


def _ratio(beside: dict[str, Any], quiet: dict[str, Any], name: str, hub: int) -> float:
    return float(beside[name][hub]["p99"] / quiet[name][hub]["p99"])


def _pair(beside: dict[str, Any], quiet: dict[str, Any], name: str) -> str:
    """Return the 99th percentiles on the hub with the crowd, and on it when it was quiet."""
    return f"{beside[name][0]['p99']:.1f} ms against {quiet[name][0]['p99']:.1f}"
