"""Querying: analysts who ask one query after the other, each the heaviest of its kind.

A child (see `child`): `url` is that of a SQLHandler; each analyst is a user of its own.
"""

import threading
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

from tests.bench.child import answer, setup

QUERIES = {
    "compute": ("json", "SELECT max(hash(i)) AS top FROM range(100000000000) AS t(i)"),
    "join": (
        "json",
        "SELECT count(*) AS pairs FROM bench AS a JOIN bench AS b ON a.n % 499 = b.n % 499"
        " WHERE hash(a.id || b.id) % 3 = 0",
    ),
    "sort": ("ndjson", "SELECT * FROM bench_history ORDER BY hash(body || id)"),
    "past": ("parquet", "SELECT * FROM bench_as_of(20000) ORDER BY md5(body)"),
}
"""By name: format and statement. The first one ends at the deadline."""
PIECE_BYTES = 1 << 20
PATIENCE_SECONDS = 60.0


class Analysts:
    """One for each query, asking again and again until they are stopped."""

    def __init__(self, *, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._counts: dict[str, int] = {}
        self._bytes = 0
        self._threads: list[threading.Thread] = []

    def __call__(self, *, do: str) -> dict[str, Any]:
        """Start, or stop and tell how many answers each had."""
        if do == "start":
            self._stop.clear()
            self._counts, self._bytes = dict.fromkeys(QUERIES, 0), 0
            self._threads = [threading.Thread(target=self._work, args=(name,)) for name in QUERIES]
            for thread in self._threads:
                thread.daemon = True
                thread.start()
            time.sleep(1.0)  # all of them are under way
        else:
            self._stop.set()
        return {"counts": dict(self._counts), "bytes": self._bytes}

    def _work(self, name: str) -> None:
        form, sql = QUERIES[name]
        url = f"{self._url}?{urlencode({'sql': sql, '_format': form})}"
        request = urllib.request.Request(url, headers={"X-User": name})
        while not self._stop.is_set():
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as found:
                    while not self._stop.is_set() and (piece := found.read(PIECE_BYTES)):
                        self._bytes += len(piece)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != 400:  # its deadline
                        raise
            self._counts[name] += 1


if __name__ == "__main__":
    answer(Analysts(**setup()))
