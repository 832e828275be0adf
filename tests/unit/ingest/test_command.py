"""The controls of a message are read, or refused by name."""

import pytest

from eventhub.errors import Rejected
from eventhub.ingest.command import MAX_KEYS, Command


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (None, "bad_json"),
        (7, "bad_json"),
        ("text", "bad_json"),
        ([], "bad_json"),
        ({"_method": "GET"}, "bad_method"),
        ({"_method": ""}, "bad_method"),
        ({"_method": None}, "bad_method"),
        ({"_method": 1}, "bad_method"),
        ({"_method": ["POST"]}, "bad_method"),
        ({"_method": " post"}, "bad_method"),
        ({"_key": ""}, "bad_control"),
        ({"_key": "x" * 501}, "bad_control"),
        ({"_key": True}, "bad_control"),
        ({"_key": 1.5}, "bad_control"),
        ({"_key": {}}, "bad_control"),
        ({"_key": "\udcff"}, None),  # a header that is no UTF-8
        ({"_if_seq": -1}, "bad_control"),
        ({"_if_seq": "-1"}, "bad_control"),
        ({"_if_seq": True}, "bad_control"),
        ({"_if_seq": 1.0}, "bad_control"),
        ({"_if_seq": ""}, "bad_control"),
        ({"_if_seq": "²"}, "bad_control"),
        ({"_if_seq": "9" * 5000}, "bad_control"),
        ({"_if_seq": []}, "bad_control"),
        ({"_ref": {}, "_alert": [], "_xsrf": object()}, None),
        ({"_methd": "PUT"}, "bad_control"),
        ({"_METHOD": "PUT"}, "bad_control"),
        ({"_KEY": 1}, "bad_control"),
        ({"_seq": 1}, "bad_control"),
        ({"__": 1}, "bad_control"),
        ({"_upsert": "maybe"}, "bad_control"),
        ({"_upsert": []}, "bad_control"),
        ({"_upsert": True, "_method": "DELETE"}, "bad_control"),
        ({"_upsert": True, "id": "1", "_revert": 1, "_if_seq": 1}, "bad_control"),
        ({"_upsert": False, "_method": "POST"}, None),
    ],
)
def test_controls_are_read_or_refused(raw: object, code: str | None) -> None:
    if code is None:
        assert Command.parse(raw).method == "POST"
        return
    with pytest.raises(Rejected) as caught:
        Command.parse(raw)
    assert caught.value.code == code


def test_only_the_method_of_the_controls_stays_in_the_message() -> None:
    command = Command.parse(
        {"_method": "put", "id": "1", "_key": 7, "_if_seq": "12", "_alert": "false", "_": 1}
    )
    assert command.message == {"_method": "PUT", "id": "1"}
    assert (command.method, command.if_sequence, command.alert) == ("PUT", 12, False)
    assert command.is_keyed
    assert command.write == Command.parse({"_key": "7"}).write


@pytest.mark.parametrize("value", [False, 0, "no", "off"])
def test_an_alert_that_is_not_suppressible_cannot_be_suppressed(value: object) -> None:
    with pytest.raises(Rejected) as caught:
        Command.parse({"_alert": value}, unknown="ignore", is_suppressible=False)
    assert (caught.value.code, caught.value.column) == ("bad_control", "_alert")
    assert "suppressible: true" in caught.value.message
    assert Command.parse({"_alert": True}, is_suppressible=False).alert


@pytest.mark.parametrize(
    ("name", "near"),
    [("_methd", "_method"), ("_KEY", "_key"), ("_ifseq", "_if_seq"), ("_alerts", "_alert")],
)
def test_an_unknown_control_is_refused_by_name(name: str, near: str) -> None:
    with pytest.raises(Rejected) as caught:
        Command.parse({"id": "1", name: "x"})
    assert (caught.value.code, caught.value.column) == ("bad_control", name)
    assert f"did you mean {near}?" in caught.value.message
    assert Command.parse({"id": "1", name: "x"}, unknown="ignore").message.keys() == {
        "_method",
        "id",
    }


@pytest.mark.parametrize("name", ["_", "_xsrf", "_format", "_meta", "_download", "_by"])
def test_controls_of_gramex_pages_are_dropped(name: str) -> None:
    assert name not in Command.parse({name: "x"}).message


def test_a_message_without_a_method_gets_that_of_the_transport() -> None:
    assert Command.parse({}).method == "POST"
    assert Command.parse({}, method="DELETE").method == "DELETE"
    assert Command.parse({"_method": "put"}, method="DELETE").method == "PUT"


def test_writes_without_a_key_are_all_different() -> None:
    first, second = Command.parse({"id": "1"}), Command.parse({"id": "1"})
    assert first.write != second.write
    assert not first.is_keyed
    assert not first.write.startswith("k")


@pytest.mark.parametrize(
    ("value", "upsert"),
    [(True, True), ("yes", True), ("1", True), (1, True), (None, False), ("no", False), (0, False)],
)
def test_an_upsert_is_true_or_false_in_any_word(value: object, upsert: bool) -> None:
    assert Command.parse({"id": "1", "_upsert": value}).upsert is upsert


def test_a_message_has_no_more_keys_than_a_form() -> None:
    """Each is looked up and converted by itself, in one turn of the loop."""
    most = {f"k{number}": 1 for number in range(MAX_KEYS)}
    assert Command.parse(most).message.keys() >= most.keys()
    with pytest.raises(Rejected, match="at most 1,000 keys") as refused:
        Command.parse({**most, "one": "more"})
    assert refused.value.code == "too_large"
