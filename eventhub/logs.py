"""Logging: structlog with one processor chain; a constant message, facts as keys.

What clients cause is logged through `Limited`, so that none of them can fill a disk.
"""

import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Literal

import structlog

from eventhub.masking import without_credentials

WINDOW_SECONDS: Final = 60.0
FIRST: Final = 5
"""Lines of one event by one cause in a window that are written as they come."""
MOST: Final = 100
"""Lines of one event in a window, whoever caused them; more are counted."""
MAX_CAUSES: Final = 1000
"""Causes that are told apart in a window; the rest is counted together."""
MAX_COUNTS: Final = 20
"""Causes whose number is told one by one at a window's end."""
_Cause = tuple[str, str]
"""By whom, and a reason."""
OTHERS: Final[_Cause] = ("others", "")

_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
"""Without local variables: messages and tokens do not belong in a log."""


def configure(
    level: str,
    form: Literal["auto", "json", "console"],
    mask: Callable[[str], str] = without_credentials,
) -> None:
    """Send all logs, those of libraries too, to standard error in one form.

    Args:
        level: the least that is written.
        form: of a line.
        mask: returns a line without secrets.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    final: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [_TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    final.append(lambda _logger, _method, line: mask(str(line)))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    # A line for each cookie or subprotocol that somebody makes up; the gateway's own are limited.
    logging.getLogger("aiohttp_session").setLevel(logging.ERROR)
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


class Limited:
    """A log of what clients cause: the first lines of each cause a minute, then their number.

        limited.warning("login_failed", by=peer, reason="expired", user=name)

    The fifth in a minute of one `by` and `reason` is the last that is written. When the minute is
    over, a line of the same event says how many were left out: `left_out=195, seconds=60`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = structlog.get_logger()
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def warning(self, event: str, *, by: str, reason: str = "", **facts: Any) -> None:
        """Log a warning, or count it.

        Args:
            event: a constant of the code; a few of them at the most.
            by: who is the cause: an address, or a user.
            reason: a constant of the code too: lines of another reason are counted by themselves.
            facts: other keys of the line.
        """
        if self._admits(event, by, reason):
            self._log.warning(event, **_named(by, reason), **facts)

    def exception(self, event: str, *, by: str, reason: str = "", **facts: Any) -> None:
        """Log the exception that is being handled with its traceback, or count it; as `warning`.

        One line of an array of messages can make ten thousand.
        """
        if self._admits(event, by, reason):
            self._log.exception(event, **_named(by, reason), **facts)

    def _admits(self, event: str, by: str, reason: str) -> bool:
        now = self._clock()
        window = self._windows.get(event)
        if window is not None and now - window.began >= WINDOW_SECONDS:
            self._end(event, window)
            window = None
        if window is None:
            window = self._windows[event] = _Window(now)
            with suppress(RuntimeError):  # no loop runs: the next line ends it
                asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._end, event, window)
        return window.admits((by, reason))

    def flush(self) -> None:
        """Tell what was left out until now; at the end of a process."""
        for event, window in tuple(self._windows.items()):
            self._end(event, window)

    def _end(self, event: str, window: "_Window") -> None:
        if self._windows.get(event) is not window:
            return  # it has ended already
        del self._windows[event]
        seconds = round(self._clock() - window.began)
        for (by, reason), count in window.left_out():
            self._log.warning(event, **_named(by, reason), left_out=count, seconds=seconds)


def _named(by: str, reason: str) -> dict[str, str]:
    return {"by": by, "reason": reason} if reason else {"by": by}


class _Window:
    """What was logged of one event since the window began."""

    __slots__ = ("_counts", "_left_out", "_lines", "began")

    def __init__(self, began: float) -> None:
        self.began = began
        self._lines = 0
        self._counts: Counter[_Cause] = Counter()
        self._left_out: Counter[_Cause] = Counter()

    def admits(self, cause: _Cause) -> bool:
        """Tell whether a line is to be written; else it is counted."""
        if cause not in self._counts and len(self._counts) >= MAX_CAUSES:
            cause = OTHERS
        self._counts[cause] += 1
        if self._counts[cause] <= FIRST and self._lines < MOST:
            self._lines += 1
            return True
        self._left_out[cause] += 1
        return False

    def left_out(self) -> list[tuple[_Cause, int]]:
        """Return the causes with most lines left out, and the sum of all others."""
        most = [each for each in self._left_out.most_common() if each[0] != OTHERS][:MAX_COUNTS]
        rest = self._left_out.total() - sum(count for _, count in most)
        return [*most, (OTHERS, rest)] if rest else most


limited: Final = Limited()
"""That of this process."""
