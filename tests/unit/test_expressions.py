"""An expression sees its arguments, built-ins and modules; a misspelt name stops the hub."""

import asyncio
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eventhub.errors import Misconfigured
from eventhub.expressions import OPEN_NAMES, Placed, compile_expression


@pytest.fixture(autouse=True)
def _unchanged_modules() -> Iterator[None]:
    path, modules = sys.path.copy(), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if not getattr(sys.modules[name], "__file__", None) or "pytest-" in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


async def evaluate(source: str, folder: Path | None = None, **values: Any) -> Any:
    return await compile_expression(source, tuple(values), folder=folder)(**values)


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("1 + 1", 2),
        ("f'all@example.org'", "all@example.org"),
        ("msg['message'].length", 5),
        ("[1, 2].length + (1,).length + {}.length", 3),
        ("len(msg['message'].upper())", 5),
        ("base64.b64encode(uuid.UUID(int=0).bytes)[:4].decode()", "AAAA"),
        ("datetime.date(2023, 1, 2).isoformat()", "2023-01-02"),
        ("os.path.join('a', 'b')", "a/b"),
        ("xml.etree.ElementTree.fromstring('<a/>').tag", "a"),
        ("[key for key in msg if msg[key]]", ["message"]),
        ("(lambda x: x + msg['message'])('> ')", "> hello"),
        ("[y for x in 'ab' if (y := x + msg['message'])]", ["ahello", "bhello"]),
        ("(n := 2) * n", 4),
        ("msg['message']\n if True\n else ''\n", "hello"),
        ("msg # a comment", {"message": "hello"}),
        ("1,\n2", (1, 2)),
    ],
)
async def test_expression_is_evaluated_as_python(source: str, result: Any) -> None:
    assert await evaluate(source, msg={"message": "hello"}) == result


async def test_length_of_any_other_object_is_its_attribute() -> None:
    assert await evaluate("x.length", x=SimpleNamespace(length="long")) == "long"
    with pytest.raises(AttributeError):
        await evaluate("x.length", x=1)


async def test_awaitable_result_is_awaited_and_await_is_allowed() -> None:
    async def twice(number: int) -> int:
        return 2 * number

    assert await evaluate("twice(2)", twice=twice) == 4
    assert await evaluate("await twice(2) + 1", twice=twice) == 5


async def test_names_that_a_call_binds_are_not_kept_for_the_next() -> None:
    expression = compile_expression("(seen := [*msg]) and seen", ("msg",), folder=None)
    assert await expression(msg=[1]) == [1]
    assert await expression(msg=[2]) == [2]


async def test_argument_hides_a_module_of_the_same_name() -> None:
    assert await evaluate("json", json="mine") == "mine"


async def test_modules_and_packages_next_to_the_file_are_found(
    tmp_path: Path,
) -> None:
    (tmp_path / "my_rules.py").write_text("def double(x): return 2 * x\n")
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").touch()
    (tmp_path / "my_package" / "inner.py").write_text("VALUE = 'inner'\n")
    assert await evaluate("my_rules.double(x)", tmp_path, x=2) == 4
    assert await evaluate("my_package.inner.VALUE", tmp_path) == "inner"
    assert sys.path.count(str(tmp_path)) == 1


async def test_module_next_to_the_file_does_not_replace_an_installed_one(tmp_path: Path) -> None:
    sys.modules.pop("colorsys", None)
    (tmp_path / "colorsys.py").write_text("raise RuntimeError\n")
    assert await evaluate("colorsys.rgb_to_hsv(0, 0, x)[2]", tmp_path, x=1) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("msg.update(", "not a Python expression"),
        ("x = 1", "not a Python expression"),
        ("import os", "not a Python expression"),
        ("(yield msg)", "'yield' outside function"),
        ("mesage['a']", "name 'mesage' is not defined: it is neither one of msg, nor a module"),
        ("[other for x in msg]", "'other'"),
        ("os.path.jion('a')", "module os.path has no 'jion' (did you mean 'join'?)"),
        ("mgs['a']", "(did you mean 'msg'?)"),
        ("xml.etree.Nothing.x", "module xml.etree has no 'Nothing'"),
    ],
)
def test_invalid_expression_is_refused_when_it_is_compiled(source: str, message: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        compile_expression(source, ("msg",), folder=None)
    assert message in caught.value.message


def test_error_of_a_module_that_fails_to_import_is_reported(tmp_path: Path) -> None:
    (tmp_path / "my_broken.py").write_text("1 / 0\n")
    with pytest.raises(Misconfigured, match=r"my_broken.*ZeroDivisionError: division by zero"):
        compile_expression("my_broken.check(msg)", ("msg",), folder=tmp_path)


def test_expression_that_python_cannot_even_tokenize_is_refused() -> None:
    with pytest.raises(Misconfigured, match="not a Python expression"):
        compile_expression("msg\0", ("msg",), folder=None)
    with pytest.raises(Misconfigured, match="not a Python expression"):
        compile_expression("(" * 10_000 + ")" * 10_000, ("msg",), folder=None)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("handler.session['id']", True),
        ("print(handler)", True),
        ("(lambda h: h.session)(handler)", True),
        ("handler.args", False),
        ("handler.current_user.id if handler.current_user else handler.request.path", False),
        ("args", False),
    ],
)
def test_whether_an_expression_may_read_the_session(source: str, expected: bool) -> None:
    compiled = compile_expression(source, OPEN_NAMES, folder=None)
    assert compiled.may_read_session is expected


@pytest.mark.parametrize(
    ("source", "place", "failing"),
    [
        ("msg['a'] / 0", "hub.yaml:7", (7, "msg['a'] / 0")),
        ("[\n  1,\n  msg['a'] / 0,\n]\n", "block.yaml:7", (10, "msg['a'] / 0,")),
        ("1 / 0", "first.yaml:1", (1, "1 / 0")),
        ("len(token='s3cret')", "secret.yaml:4", (4, "len(token='***')")),
    ],
)
def test_traceback_of_an_expression_has_its_line_in_the_file(
    source: str, place: str, failing: tuple[int, str]
) -> None:
    expression = compile_expression(Placed(source, place), ("msg",), folder=None)
    with pytest.raises((ZeroDivisionError, TypeError)) as caught:
        expression.start(msg={"a": 1})
    (frame,) = [f for f in traceback.extract_tb(caught.tb) if f.filename.endswith(".yaml")]
    assert (frame.lineno, frame.line) == failing
    assert frame.filename == place.partition(":")[0]


def test_awaiting_expression_has_its_line_too() -> None:
    source = Placed("await asyncio.sleep(0) or 1 / 0", "later.yaml:5")
    expression = compile_expression(source, (), folder=None)
    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(expression())
    (frame,) = [f for f in traceback.extract_tb(caught.tb) if f.filename == "later.yaml"]
    assert (frame.lineno, frame.line) == (5, "await asyncio.sleep(0) or 1 / 0")


def test_one_file_keeps_the_lines_of_all_of_its_expressions() -> None:
    made = [
        compile_expression(Placed(f"{n} / 0", f"many.yaml:{n}"), (), folder=None) for n in (9, 3)
    ]
    for expression, n in zip(made, (9, 3), strict=True):
        with pytest.raises(ZeroDivisionError) as caught:
            expression.start()
        (frame,) = [f for f in traceback.extract_tb(caught.tb) if f.filename == "many.yaml"]
        assert (frame.lineno, frame.line) == (n, f"{n} / 0")
