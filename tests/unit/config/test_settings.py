"""A configuration has its endpoints in one list, told apart by their types."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from eventhub.config import Alert, Config, EmailService, FileEndpoint, MessageEndpoint, SqlLimits
from tests.unit.config.folder import Folder


def numbers(struct: type[msgspec.Struct]) -> Iterator[Any]:
    """Yield name and type of each number of a section, and of the sections in it."""
    for name, hint in get_type_hints(struct, include_extras=True).items():
        choices = [hint] if get_origin(hint) is Annotated else [hint, *get_args(hint)]
        for choice in choices:
            kind = get_args(choice)[0] if get_origin(choice) is Annotated else choice
            if kind in (int, float):
                yield pytest.param(choice, id=f"{struct.__name__}.{name}")
            elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                yield from numbers(kind)


@pytest.mark.parametrize(
    "number", [each for kind in (Config, EmailService, Alert, SqlLimits) for each in numbers(kind)]
)
def test_every_number_has_a_least_and_a_most(number: Any) -> None:
    for value in (-1, 10**15, float("nan"), float("inf")):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, number, strict=False)


def test_endpoints_of_one_kind_are_in_the_order_of_the_file(folder: Folder) -> None:
    config = folder.load(
        """
        url:
          b: {pattern: /b, handler: MessageHandler}
          files: {pattern: /, handler: FileHandler, kwargs: {path: .}}
          a: {pattern: /a, handler: MessageHandler}
        """
    )
    assert [each.name for each in config.endpoints] == ["b", "files", "a"]
    assert [each.name for each in config.of_kind(MessageEndpoint)] == ["b", "a"]
    assert [each.name for each in config.of_kind(FileEndpoint)] == ["files"]


def test_section_that_is_absent_has_its_defaults(folder: Folder) -> None:
    config = folder.load("")
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8080)
    assert config.auth.jwt is None
    assert config.auth.session.max_age == 31 * 86400
    assert config.data == folder.path / "data"
