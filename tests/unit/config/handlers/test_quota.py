"""A quota is a whole number of something, and a blank one is a mistake."""

from pathlib import Path

import pytest

from eventhub import config
from eventhub.config import MessageEndpoint, Quota


def loaded(folder: Path, quota: str) -> MessageEndpoint:
    (folder / "eventhub.yaml").write_text(
        "url:\n  notes:\n    pattern: /notes\n    handler: MessageHandler\n"
        f"    kwargs: {{columns: {{body: TEXT}}, quota: {quota}}}\n"
    )
    (endpoint,) = config.load(folder / "eventhub.yaml", environ={}).of_kind(MessageEndpoint)
    return endpoint


def test_each_part_of_a_quota_is_optional(tmp_path: Path) -> None:
    assert loaded(tmp_path, "{rows: 10}").quota == Quota(rows=10)
    assert loaded(tmp_path, "{events: 5, bytes: 1000}").quota == Quota(events=5, bytes=1000)


@pytest.mark.parametrize(
    ("quota", "problem"),
    [
        ("", "quota is blank"),
        ("{}", "quota is blank"),
        ("{rows: }", "quota is blank"),
        ("{rows: 0}", "rows"),
        ("{rows: many}", "rows"),
        ("{messages: 5}", "messages"),
    ],
)
def test_a_quota_that_limits_nothing_is_refused(tmp_path: Path, quota: str, problem: str) -> None:
    with pytest.raises(config.InvalidConfiguration, match=problem):
        loaded(tmp_path, quota)
