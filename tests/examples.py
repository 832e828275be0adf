"""How many examples a property is tried with."""

import os


def examples(count: int) -> int:
    """Return how many of some examples to try: all, or a tenth of them in `make quick`."""
    is_quick = os.environ.get("HYPOTHESIS_PROFILE") == "quick"
    return min(count, max(10, count // 10)) if is_quick else count
