"""How many examples a property is tried with."""

import os

FUZZ = 50
"""How many times as many `make fuzz` tries."""


def examples(count: int) -> int:
    """Return how many of some examples to try: a tenth in `make quick`, more in `make fuzz`."""
    match os.environ.get("HYPOTHESIS_PROFILE"):
        case "quick":
            return min(count, max(10, count // 10))
        case "fuzz":
            return FUZZ * count
        case _:
            return count
