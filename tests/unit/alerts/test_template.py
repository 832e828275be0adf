"""A template treats a message as data: missing values are empty, and HTML is escaped."""

from pathlib import Path
from typing import Any

import pytest

from eventhub.alerts.template import Templates
from eventhub.errors import Misconfigured, Rejected

NASTY = "<b>&\"'"
GUIDE = """
{% import pandas as pd %}
{% import time %}
<p>Message from {{ user }} at {{ pd.to_datetime(time.time() * 1E9).strftime('%d %b %Y') }}.</p>
<p>{{ body }}</p>"""


def rendered(source: str, *, html: bool = False, folder: Path = Path(), **values: Any) -> str:
    templates = Templates(folder, ["body", "sorted"])
    return templates.compile("here", source, html=html).render(values)


def test_the_example_of_the_manual_works_as_printed() -> None:
    text = rendered(GUIDE, html=True, user="a@example.org", body="Hello")
    assert text.strip().startswith("<p>Message from a@example.org at ")
    assert text.endswith("<p>Hello</p>")


@pytest.mark.parametrize(("html", "expected"), [(True, "&lt;b&gt;&amp;&#34;&#39;"), (False, NASTY)])
def test_values_are_escaped_in_html_only(html: bool, expected: str) -> None:
    assert rendered("{{ body }}", html=html, body=NASTY) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ body }}",
        "{{ body.a.b }}",
        "{{ body[0] }}",
        "{{ body['a'] }}",
        "{{ body.upper() }}",
        "{{ none.upper() }}",
        "{{ none }}",
        "{{ body | upper }}",
        "{{ sorted }}",
        "{% for each in body %}{{ each }}{% endfor %}",
    ],
)
def test_a_key_that_the_message_lacks_is_empty(source: str) -> None:
    assert rendered(f"[{source}]", none=None) == "[]"


def test_a_key_that_the_message_lacks_takes_a_default() -> None:
    assert rendered("{{ body | default('x') }}{{ sorted | default('y') }}") == "xy"


@pytest.mark.parametrize("source", ["{{ nosuch(1) }}", "{% import os %}{{ os.nosuch() }}"])
def test_a_function_that_does_not_exist_is_an_error(source: str) -> None:
    with pytest.raises(Rejected, match="nosuch"):
        rendered(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% import os.path %}{{ os.path.sep }}", "/"),
        ("{% import os.path as p, json %}{{ p.sep }}{{ json.dumps([1]) }}", "/[1]"),
        ("{% from datetime import date as d, time %}{{ d(2020, 1, 2) }}", "2020-01-02"),
        ("{% raw body %}|{% raw %}{{ body }}{% endraw %}", "<b>&\"'|{{ body }}"),
        ("{% autoescape None %}{{ body }}", NASTY),
        ("{% autoescape false %}{{ 1 }}{% endautoescape %}{{ '<' }}", "1&lt;"),
        ("{% for i in range(3) %}{% if i %}{{ i }}{% end %}{% end %}", "12"),
        ("{{ len('abc') }}{{ url_escape('a b') }}{{ xhtml_escape('<') }}", "3a+b&lt;"),
    ],
)
def test_tags_of_tornado_work(source: str, expected: str) -> None:
    assert rendered(source, html=True, body=NASTY) == expected


def test_a_template_file_is_imported_by_a_quoted_name(tmp_path: Path) -> None:
    (tmp_path / "parts.html").write_text("{% macro hi(x) %}Hi {{ x }}{% endmacro %}")
    source = '{% import "parts.html" as parts %}{{ parts.hi(body) }}'
    assert rendered(source, html=True, folder=tmp_path, body="<") == "Hi &lt;"


def test_tags_in_a_value_are_plain_text() -> None:
    assert rendered("{{ body }}", body="{{ 1 + 1 }}{% import os %}") == "{{ 1 + 1 }}{% import os %}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\nb {% if %}", "here: line 2: "),
        ("{{ [x for x in y] }}", "here: line 1: "),
        ("\n\n{% import nosuchmodule %}", "here: line 3: cannot import nosuchmodule"),
        ("{% from os import nosuch %}", "here: line 1: module os has no nosuch"),
        ("{% end %}", "here: line 1: "),
    ],
)
def test_a_template_that_cannot_be_compiled_is_named_with_its_line(
    source: str, message: str
) -> None:
    with pytest.raises(Misconfigured, match=message):
        rendered(source)


@pytest.mark.parametrize(
    ("source", "literal"), [("a/{{ b }}", "a/"), ("{% raw b %}", ""), ("a", "a")]
)
def test_the_literal_ends_before_the_first_tag(source: str, literal: str) -> None:
    template = Templates(Path(), []).compile("here", source)
    assert (template.literal, template.is_constant) == (literal, source == literal)
