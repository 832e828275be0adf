"""`log:` of a MessageHandler is a length of time, and that of Gramex has no effect."""

from pathlib import Path

import pytest

from eventhub import config
from eventhub.config import Config


def loaded(folder: Path, log: str) -> Config:
    (folder / "eventhub.yaml").write_text(
        "url:\n  notes:\n    pattern: /notes\n    handler: MessageHandler\n"
        f"    kwargs: {{columns: {{body: TEXT}}, log: {log}}}\n"
    )
    return config.load(folder / "eventhub.yaml", environ={})


@pytest.mark.parametrize(("keep", "seconds"), [("30d", 30 * 86400), ("12h", 43200), ("1s", 1)])
def test_a_length_of_time_is_a_number_and_a_unit(tmp_path: Path, keep: str, seconds: int) -> None:
    (endpoint,) = loaded(tmp_path, f"{{keep: {keep}}}").of_kind(config.MessageEndpoint)
    assert endpoint.log is not None
    assert endpoint.log.keep_seconds == seconds


@pytest.mark.parametrize(
    ("log", "problem"),
    [
        ("{keep: 30}", "expected text, not 30"),
        ("{keep: 0d}", "write a number and s, m, h or d"),
        ("{keep: forever}", "write a number and s, m, h or d"),
        ("{}", "keep is missing"),
        ("{keeps: 30d}", "keeps"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, log: str, problem: str) -> None:
    with pytest.raises(config.InvalidConfiguration, match=problem):
        loaded(tmp_path, log)


def test_the_log_of_gramex_is_a_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path, "true")
    assert found.of_kind(config.MessageEndpoint)[0].log is None
    assert "no effect" in found.warnings[0]
