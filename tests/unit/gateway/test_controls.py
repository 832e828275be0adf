"""The arguments that an endpoint supplies are checked at the start, as those of a client are."""

from pathlib import Path

import pytest

from eventhub import config, problems
from eventhub.errors import Misconfigured


def check(folder: Path, default: str, *, unknown: str = "") -> None:
    """What `eventhub check` does with an endpoint that has these defaults."""
    file = folder / "eventhub.yaml"
    kwargs = f"{{columns: {{topic: TEXT, n: INTEGER}}, default: {{{default}}}{unknown}}}"
    file.write_text(
        f"url: {{notes: {{pattern: /notes, handler: MessageHandler, kwargs: {kwargs}}}}}"
    )
    for error in problems.problems_of(config.load(file, environ={})):
        raise error


@pytest.mark.parametrize(
    ("default", "problem"),
    [
        ("Topic: Help", "'Topic' is not a column: did you mean topic?"),
        ("_limt: 5", "'_limt' is not a control: did you mean _limit?"),
        ("nosuch!: x", "'nosuch' is not a column"),
        ("_sort: N", "_sort: 'N' is not a column: did you mean n?"),
        ("_c: [topic, x]", "_c: 'x' is not a column"),
        ("n: abc", "n: 'abc' is not a whole number"),
        ("_limit: many", "_limit is not a whole number"),
        ("_wait: long", "_wait is a number of seconds"),
        ("_since: yesterday", "_since: 'yesterday' is not a position"),
        ("_replay: all", "_replay must be one of rows, log"),
        ("_format: xml", "_format must be one of json"),
    ],
)
def test_a_default_that_a_client_could_not_send_stops_the_start(
    tmp_path: Path, default: str, problem: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        check(tmp_path, default)
    assert f"url: notes: default: {problem}" in str(caught.value)


def test_defaults_that_a_client_could_send_are_accepted(tmp_path: Path) -> None:
    for since in ("earliest", "now", "-20", "2026-01-01", "abc.5"):
        check(tmp_path, f"_since: {since}, _wait: 2.5")
    check(tmp_path, "topic: Help, n>: 3, _sort: -n, _limit: 5, _c: [n, id], lang: en, _by: x")
    check(tmp_path, "_limt: 5, Topic: x", unknown=", unknown: ignore")
    with pytest.raises(Misconfigured, match="'lang' is not a column"):
        check(tmp_path, "lang: en", unknown=", unknown: refuse")


def test_unknown_must_be_refuse_or_ignore(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="unknown"):
        check(tmp_path, "", unknown=", unknown: perhaps")
