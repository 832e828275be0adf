"""Each test has a folder of its own, and leaves Python's modules unchanged."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.config.folder import Folder


@pytest.fixture(autouse=True)
def _unchanged_modules() -> Iterator[None]:
    path = sys.path.copy()
    yield
    sys.path[:] = path
    sys.modules.pop("mymodule", None)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)
