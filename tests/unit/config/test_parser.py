"""YAML is read by the rules of the safe loader, with the line of every value."""

import pytest

from eventhub.columns import Column, Kind
from eventhub.config import load
from eventhub.errors import Misconfigured
from tests.unit.config.folder import CHAT, Folder, endpoint, messages


def test_merge_key_inherits_what_the_mapping_does_not_have(folder: Folder) -> None:
    config = folder.load(
        """
        url:
          a:
            pattern: /a
            handler: MessageHandler
            kwargs: &base
              columns: {body: TEXT}
              headers: {X-A: 1}
          b:
            pattern: /b
            handler: MessageHandler
            kwargs:
              <<: *base
              columns: {size: INTEGER}
          c: {pattern: /c, handler: MessageHandler, kwargs: {<<: [{table: x}, *base]}}
        """
    )
    _, b, c = messages(config)
    assert b.columns == (Column("size", Kind.INTEGER),)
    assert b.headers == {"X-A": "1"}
    assert (c.table, c.columns) == ("x", (Column("body"),))


def test_keys_and_dates_stay_text(folder: Folder) -> None:
    kwargs = "columns:\n  on: {type: DATE, default: 2023-01-02}\n  1: TEXT"
    (served,) = messages(folder.load(endpoint(kwargs)))
    assert served.columns == (Column("on", Kind.DATE, default="2023-01-02"), Column("1"))


def test_section_in_two_parts_is_merged_with_a_warning(folder: Folder) -> None:
    folder.write("one/chat.yaml", CHAT.format(name="one", who="them", port=1))
    folder.write("two/chat.yaml", CHAT.format(name="two", who="them", port=2))
    text = "import: {a: one/chat.yaml}\nimport: {b: two/chat.yaml}\n"
    assert [each.name for each in messages(folder.load(text))] == ["one", "two"]
    (warning,) = folder.warnings(text)
    assert warning == (
        "hub.yaml:2: import: section 'import' occurs twice, first at hub.yaml:1;"
        " both parts are used"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("url:\n  a: 1\n  a: 2", "hub.yaml:3: url.a: key 'a' occurs twice, first at hub.yaml:2"),
        (
            "log:\n  level: info\nlog:\n  level: info",
            "hub.yaml:3: log: key 'log' occurs twice, first at hub.yaml:1",
        ),
        ("url: [", "hub.yaml:1: invalid YAML: "),
    ],
)
def test_invalid_yaml_is_reported_with_its_line(folder: Folder, text: str, problem: str) -> None:
    assert any(each.startswith(problem) for each in folder.problems(text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "url: !!python/name:os.system ''",
            "url: the tag !!python/name:os.system has no meaning here",
        ),
        ("log: !!int many", "log: cannot read 'many' as int"),
        ("url: &a [*a]", "url[0]: this alias refers to a value that contains it; remove it"),
        ("url: {[a]: 1}", "url: a key must be text, a number, true or false; put text"),
    ],
)
def test_value_that_the_safe_loader_refuses_is_reported(
    folder: Folder, text: str, problem: str
) -> None:
    assert any(each.startswith(f"hub.yaml:1: {problem}") for each in folder.problems(text))


def test_file_in_another_encoding_is_reported_with_the_line_of_the_byte(folder: Folder) -> None:
    file = folder.write("hub.yaml", "url: {}\n")
    file.write_bytes(b"url: {}\n\n# caf\xe9\n")
    with pytest.raises(Misconfigured) as caught:
        load(file, environ={})
    assert caught.value.message == f"{file}:3: byte 0xe9 is not UTF-8; save the file as UTF-8"
