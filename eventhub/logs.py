"""Logging: one chain of structlog processors. An event is a constant, and its facts are keys.

Events that clients cause are logged through `Limited`, so that no client can fill a disk.
"""

import asyncio
import logging
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Literal, TextIO

import structlog

from eventhub.masking import without_credentials
from eventhub.terminal import printable

WINDOW_SECONDS: Final = 60.0
FIRST: Final = 5
"""Lines of one event and one cause in a window that are written at once; more are counted."""
MOST: Final = 100
"""Lines of one event and all causes in a window that are written; more are counted."""
MAX_CAUSES: Final = 1000
"""Causes in a window that are counted separately; the others are counted together."""
MAX_COUNTS: Final = 20
"""Causes whose counts get a line of their own at the end of a window."""
_Cause = tuple[str, str]
"""An address or a user, and a reason."""
OTHERS: Final[_Cause] = ("others", "")

_ACCESS: Final = logging.getLogger("eventhub.access")
_ACCESS.setLevel(logging.CRITICAL)
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
"""Omits local variables, which may hold messages and tokens."""


access: Final = structlog.wrap_logger(
    _ACCESS,
    wrapper_class=structlog.make_filtering_bound_logger("info"),
)
"""Writes the lines of requests, at any level of the log."""


def is_access_logged() -> bool:
    """Return whether each request has a line."""
    return _ACCESS.isEnabledFor(logging.INFO)


def configure(
    level: str,
    form: Literal["auto", "json", "console"],
    mask: Callable[[str], str] = without_credentials,
    *,
    with_access: bool = False,
) -> None:
    """Send all log lines, including those of libraries, to standard error in one form.

    Args:
        level: the lowest level that is written.
        form: the form of a line; `auto` is `console` on a terminal, otherwise `json`.
        mask: removes secrets from a line.
        with_access: whether each request has a line.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    if console:
        shared[-1] = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
    final: list[structlog.typing.Processor] = (
        [
            _one_line,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=_short_traceback,
                pad_level=False,
                pad_event_to=0,
            ),
        ]
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
    # These libraries log each forged cookie and each unknown subprotocol, without a limit.
    logging.getLogger("aiohttp_session").setLevel(logging.ERROR)
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    logging.getLogger("asyncio").addFilter(_is_news)
    _ACCESS.setLevel(logging.INFO if with_access else logging.CRITICAL)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out what is said each time that a NATS server ends a connection with TLS."""
    return "eof_received()" not in str(record.msg)


def _short_traceback(sio: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    """Write a traceback, of a failed hook from its expression on: what called it is the hub."""
    kind, error, first = exc_info
    frame = first
    while frame is not None and not _is_expression(frame):
        frame = frame.tb_next
    text = "".join(traceback.format_exception(kind, error, frame or first)).rstrip("\n")
    # Its message may quote a client: no line of it begins as a line of the log does.
    sio.writelines(f"\n  {printable(line)}" for line in text.split("\n"))


def _one_line(
    _logger: object, _method: str, facts: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Escape what would control a terminal, or begin a line of its own."""
    return {key: printable(v) if isinstance(v, str) else v for key, v in facts.items()}


def _is_expression(frame: TracebackType) -> bool:
    code = frame.tb_frame.f_code
    return code.co_name == "expression" and not code.co_filename.endswith(".py")


class Limited:
    """A logger for events that clients cause: it writes the first lines, and counts the others.

        limited.warning("login_failed", by=peer, reason="expired", user=name)

    Five lines per minute are written for one `by` and `reason`. At the end of the minute, a line
    with the same event says how many were left out: `left_out=195, seconds=60`.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        write: Callable[..., None] | None = None,
        first: int = FIRST,
        most: int = MOST,
    ) -> None:
        """Prepare.

        Args:
            clock: in seconds.
            write: called with an event and its facts instead of writing a line.
            first: lines of one cause in a window that are written.
            most: lines of all causes of one event in a window that are written.
        """
        self._logger = structlog.get_logger()
        self._write = write or self._warn
        self._clock = clock
        self._first = first
        self._most = most
        self._windows: dict[str, _Window] = {}

    def warning(self, event: str, *, by: str, reason: str = "", **facts: Any) -> None:
        """Log a warning, or count it.

        Args:
            event: a constant; the code has only a few of them.
            by: the cause, which is an address or a user.
            reason: a constant; lines with another reason are counted separately.
            facts: the other keys of the line.
        """
        if self._admits(event, by, reason):
            self._write(event, **_named(by, reason), **facts)

    def exception(self, event: str, *, by: str, reason: str = "", **facts: Any) -> None:
        """Log the current exception with its traceback, or count it, like `warning`.

        One array of messages can raise ten thousand exceptions.
        """
        if self._admits(event, by, reason):
            self._logger.exception(event, **_named(by, reason), **facts)  # noqa: LOG004 - in a handler of the caller

    def _warn(self, event: str, **facts: Any) -> None:
        self._logger.warning(event, **facts)

    def _admits(self, event: str, by: str, reason: str) -> bool:
        now = self._clock()
        window = self._windows.get(event)
        if window is not None and now - window.began >= WINDOW_SECONDS:
            self._end(event, window)
            window = None
        if window is None:
            window = self._windows[event] = _Window(now, self._first, self._most)
            with suppress(RuntimeError):  # without a loop, the next line ends the window
                asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._end, event, window)
        return window.admits((by, reason))

    def flush(self) -> None:
        """Log the counts so far, at the end of a process."""
        for event, window in tuple(self._windows.items()):
            self._end(event, window)

    def _end(self, event: str, window: "_Window") -> None:
        if self._windows.get(event) is not window:
            return  # the window has ended already
        del self._windows[event]
        seconds = round(self._clock() - window.began)
        for (by, reason), count in window.left_out():
            self._write(event, **_named(by, reason), left_out=count, seconds=seconds)


def _named(by: str, reason: str) -> dict[str, str]:
    return {"by": by, "reason": reason} if reason else {"by": by}


class _Window:
    """The lines of one event since the window began."""

    __slots__ = ("_counts", "_first", "_left_out", "_lines", "_most", "began")

    def __init__(self, began: float, first: int, most: int) -> None:
        self.began = began
        self._first = first
        self._most = most
        self._lines = 0
        self._counts: Counter[_Cause] = Counter()
        self._left_out: Counter[_Cause] = Counter()

    def admits(self, cause: _Cause) -> bool:
        """Return whether a line is written; otherwise count it."""
        if cause not in self._counts and len(self._counts) >= MAX_CAUSES:
            cause = OTHERS
        self._counts[cause] += 1
        if self._counts[cause] <= self._first and self._lines < self._most:
            self._lines += 1
            return True
        self._left_out[cause] += 1
        return False

    def left_out(self) -> list[tuple[_Cause, int]]:
        """Return the causes with the most lines left out, and the sum of all others."""
        most = [each for each in self._left_out.most_common() if each[0] != OTHERS][:MAX_COUNTS]
        rest = self._left_out.total() - sum(count for _, count in most)
        return [*most, (OTHERS, rest)] if rest else most


limited: Final = Limited()
"""The one of this process."""
