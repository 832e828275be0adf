"""Findings are lines for people, or one JSON object for programs, however many there are."""

import json

import pytest

from eventhub.cli.findings import Findings, JsonFindings, TextFindings
from projections.verify import Difference, Report

DIFFERENCES = [
    Difference(table="notes", id="a b", sequence=4, column="n", log=3, held="\x1b"),
    Difference(table="notes_history", id="5", sequence=6, what="is missing"),
    Difference(table="log", sequence=None, what="the event is missing or damaged"),
]


def printed(
    findings: Findings, report: Report, capsys: pytest.CaptureFixture[str], count: int = 3
) -> str:
    for difference in DIFFERENCES[:count]:
        findings.add(difference)
        report.different += 1
    findings.conclude(report, 31)
    findings.end(is_equal=report.is_equal)
    return capsys.readouterr().out


def report(*, head: int = 31, same_epoch: bool = True) -> Report:
    return Report(
        channel="notes", sequence=head, head=head, same_epoch=same_epoch, rows=19, events=head
    )


def test_each_difference_is_a_line_above_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(TextFindings(), report(), capsys).splitlines() == [
        '  notes: "a b" 4 n 3≠"\\u001b"',
        "  notes_history: 5 6 is missing",
        "  log: - the event is missing or damaged",
        "notes: 3 differences (19 rows, 31 events)",
    ]


@pytest.mark.parametrize(
    ("report", "count", "result"),
    [
        (report(), 0, "notes: equal (19 rows, 31 events)"),
        (report(), 1, "notes: 1 difference (19 rows, 31 events)"),
        (
            report(head=30),
            0,
            "notes: equal (19 rows, 30 events, of 31 in the log: the rest is not projected yet)",
        ),
        (
            report(same_epoch=False),
            0,
            "notes: the tables belong to a log that no longer exists; run `eventhub rebuild`",
        ),
    ],
)
def test_the_result_of_a_table_is_one_line(
    report: Report, count: int, result: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(TextFindings(), report, capsys, count).splitlines()[-1] == result


@pytest.mark.parametrize("count", [0, 1, 3])
def test_all_findings_are_one_json_object(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(JsonFindings(), report(), capsys, count))
    assert found["equal"] is (count == 0)
    assert [table["different"] for table in found["tables"]] == [count]
    assert len(found["differences"]) == count
    if count == 3:
        first, second, _ = found["differences"]
        assert (first["log"], first["held"], "what" in first) == (3, "\x1b", False)
        assert (second["column"], second["what"]) == (None, "is missing")
