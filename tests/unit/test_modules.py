"""Modules stay small enough to be read in one go, and each has a test file that is named after it.

A test file belongs to a module if it stands in the same folder of any kind of tests, as
`tests/unit/gateway/test_rows.py` does for `eventhub/gateway/rows.py`. It may stand at the top of
them, as `tests/property/test_turns.py`, if no other module has the name.
"""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
MOST_LINES = 300
CLIENT = Path("clients", "python")
PATHS = sorted(
    path.relative_to(ROOT)
    for package in ("eventhub", "projections", CLIENT / "eventhub_client")
    for path in (ROOT / package).rglob("*.py")
)
MODULES = [str(path) for path in PATHS]
TESTED = [path for path in PATHS if path.name != "__init__.py"]
KINDS = [path for path in TESTS.iterdir() if path.is_dir()]
NAMES = Counter(path.stem for path in TESTED)


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_it_may_be(module: str) -> None:
    """A module that has grown beyond this does two jobs: give the second one its own."""
    lines = len((ROOT / module).read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES


@pytest.mark.parametrize("module", [str(path) for path in TESTED])
def test_each_module_has_a_test_file_of_its_name(module: str) -> None:
    """Otherwise nobody finds its tests: write them, or rename the file in which they are."""
    path = Path(module)
    name = f"test_{path.stem.strip('_')}.py"
    if path.is_relative_to(CLIENT):
        path = path.relative_to(CLIENT)
    package = path.parent.parts[path.parts[0] == "eventhub" :]
    folders = [Path(*package), Path()] if NAMES[path.stem] == 1 else [Path(*package)]
    places = [kind / folder / name for kind in KINDS for folder in folders]
    assert any(place.is_file() for place in places), f"no {name}"


def test_no_function_or_class_is_there_for_its_tests_alone() -> None:
    """Decorators may register what they decorate, so that nothing else names it."""
    texts = [(ROOT / path).read_text("utf-8") for path in PATHS]
    words = Counter(word for text in texts for word in re.findall(r"\w+", text))
    defined = [
        node.name
        for text in texts
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.decorator_list
    ]
    assert [name for name in defined if words[name] == 1] == []
