"""Expressions see a user, a request and arguments, and cannot change who the user is."""

from copy import deepcopy
from typing import Any

import pytest

from eventhub.handler import Handler, RequestInfo, User


def test_user_is_a_mapping_with_attributes() -> None:
    user = User({"id": 7, "role": "admin"})
    assert (user.id, user["id"], user.get("id"), user.role) == ("7",) * 3 + ("admin",)
    assert user.get("nothing", 1) == 1
    assert dict(deepcopy(user)) == {"id": "7", "role": "admin"}
    with pytest.raises(AttributeError, match="no 'nothing'"):
        user.nothing  # noqa: B018 - the lookup is the test


@pytest.mark.parametrize("attributes", [{}, {"id": None}, {"id": ""}])
def test_user_without_an_id_is_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs an id"):
        User(attributes)


def test_handler_has_its_request_and_arguments() -> None:
    request = RequestInfo(headers={"X-A": "1"}, remote="127.0.0.1", path="/chat")
    handler = Handler(session={"id": "s1"}, request=request, args={"a": [], "b": ["1", "2"]})
    assert handler.request.headers["X-A"] == "1"
    assert handler.get_arg("a", "default") == "default"
    assert handler.get_arg("b") == "2"


def test_user_is_read_only() -> None:
    user = User({"id": "ann"})
    with pytest.raises(TypeError):
        user["id"] = "bob"
    with pytest.raises(AttributeError):
        user.id = "bob"  # type: ignore[misc]
