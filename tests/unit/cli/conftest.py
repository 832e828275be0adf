"""What a command changes in its process is undone after each test."""

import logging
import os
import sys
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """Restore the umask, the hook for uncaught exceptions, and logging."""
    umask, hook, root = os.umask(0o022), sys.excepthook, logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    os.umask(umask)
    sys.excepthook = hook
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()
