"""A message is a POST, a PUT or a DELETE, and no other method is stored."""

import pytest

from eventhub.errors import Rejected
from eventhub.ingest.command import Command
from eventhub.methods import METHODS


def test_these_are_the_methods_of_the_protocol() -> None:
    assert set(METHODS) == {"POST", "PUT", "DELETE"}


@pytest.mark.parametrize("method", METHODS)
def test_a_message_may_name_each_of_them_in_any_case(method: str) -> None:
    assert Command.parse({"_method": method, "id": "a"}).method == method
    assert Command.parse({"_method": method.lower(), "id": "a"}).method == method


@pytest.mark.parametrize("method", ["PATCH", "GET", "", None, ["PUT"]])
def test_another_method_is_refused_by_name(method: object) -> None:
    with pytest.raises(Rejected, match="_method"):
        Command.parse({"_method": method, "id": "a"})
