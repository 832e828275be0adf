"""Modules beside a configuration are imported again if a file changed and all goes well."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from eventhub.expressions import compile_expression
from eventhub.reimporting import Modules


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a module and a package that uses it."""
    before = set(sys.modules)
    (tmp_path / "house_limits.py").write_text("LEAST = 1\n")
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "__init__.py").write_text("import house_limits\n")
    (tmp_path / "house" / "rules.py").write_text("from house_limits import LEAST\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]
    sys.path.remove(str(tmp_path))


def least(folder: Path) -> object:
    return compile_expression("house.rules.LEAST", (), folder=folder).start()


def test_a_changed_module_and_those_that_use_it_are_imported_again(folder: Path) -> None:
    assert least(folder) == 1
    modules = Modules(folder)
    (folder / "house_limits.py").write_text("LEAST = 22\n")
    assert least(folder) == 1
    with modules.again():
        assert least(folder) == 22
    assert (least(folder), modules.generation) == (22, 1)


def test_unchanged_modules_stay_with_all_that_they_hold(folder: Path) -> None:
    assert least(folder) == 1
    kept = sys.modules["house_limits"]
    modules = Modules(folder)
    with modules.again():
        assert sys.modules["house_limits"] is kept
    assert modules.generation == 0


def test_after_a_failure_the_old_modules_are_there(folder: Path) -> None:
    assert least(folder) == 1
    modules = Modules(folder)
    (folder / "house_limits.py").write_text("LEAST = 22\n")
    with suppress(ValueError), modules.again():
        assert least(folder) == 22
        raise ValueError("something else fails later")
    assert (least(folder), modules.generation) == (1, 0)
    with modules.again():  # it is still another file
        assert least(folder) == 22


def test_a_module_whose_file_is_gone_is_imported_again_and_not_found(folder: Path) -> None:
    assert least(folder) == 1
    modules = Modules(folder)
    (folder / "house_limits.py").unlink()
    with pytest.raises(Exception, match="house_limits"), modules.again():
        least(folder)
    assert least(folder) == 1
