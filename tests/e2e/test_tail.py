"""A tail prints every frame once, across restarts of the hub, from the start that it is given."""

import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.command import DEADLINE_SECONDS, EVENTHUB, GOOD, post
from tests.e2e.hub import HubFactory


class Tail:
    """A running `eventhub tail`: its frames, one by one."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [*EVENTHUB, "tail", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def frames(self, count: int) -> list[dict[str, Any]]:
        """Wait for a number of lines."""
        return [json.loads(self.line()) for _ in range(count)]

    def line(self) -> str:
        """Wait for a line."""
        return self._lines.get(timeout=DEADLINE_SECONDS)

    def interrupt(self) -> tuple[int, int, str]:
        """Press Ctrl-C; return exit code, number of further frames, and summary."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(DEADLINE_SECONDS)
        self._reader.join(DEADLINE_SECONDS)
        assert self.process.stderr is not None
        return code, self._lines.qsize(), self.process.stderr.read()

    def close(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        self._reader.join(DEADLINE_SECONDS)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()


@contextmanager
def tail(*words: str) -> Iterator[Tail]:
    started = Tail(*words)
    try:
        yield started
    finally:
        started.close()


def test_a_tail_survives_restarts_without_loss_or_repetition(hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD)
    url = f"{hub.url}/notes"
    post(url, n=0)
    with tail(url) as rows_tail, tail(url, "--log") as log_tail:
        tails = (rows_tail, log_tail)
        printed = [each.frames(1) for each in tails]
        for number, end in enumerate((hub.stop, hub.kill), 1):
            post(url, n=2 * number - 1)
            for each, frames in zip(tails, printed, strict=True):
                frames += each.frames(1)
            end()
            hub.start()
            post(url, n=2 * number)
            for each, frames in zip(tails, printed, strict=True):
                frames += each.frames(1)
        assert [frame["n"] for frame in printed[0]] == [0, 1, 2, 3, 4]
        assert [frame["row"]["n"] for frame in printed[1]] == [0, 1, 2, 3, 4]
        assert [each.interrupt() for each in tails] == [(130, 0, "")] * 2


def test_a_tail_starts_where_since_says(hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD)
    url = f"{hub.url}/notes?body=since"
    receipts = [post(url, body="since", n=number) for number in range(4)]
    with tail(url, "--since", "-2") as last, tail(url, "--since", "now") as now:
        assert [frame["n"] for frame in last.frames(2)] == [2, 3]
        with tail(url, "--since", "2020-01-01T00:00:00+05:30", "--log") as all_events:
            events = all_events.frames(4)
            assert [event["_seq"] for event in events] == [each["_seq"] for each in receipts]
            assert events[0]["was"] is None
        post(url, body="since", n=4)
        assert now.frames(1)[0]["n"] == 4
