"""Soak: faults drawn from a seed, one after the other, for hours: `make soak SECONDS=… SEED=…`.

It prints a line for each, and ends with the error and status 1 after the first that did harm.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

from eventhub import logs
from tests.machines.faults import FAULTS, survive
from tests.machines.network import NotAllowed
from tests.machines.site import running_site


async def soak(seconds: float, seed: int, folder: Path) -> None:
    """Inflict faults for some time; raises what the first one raises that did harm."""
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    async with running_site(folder) as site:
        for number in count(1):
            fault, began = rng.choice(list(FAULTS)), time.monotonic()
            if began > end:
                return
            print(f"{number}: {fault}: ", end="", flush=True)
            line = await survive(site, fault, seed=seed * 1_000_000 + number)
            print(f"{line}; {time.monotonic() - began:.0f} s in all")


def main() -> None:
    """Read the arguments, and run."""
    parser = argparse.ArgumentParser(description="Inflict faults on a cluster for some time.")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = random.randrange(10_000) if arguments.seed is None else arguments.seed
    folder = Path(tempfile.mkdtemp(prefix="eventhub-soak-"))
    logs.configure("warning", "auto")
    print(f"logs and data: {folder}")
    print(f"to repeat: make soak SECONDS={arguments.seconds:.0f} SEED={seed}", flush=True)
    try:
        asyncio.run(soak(arguments.seconds, seed, folder))
    except NotAllowed as error:
        sys.exit(f"soak: network namespaces need root: {error}")


if __name__ == "__main__":
    main()
