"""A problem is reported with its file, its line and its keys."""

from pathlib import Path
from typing import Any

import pytest

from eventhub.config.tree import Findings, Node, merge
from eventhub.errors import Misconfigured
from tests.unit.config.folder import Folder, endpoint


def test_unknown_key_is_reported_with_its_line_and_the_nearest_known_key(folder: Folder) -> None:
    problems = folder.problems(endpoint("colums:\n  body: TEXT"))
    assert problems == [
        "hub.yaml:6: url.chat.kwargs: unknown key 'colums' (did you mean 'columns'?)"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("servr: {}", "hub.yaml:1: unknown key 'servr' (did you mean 'server'?)"),
        ("server:\n  prt: 1", "hub.yaml:2: server: unknown key 'prt' (did you mean 'port'?)"),
        ("auth: {jwt: {usr: x}}", "hub.yaml:1: auth.jwt: unknown key 'usr'"),
    ],
)
def test_unknown_key_is_refused_in_every_section(folder: Folder, text: str, problem: str) -> None:
    (reported,) = folder.problems(text)
    assert reported.startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: 1", "hub.yaml:1: server: expected a mapping (`key: value`), not 1"),
        ("- a", "hub.yaml:1: expected a mapping (`key: value`), not ['a']"),
        ("url: true", "hub.yaml:1: url: expected a mapping (`key: value`), not true"),
        ("auth: {jwt: s3cret}", "hub.yaml:1: auth.jwt: expected a mapping (`key: value`)"),
    ],
)
def test_value_that_is_no_mapping_is_reported_unless_it_is_a_secret(
    folder: Folder, text: str, problem: str
) -> None:
    assert problem in folder.problems(text)


def test_problems_are_in_the_order_of_the_file(tmp_path: Path) -> None:
    findings = Findings()
    for line in (10, 9, 2):
        findings.problem(Node(None, f"hub.yaml:{line}", tmp_path), "a.b", "wrong")
    with pytest.raises(Misconfigured) as caught:
        findings.raise_if_any()
    assert caught.value.message.split("\n") == [
        f"hub.yaml:{line}: a.b: wrong" for line in (2, 9, 10)
    ]


def test_merged_trees_keep_the_winners_values_and_all_keys(tmp_path: Path) -> None:
    def tree(value: Any) -> Node:
        if isinstance(value, dict):
            value = {key: tree(member) for key, member in value.items()}
        return Node(value, "hub.yaml:1", tmp_path)

    both = merge(
        tree({"a": {"x": 1, "y": None}, "b": 2}), tree({"a": {"x": 3, "y": 4, "z": 5}, "b": {}})
    )
    assert both.plain == {"a": {"x": 1, "y": 4, "z": 5}, "b": 2}
